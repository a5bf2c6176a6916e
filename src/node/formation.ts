import type { Clock, Timer } from '../base/clock.js';
import type { Random } from '../base/random.js';
import { raftIdFromDiskId } from '../consensus/index.js';
import type { Settings } from '../core/types.js';
import type { Hello, PeerAddress } from '../peer/types.js';
import type { Asking } from './asking.js';
import type { Formation, Member } from './members.js';
import { readFormation } from './members.js';
import type { Log } from './options.js';

const ROUND_MS = 100;
const ASK_MS = 5_000;
/** How often the log says what the formation waits for. */
const SAY_MS = 5_000;

/** The small durable facts that formation needs from the data directory. */
export interface FormationMemory {
  readonly diskId: string;
  /** What this node promised to form, null when nothing. */
  prepared(): Promise<Formation | null>;
  prepare(formation: Formation): Promise<void>;
  /** From here on the directory belongs to the cluster. */
  join(formation: Formation): Promise<void>;
}

export interface FormationParts {
  readonly name: string;
  readonly clusterName: string;
  readonly peers: readonly PeerAddress[];
  readonly settings: Partial<Settings>;
  readonly memory: FormationMemory;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly asking: Asking;
  readonly hello: (name: string) => Hello | null;
  readonly ownPeerAddress: string;
}

/**
 * How an empty disk comes to belong to a cluster, before any vote. A new cluster forms only when every listed peer
 * answers with an empty disk: the node with the smallest name proposes id and members, all others write that down
 * (prepare), then it decides by writing its own identity, and tells the others (commit). Later comers learn the
 * decision from any member. A node that meets a formed cluster whose members do not name its disk waits to be added.
 */
export class FormationDesk {
  readonly #parts: FormationParts;
  #done: ((formation: Formation | null) => void) | null = null;
  #timer: Timer | null = null;
  #busy = false;
  #saidMs = Number.NEGATIVE_INFINITY;
  #over = false;

  constructor(parts: FormationParts) {
    this.#parts = parts;
  }

  /** Resolves once this directory belongs to a cluster; with null when it was stopped before. */
  run(): Promise<Formation | null> {
    return new Promise((resolve) => {
      this.#done = resolve;
      this.#round();
    });
  }

  /** Ends it without a result: `run` resolves with null. */
  stop(): void {
    this.#end();
    this.#done?.(null);
  }

