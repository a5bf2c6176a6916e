import type { Clock } from '../base/clock.js';
import { raftIdFromDiskId } from '../consensus/index.js';
import type { Consensus } from '../consensus/types.js';
import { GearmeshError } from '../core/errors.js';
import type { Transport } from '../peer/types.js';
import type { Asking } from './asking.js';
import type { Engine } from './engine.js';
import { encodeMembers, type Formation, type Member } from './members.js';

const ADOPT_MS = 10_000;
const LOOK_MS = 50;
/** A learner this close to the end of the log may vote. */
const CAUGHT_UP_ENTRIES = 256;

export interface MembershipParts {
  readonly clock: Clock;
  readonly transport: Transport;
  readonly asking: Asking;
  readonly consensus: Consensus;
  readonly engine: Engine;
  readonly cluster: { readonly id: string; readonly name: string };
}

/**
 * Brings a wiped or broken node back, at the leader: the old identity is removed and the new disk added as a learner in
 * one joint change (Raft paper, section 6); once it has caught up it gets its vote. Repeating goes on where it stopped.
 */
export async function replaceMember(
  parts: MembershipParts,
  name: string,
  signal: AbortSignal | undefined,
  say: (line: string) => void,
): Promise<void> {
  const { engine, consensus, transport } = parts;
  const old = engine.members.find((member) => member.name === name);
  if (old === undefined) {
    throw new GearmeshError('NOT_FOUND', {
      message: `${name} is no member; members are ${engine.members.map((member) => member.name).join(', ')}`,
    });
  }
  const hello = transport.hello(name);
  if (hello === null || !transport.isConnected(name)) {
    throw new GearmeshError('WRONG_STATE', {
      message: `${name} cannot be reached: start it with an empty data directory, then try again`,
    });
  }
  if (hello.diskId !== old.diskId) {
    await adopt(parts, name, hello.diskId, say);
    await changeOnce(parts, old, hello.diskId, hello.peer, signal, say);
  } else if (consensus.status().membership.voters.includes(old.raftId)) {
    throw new GearmeshError('WRONG_STATE', {
      message: `${name} is a voter and runs with the disk that the cluster knows`,
    });
  }
  await promote(parts, name, raftIdFromDiskId(hello.diskId), signal, say);
}

async function adopt(
  parts: MembershipParts,
  name: string,
  diskId: string,
  say: (line: string) => void,
): Promise<void> {
  const formation: Formation = {
    clusterId: parts.cluster.id,
    clusterName: parts.cluster.name,
    members: parts.engine.members,
    settings: {},
    attempt: 0,
  };
  try {
    await parts.asking.ask(name, 'adopt', formation, ADOPT_MS);
  } catch (error) {
    const reason = (error as Error).message;
    if (!reason.includes('already belongs'))
      throw new GearmeshError('WRONG_STATE', { message: `${name}: ${reason}` });
  }
  say(`${name} joins with disk ${diskId}`);
}

async function changeOnce(
  parts: MembershipParts,
  old: Member,
  diskId: string,
  peer: string,
  signal: AbortSignal | undefined,
  say: (line: string) => void,
): Promise<void> {
  const { engine, consensus } = parts;
  const fresh: Member = { name: old.name, diskId, raftId: raftIdFromDiskId(diskId), peer };
  const members = engine.members.map((member) => (member.name === old.name ? fresh : member));
  proposed(
    consensus.proposeMembership({
      changes: [
        { kind: 'remove', id: old.raftId },
        { kind: 'add-learner', id: fresh.raftId },
      ],
      context: encodeMembers(members),
    }),
  );
  engine.askTurn();
  await until(parts, signal, () => {
    const { membership } = consensus.status();
    return (
      engine.members.some((member) => member.diskId === diskId) &&
      membership.outgoing.length === 0 &&
      membership.learners.includes(fresh.raftId)
    );
  });
  say(`${old.name}: the old disk is removed, the new one follows as a learner`);
}

async function promote(
  parts: MembershipParts,
  name: string,
  raftId: number,
  signal: AbortSignal | undefined,
  say: (line: string) => void,
): Promise<void> {
  const { engine, consensus } = parts;
  let said = -1;
  await until(parts, signal, () => {
    const status = consensus.status();
    const progress = status.progress.find((one) => one.id === raftId);
    if (progress === undefined) return status.membership.voters.includes(raftId);
    const share = Math.floor((progress.match / Math.max(1, status.commit)) * 10);
    if (share !== said) {
      said = share;
      say(`${name}: ${progress.match} of ${status.commit} log entries`);
    }
    return progress.state === 'replicate' && progress.match + CAUGHT_UP_ENTRIES >= status.commit;
  });
  if (!consensus.status().membership.voters.includes(raftId)) {
    proposed(
      consensus.proposeMembership({
        changes: [{ kind: 'promote', id: raftId }],
        context: encodeMembers(engine.members),
      }),
    );
    engine.askTurn();
    await until(parts, signal, () => consensus.status().membership.voters.includes(raftId));
  }
  say(`${name} has caught up and votes`);
}

function proposed(result: 'accepted' | 'not-leader' | 'dropped'): void {
  if (result === 'accepted') return;
  throw new GearmeshError('NO_LEADER', {
    message:
      result === 'dropped'
        ? 'another membership change is under way: try again'
        : 'this node is not the leader',
  });
}

async function until(
  parts: MembershipParts,
  signal: AbortSignal | undefined,
  condition: () => boolean,
): Promise<void> {
  while (!condition()) {
    if (signal?.aborted) throw new GearmeshError('CANCELLED', { outcome: 'UNKNOWN' });
    if (parts.engine.standing.role !== 'leader') {
      throw new GearmeshError('OUTCOME_UNKNOWN', {
        message: 'the leader changed meanwhile: run the same command again, it goes on where it stopped',
        outcome: 'UNKNOWN',
      });
    }
    await new Promise<void>((resolve) => {
      parts.clock.setTimer(LOOK_MS, resolve);
    });
  }
}
