import {
  type ChangeSettingsRequest,
  type ChangeSettingsResponse,
  type Cluster,
  type ClusterServiceService,
  type GetClusterRequest,
  type GetSettingsRequest,
  type GetSettingsResponse,
  type Node,
  NodeRole,
  type ReplaceNodeProgress,
  type ReplaceNodeRequest,
  type TransferLeadershipRequest,
  type TransferLeadershipResponse,
} from '../../proto/gen/gearmesh/v1/cluster.js';
import type { ClusterMember, ClusterView } from '../node/interface.js';
import type { Call, Outlet } from './call.js';
import type { Deps } from './deps.js';
import { readOptions } from './read.js';
import { toRevision } from './revision.js';
import { fromSettings, toSettings } from './settings.js';
import type { Verbs } from './table.js';
import { toTimestampIfSet } from './time.js';
import { Checker } from './validate.js';

export const clusterVerbs: Verbs<typeof ClusterServiceService> = {
  getCluster,
  transferLeadership,
  replaceNode,
  getSettings,
  changeSettings,
};

const ROLES: { readonly [role in ClusterMember['role']]: NodeRole } = {
  leader: NodeRole.LEADER,
  follower: NodeRole.FOLLOWER,
  candidate: NodeRole.CANDIDATE,
  learner: NodeRole.LEARNER,
  unknown: NodeRole.UNKNOWN,
};

function toNode(member: ClusterMember, cluster: ClusterView): Node {
  const node = cluster.nodes.find(({ name }) => name === member.name);
  return {
    name: member.name,
    diskId: member.diskId,
    role: ROLES[member.role],
    reachable: member.reachable,
    reachableSince: toTimestampIfSet(member.reachableSince),
    grpcAddress: member.grpc,
    httpAddress: member.http,
    peerAddress: member.peer,
    version: member.version,
    appliedIndex: member.appliedIndex,
    commitIndex: member.commitIndex,
    logBytes: member.logBytes,
    stateHash: member.stateHash,
    stateHashIndex: member.stateHashIndex,
    up: node?.up ?? false,
    stalled: node?.stalled ?? false,
  };
}

async function getCluster(deps: Deps, request: GetClusterRequest, call: Call): Promise<Cluster> {
  const checker = new Checker();
  const read = readOptions(checker, request, call);
  checker.done();
  const cluster = await deps.api.cluster(read);
  const nodes = cluster.members.map((member) => toNode(member, cluster));
  nodes.sort((a, b) => (a.name < b.name ? -1 : 1));
  return {
    id: cluster.id,
    name: cluster.name,
    leader: cluster.leader,
    term: cluster.term,
    nodes,
    hashDisagreement: cluster.hashDisagreement ?? '',
    answeredBy: deps.api.name,
  };
}

async function transferLeadership(
  deps: Deps,
  request: TransferLeadershipRequest,
  call: Call,
): Promise<TransferLeadershipResponse> {
  const checker = new Checker();
  const node = checker.optionalName('node', request.node);
  checker.done();
  const { leader, term, revision } = await deps.api.transferLeadership(node, { signal: call.signal });
  return { leader, term, revision: toRevision(revision) };
}

async function replaceNode(
  deps: Deps,
  request: ReplaceNodeRequest,
  out: Outlet<ReplaceNodeProgress>,
): Promise<void> {
  const checker = new Checker();
  const node = checker.name('node', request.node);
  checker.done();
  const { revision } = await deps.api.replaceNode(node, { signal: out.signal }, (line) => {
    out.send({ line, revision: '' });
  });
  out.send({ line: '', revision: toRevision(revision) });
  out.end();
}

async function getSettings(
  deps: Deps,
  request: GetSettingsRequest,
  call: Call,
): Promise<GetSettingsResponse> {
  const checker = new Checker();
  const read = readOptions(checker, request, call);
  checker.done();
  return { settings: toSettings(await deps.api.readSettings(read)) };
}

async function changeSettings(
  deps: Deps,
  request: ChangeSettingsRequest,
  call: Call,
): Promise<ChangeSettingsResponse> {
  const checker = new Checker();
  const changes = fromSettings(checker, request.settings, deps.api.settings());
  checker.done();
  const { revision } = await deps.api.changeSettings(changes, { signal: call.signal });
  return { revision: toRevision(revision) };
}