  #end(): void {
    this.#over = true;
    this.#timer?.cancel();
  }

  /** Answers a peer's question; the topics are `form.prepare`, `form.commit` and `adopt`. Throws with the reason of a refusal. */
  async answer(topic: string, body: unknown): Promise<unknown> {
    if (this.#over) throw new Error('this node already belongs to a cluster');
    const formation = readFormation(body);
    if (formation === null) throw new Error('not a formation');
    if (formation.clusterName !== this.#parts.clusterName) {
      throw new Error(`this node is configured for the cluster ${this.#parts.clusterName}`);
    }
    const self = formation.members.find((member) => member.name === this.#parts.name);
    if (topic !== 'adopt' && self?.diskId !== this.#parts.memory.diskId) {
      throw new Error(`the members do not name this disk (${this.#parts.memory.diskId})`);
    }
    if (topic === 'form.prepare') {
      await this.#parts.memory.prepare(formation);
      return { diskId: this.#parts.memory.diskId };
    }
    await this.#joined(formation);
    return { diskId: this.#parts.memory.diskId };
  }

  #round(): void {
    if (this.#over) return;
    this.#timer = this.#parts.clock.setTimer(ROUND_MS, () => this.#round());
    if (this.#busy) return;
    this.#busy = true;
    this.#try()
      .catch((error: unknown) => {
        this.#parts.log.warn({ reason: (error as Error).message }, 'cluster not formed yet');
      })
      .finally(() => {
        this.#busy = false;
      });
  }

  async #try(): Promise<void> {
    const { peers, name, memory } = this.#parts;
    const others = peers.filter((peer) => peer.name !== name);
    const before = await memory.prepared();
    if (before !== null && (await this.#decidedElsewhere(before, others))) return;
    const members: Member[] = [this.#member(name, memory.diskId, this.#parts.ownPeerAddress)];
    const missing: string[] = [];
    const formed: string[] = [];
    for (const peer of others) {
      const hello = this.#parts.hello(peer.name);
      if (hello === null) missing.push(peer.name);
      else if (hello.clusterId !== null) formed.push(peer.name);
      else members.push(this.#member(peer.name, hello.diskId, `${peer.host}:${peer.port}`));
    }
    if (formed.length > 0) {
      this.#say(
        { formed },
        'this disk is empty and the cluster exists: waiting to be added (gearmesh cluster replace)',
      );
      return;
    }
    if (missing.length > 0) {
      this.#say({ missing }, 'waiting for every listed peer before the cluster can form');
      return;
    }
    members.sort((a, b) => (a.name < b.name ? -1 : 1));
    if (members[0]!.name !== name) return; // the smallest name speaks
    const same = (formation: Formation): boolean =>
      formation.members.length === members.length &&
      formation.members.every((member, i) => member.diskId === members[i]!.diskId);
    const formation: Formation =
      before !== null && same(before)
        ? before
        : {
            clusterId: Buffer.from(this.#parts.random.bytes(16)).toString('hex'),
            clusterName: this.#parts.clusterName,
            members,
            settings: this.#parts.settings,
          };
    await memory.prepare(formation);
    await Promise.all(
      others.map((peer) => this.#parts.asking.ask(peer.name, 'form.prepare', formation, ASK_MS)),
    );
    // Every disk has it in writing: the decision is this write.
    await this.#joined(formation);
    for (const peer of others) {
      this.#parts.asking.ask(peer.name, 'form.commit', formation, ASK_MS).catch((error: unknown) => {
        this.#parts.log.warn(
          { peer: peer.name, reason: (error as Error).message },
          'a peer has yet to learn that the cluster formed; it will when it connects',
        );
      });
    }
  }

  /** What this node promised may have been decided while it did not listen: those who know are asked. */
  async #decidedElsewhere(promised: Formation, others: readonly PeerAddress[]): Promise<boolean> {
    for (const peer of others) {
      if (this.#parts.hello(peer.name) === null) continue;
      const answer = await this.#parts.asking.ask(peer.name, 'form.decided', null, ASK_MS).catch(() => null);
      if (answer !== promised.clusterId) continue;
      await this.#joined(promised);
      return true;
    }
    return false;
  }

  async #joined(formation: Formation): Promise<void> {
    if (this.#over) return;
    this.#end();
    await this.#parts.memory.join(formation);
    this.#parts.log.info(
      {
        cluster: formation.clusterName,
        clusterId: formation.clusterId,
        members: formation.members.map((m) => m.name),
      },
      'joined the cluster',
    );
    this.#done?.(formation);
  }

  #member(name: string, diskId: string, peer: string): Member {
    return { name, diskId, raftId: raftIdFromDiskId(diskId), peer };
  }

  #say(fields: object, message: string): void {
    const now = this.#parts.clock.monotonicMs();
    if (now - this.#saidMs < SAY_MS) return;
    this.#saidMs = now;
    this.#parts.log.info(fields, message);
  }
}

/** Whether a hello may stay: null, or the reason why not. `members` null: this node belongs to no cluster yet. */
export function judgeHello(
  own: { clusterName: string; clusterId: string | null; members: readonly Member[] | null },
  theirs: Hello,
): string | null {
  if (theirs.clusterName !== own.clusterName) {
    return `cluster name ${theirs.clusterName} is not ${own.clusterName}`;
  }
  if (own.clusterId === null || theirs.clusterId === null) return null;
  if (theirs.clusterId !== own.clusterId) return `cluster id ${theirs.clusterId} is not ${own.clusterId}`;
  const member = own.members?.find((one) => one.name === theirs.name);
  if (member !== undefined && member.diskId !== theirs.diskId) {
    return `disk ${theirs.diskId} was replaced: the cluster knows ${theirs.name} by disk ${member.diskId}`;
  }
  return null;
}
