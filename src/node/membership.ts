import type { Clock } from '../base/clock.js';
import { raftIdFromDiskId } from '../consensus/index.js';
import type { Consensus, MembershipChange } from '../consensus/types.js';
import { GearmeshError } from '../core/errors.js';
import type { Hello, Transport } from '../peer/types.js';
import type { Asking } from './asking.js';
import type { Engine } from './engine.js';
import { encodeMembers, type Formation, type Member } from './members.js';

const ADOPT_MS = 10_000;
const LOOK_MS = 50;
/** A node that has just been started is given so long to be reached. */
const REACH_MS = 3_000;
const BLOBS_MS = 5_000;
/** A learner this close to the end of the log may vote. */
const CAUGHT_UP_ENTRIES = 256;

export interface MembershipParts {
  readonly ownName: string;
  readonly clock: Clock;
  readonly transport: Pick<Transport, 'hello' | 'isConnected'>;
  readonly asking: Pick<Asking, 'ask'>;
  readonly consensus: Pick<Consensus, 'status' | 'proposeMembership'>;
  readonly engine: Pick<Engine, 'members' | 'standing' | 'askTurn'>;
  readonly cluster: { readonly id: string; readonly name: string };
}

/**
 * Brings a wiped or broken node back, at the leader, in three steps: the old disk is removed and the new one added as a
 * learner in one joint change (Raft paper, section 6); the new disk is told to which cluster it belongs; and once it has
 * caught up it gets its vote. In this order, for a disk that belongs to the cluster without being named by it would be
 * refused by everybody. Each look finds out what is still to be done, so whoever says it again finishes the work, at
 * whichever leader, from wherever it stopped. Rejects with `GearmeshError`.
 */
export async function replaceMember(
  parts: MembershipParts,
  name: string,
  signal: AbortSignal | undefined,
  say: (line: string) => void,
): Promise<void> {
  const replacement = new Replacement(parts, name, say);
  while (!(await replacement.goOn())) {
    await new Promise<void>((resolve) => {
      parts.clock.setTimer(LOOK_MS, resolve);
    });
    if (signal?.aborted) throw new GearmeshError('CANCELLED', { outcome: 'UNKNOWN' });
  }
}

class Replacement {
  readonly #parts: MembershipParts;
  readonly #name: string;
  readonly #say: (line: string) => void;
  #said = '';
  #tenths = -1;
  #begun = false;
  readonly #since: number;
  /** Disk that is known to belong to the cluster. */
  #belongs = '';

  constructor(parts: MembershipParts, name: string, say: (line: string) => void) {
    this.#parts = parts;
    this.#name = name;
    this.#say = say;
    this.#since = parts.clock.monotonicMs();
  }

  /** Does what can be done now; true once nothing is left. */
  async goOn(): Promise<boolean> {
    const { consensus, engine } = this.#parts;
    this.#checkLeads();
    const member = this.#member();
    // Once it has its vote it may lead as well.
    if (member.name === this.#parts.ownName) return this.#votes();
    const hello = this.#hello();
    if (hello === null) return false;
    const { voters, learners, outgoing } = consensus.status().membership;
    // A joint change ends by itself; the next leader ends that of a dead one.
    if (outgoing.length > 0) return false;
    const raftId = raftIdFromDiskId(hello.diskId);
    const isKnown = hello.diskId === member.diskId;
    if (isKnown && voters.includes(raftId)) return this.#votes();
    if (!isKnown || !learners.includes(raftId)) {
      const takesPart = (id: number): boolean => voters.includes(id) || learners.includes(id);
      const changes: MembershipChange[] = [];
      if (!isKnown && takesPart(member.raftId)) changes.push({ kind: 'remove', id: member.raftId });
      if (!takesPart(raftId)) changes.push({ kind: 'add-learner', id: raftId });
      const fresh: Member = { name: member.name, diskId: hello.diskId, raftId, peer: hello.peer };
      const members = engine.members.map((one) => (one.name === fresh.name ? fresh : one));
      this.#propose(changes, members, `${this.#name} joins with disk ${hello.diskId}`);
      return false;
    }
    await this.#adopt(hello.diskId);
    if (this.#caughtUp(raftId) && (await this.#hasBlobs())) {
      this.#propose([{ kind: 'promote', id: raftId }], engine.members, `${this.#name} has caught up`);
    }
    return false;
  }

  #votes(): true {
    const how = this.#begun ? 'has caught up and votes' : 'votes, with the disk that the cluster knows';
    this.#tell(`${this.#name} ${how}`);
    return true;
  }

