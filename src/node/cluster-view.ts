import type { Booted } from './boot.js';
import type { Engine } from './engine.js';
import type { ClusterMember, ClusterView } from './interface.js';
import type { Member } from './members.js';
import type { NodeOptions } from './options.js';

/** The cluster as this node sees it: its own standing exactly, the others by what they said last. */
export function clusterView(
  options: NodeOptions,
  clusterId: string,
  booted: Booted,
  engine: Engine,
): ClusterView {
  const { core, consensus, wal } = booted;
  const status = consensus.status();
  const leader = engine.leaderName;
  const learners = new Set([...status.membership.learners, ...status.membership.learnersNext]);
  const member = (one: Member): ClusterMember => {
    if (one.name === options.name) {
      return {
        name: one.name,
        diskId: one.diskId,
        role: status.role,
        reachable: true,
        reachableSince: core.wall,
        grpc: options.advertised.grpc,
        http: options.advertised.http,
        peer: options.advertised.peer,
        version: options.version,
        appliedIndex: core.appliedIndex,
        commitIndex: status.commit,
        logBytes: wal.bytes,
        stateHash: engine.hashes.newest.hash,
        stateHashIndex: engine.hashes.newest.index,
      };
    }
    const hello = options.transport.hello(one.name);
    const reachable = options.transport.isConnected(one.name);
    const known = engine.board.of(one.name)?.status;
    const role =
      known === undefined || !reachable ? 'unknown' : learners.has(one.raftId) ? 'learner' : known.role;
    return {
      name: one.name,
      diskId: one.diskId,
      role,
      reachable,
      reachableSince: engine.board.reachableSince(one.name),
      grpc: hello?.grpc ?? '',
      http: hello?.http ?? '',
      peer: one.peer,
      version: hello?.version ?? '',
      appliedIndex: known?.applied ?? 0,
      commitIndex: known?.commit ?? 0,
      logBytes: known?.logBytes ?? 0,
      stateHash: known?.hash ?? '',
      stateHashIndex: known?.hashIndex ?? 0,
    };
  };
  const { disagreement } = engine.hashes;
  return {
    id: clusterId,
    name: options.clusterName,
    leader,
    term: status.term,
    members: engine.members.map(member),
    nodes: core.nodes(),
    hashDisagreement:
      disagreement === null
        ? null
        : `index ${disagreement.index}: ${[options.name, ...disagreement.others.keys()].join(', ')} differ`,
  };
}