  /** Tells the disk to which cluster it belongs, unless it knows. */
  async #adopt(diskId: string): Promise<void> {
    const { asking, cluster, engine } = this.#parts;
    if (this.#belongs === diskId) return;
    const formation: Formation = {
      clusterId: cluster.id,
      clusterName: cluster.name,
      members: engine.members,
      settings: {},
      attempt: 0,
    };
    try {
      const before = await asking.ask(this.#name, 'form.decided', null, ADOPT_MS);
      if (before === null) await asking.ask(this.#name, 'adopt', formation, ADOPT_MS);
      else if (before !== cluster.id) throw new Error(`it belongs to the cluster ${String(before)}`);
    } catch (error) {
      throw new GearmeshError('WRONG_STATE', {
        message: `${this.#name}: ${(error as Error).message}: run the same command again, it goes on where it stopped`,
        outcome: 'UNKNOWN',
      });
    }
    this.#belongs = diskId;
    this.#tell(`${this.#name}: the old disk is removed, the new one follows as a learner`);
  }

  #caughtUp(raftId: number): boolean {
    const { progress, commit } = this.#parts.consensus.status();
    const one = progress.find(({ id }) => id === raftId);
    if (one === undefined) return false;
    const tenths = Math.floor((one.match / Math.max(1, commit)) * 10);
    if (tenths !== this.#tenths) this.#tell(`${this.#name}: ${tenths * 10} % of ${commit} log entries`);
    this.#tenths = tenths;
    return one.state === 'replicate' && one.match + CAUGHT_UP_ENTRIES >= commit;
  }

  /** Rule: a learner votes only when it holds every blob that jobs refer to, as of what is committed now. */
  async #hasBlobs(): Promise<boolean> {
    const { asking, consensus } = this.#parts;
    const { commit } = consensus.status();
    const answer = await asking.ask(this.#name, 'blobs', null, BLOBS_MS).catch(() => null);
    const { applied, missing } = (answer ?? {}) as Record<string, unknown>;
    if (typeof applied !== 'number' || typeof missing !== 'number') return false;
    if (missing > 0)
      this.#tell(`${this.#name}: ${missing} payloads and results outside the log are missing yet`);
    return missing === 0 && applied >= commit;
  }

  /** One that cannot be taken now, as another is under way, is proposed again at the next look. */
  #propose(changes: readonly MembershipChange[], members: readonly Member[], line: string): void {
    const { consensus, engine } = this.#parts;
    const result = consensus.proposeMembership({ changes, context: encodeMembers(members) });
    if (result !== 'accepted') return;
    this.#begun = true;
    this.#tell(line);
    engine.askTurn();
  }

  #member(): Member {
    const { members } = this.#parts.engine;
    const member = members.find((one) => one.name === this.#name);
    if (member !== undefined) return member;
    throw new GearmeshError('NOT_FOUND', {
      message: `${this.#name} is no member; members are ${members.map((one) => one.name).join(', ')}`,
    });
  }

  /** Null while the node is away in the middle of it. */
  #hello(): Hello | null {
    const { clock, transport } = this.#parts;
    const hello = transport.isConnected(this.#name) ? transport.hello(this.#name) : null;
    if (hello !== null) return hello;
    if (!this.#begun) {
      if (clock.monotonicMs() - this.#since < REACH_MS) return null;
      throw new GearmeshError('WRONG_STATE', {
        message: `${this.#name} cannot be reached: start it with an empty data directory, then try again`,
      });
    }
    this.#tell(`${this.#name} cannot be reached: waiting for it`);
    return null;
  }

  #checkLeads(): void {
    if (this.#parts.engine.standing.role === 'leader') return;
    throw this.#begun
      ? new GearmeshError('OUTCOME_UNKNOWN', {
          message: 'the leader changed meanwhile: run the same command again, it goes on where it stopped',
          outcome: 'UNKNOWN',
        })
      : new GearmeshError('NO_LEADER', { message: 'this node is not the leader' });
  }

  /** Says a line once in a row. */
  #tell(line: string): void {
    if (this.#said === line) return;
    this.#said = line;
    this.#say(line);
  }
}
