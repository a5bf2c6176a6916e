import type { Clock, Timer } from '../base/clock.js';
import type { Random } from '../base/random.js';
import { isDiskId, raftIdFromDiskId } from '../consensus/index.js';
import { FEATURE_LEVEL } from '../core/index.js';
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
const NO_ANSWER: Promise<unknown> = Promise.resolve(undefined);

/** What this disk has in writing before it belongs to a cluster. */
export interface Promised {
  readonly formation: Formation;
  /** Not a founding member: an existing cluster takes this disk in. */
  readonly adopted: boolean;
}

/** The small durable facts that formation needs from the data directory. */
export interface FormationMemory {
  readonly diskId: string;
  /** Null when nothing. */
  promised(): Promise<Promised | null>;
  promise(formation: Formation): Promise<void>;
  /** From here on the directory belongs to the cluster. */
  join(promised: Promised): Promise<void>;
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

/** How the other listed nodes stand. */
interface Others {
  readonly missing: readonly string[];
  /** Name and cluster of those that belong to one. */
  readonly formed: ReadonlyMap<string, string>;
  readonly hellos: ReadonlyMap<string, Hello>;
}

/**
 * How an empty disk comes to belong to a cluster, before any vote. A new cluster forms only when every listed peer
 * answers with an empty disk: the node with the smallest name, the founder, proposes id and members, all others write
 * that down (the promise), then the founder decides by writing its own identity, and tells the others (commit). Those
 * that do not hear it ask whoever belongs to the cluster.
 *
 * Two clusters can never come of one list, as each needs every disk's promise and a disk gives one: only the founder of
 * a promise, which alone decides and so knows that it has not, may replace it by a later attempt. Where the founder's
 * disk is lost, nobody knows whether it had decided; the promise stands, and the log tells the operator what to do.
 */
export class FormationDesk {
  readonly #parts: FormationParts;
  #done: ((formation: Formation | null) => void) | null = null;
  #failed: ((error: Error) => void) | null = null;
  #timer: Timer | null = null;
  #busy = false;
  #said = new Map<string, number>();
  #over = false;
  /** What reads and then changes the promise runs one after the other. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(parts: FormationParts) {
    this.#parts = parts;
  }

  /** Resolves once this directory belongs to a cluster; with null when it was stopped before. Rejects when the disk fails. */
  run(): Promise<Formation | null> {
    return new Promise((resolve, reject) => {
      this.#done = resolve;
      this.#failed = reject;
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
  answer(topic: string, body: unknown): Promise<unknown> {
    return this.#oneByOne(async () => {
      const formation = readFormation(body);
      if (formation === null) throw new Error('not a formation');
      if (formation.clusterName !== this.#parts.clusterName) {
        throw new Error(`this node is configured for the cluster ${this.#parts.clusterName}`);
      }
      if (topic === 'adopt') await this.#join({ formation, adopted: true });
      else if (topic === 'form.prepare') await this.#promise(formation);
      else await this.#decided(formation.clusterId);
      return { diskId: this.#parts.memory.diskId };
    });
  }

  async #promise(formation: Formation): Promise<void> {
    const { memory, name } = this.#parts;
    this.#checkOpen();
    const self = formation.members.find((member) => member.name === name);
    if (self?.diskId !== memory.diskId) {
      throw new Error(`the members do not name this disk (${memory.diskId})`);
    }
    const named = formation.members.map((member) => member.name).join(', ');
    const listed = this.#names().join(', ');
    if (named !== listed) {
      throw new Error(`the list of peers differs: it has ${named} there and ${listed} here`);
    }
    const before = await memory.promised();
    if (before?.formation.clusterId === formation.clusterId) return;
    if (before !== null && !replaces(formation, before)) {
      const { clusterId } = before.formation;
      const whose = before.adopted ? '' : ` with ${showMember(founderOf(before.formation))}`;
      throw new Error(
        `this disk has promised to join cluster ${clusterId}${whose}; its own log says what to do`,
      );
    }
    await this.#written(memory.promise(formation));
  }

  /** Somebody knows that the cluster is formed: what counts is what this disk has in writing. */
  async #decided(clusterId: string): Promise<void> {
    const promised = await this.#parts.memory.promised();
    if (promised?.formation.clusterId !== clusterId) {
      throw new Error(
        `this disk (${this.#parts.memory.diskId}) has not promised to join cluster ${clusterId}`,
      );
    }
    await this.#join(promised);
  }

  #round(): void {
    if (this.#over) return;
    this.#timer = this.#parts.clock.setTimer(ROUND_MS, () => this.#round());
    if (this.#busy) return;
    this.#busy = true;
    this.#try()
      .catch((error: unknown) => {
        if (!this.#over) this.#say('warn', { reason: (error as Error).message }, 'cluster not formed yet');
      })
      .finally(() => {
        this.#busy = false;
      });
  }

  async #try(): Promise<void> {
    const { peers, name, memory, asking } = this.#parts;
    const before = await memory.promised();
    const others = await this.#look(peers.filter((peer) => peer.name !== name));
    if (this.#over) return;
    const promisedId = before?.formation.clusterId;
    if ([...others.formed.values()].some((id) => id === promisedId)) {
      await this.#oneByOne(() => this.#decided(promisedId!));
      return;
    }
    if (others.formed.size > 0) {
      this.#say(
        'info',
        { formed: [...others.formed.keys()] },
        'this disk is empty and the cluster exists: waiting to be added (gearmesh cluster replace)',
      );
      return;
    }
    if (before !== null && this.#founderIsLost(before, others)) return;
    if (others.missing.length > 0) {
      this.#say(
        'info',
        { missing: others.missing },
        'waiting for every listed peer before the cluster can form',
      );
      return;
    }
    const formation = this.#proposal(before, others);
    if (formation === null) return;
    await this.#oneByOne(() => this.#promise(formation));
    const listed = [...others.hellos.keys()];
    await Promise.all(
      listed.map((peer) =>
        asking.ask(peer, 'form.prepare', formation, ASK_MS).catch((error: unknown) => {
          throw new Error(`${peer}: ${(error as Error).message}`);
        }),
      ),
    );
    // Every disk has it in writing: the decision is this write.
    await this.#oneByOne(() => this.#decided(formation.clusterId));
    for (const peer of listed) {
      asking.ask(peer, 'form.commit', formation, ASK_MS).catch((error: unknown) => {
        this.#parts.log.warn(
          { peer, reason: (error as Error).message },
          'a peer has yet to learn that the cluster formed; it will ask',
        );
      });
    }
  }

  /** Asks rather than trusts the hellos, which are as old as their connections. */
  async #look(peers: readonly PeerAddress[]): Promise<Others> {
    const missing: string[] = [];
    const formed = new Map<string, string>();
    const hellos = new Map<string, Hello>();
    await Promise.all(
      peers.map(async ({ name }) => {
        const hello = this.#parts.hello(name);
        const ask = hello === null ? NO_ANSWER : this.#parts.asking.ask(name, 'form.decided', null, ASK_MS);
        const cluster = await ask.catch(() => undefined);
        if (typeof cluster === 'string') formed.set(name, cluster);
        if (hello === null || cluster === undefined) missing.push(name);
        else hellos.set(name, hello);
      }),
    );
    return { missing, formed, hellos };
  }

  /** What is to be proposed now; null: it is not for this node to propose. */
  #proposal(before: Promised | null, others: Others): Formation | null {
    const { name, memory, peers, random, settings, clusterName, ownPeerAddress } = this.#parts;
    const members: Member[] = [this.#member(name, memory.diskId, ownPeerAddress)];
    for (const peer of peers) {
      const hello = others.hellos.get(peer.name);
      if (hello !== undefined)
        members.push(this.#member(peer.name, hello.diskId, `${peer.host}:${peer.port}`));
    }
    members.sort((a, b) => (a.name < b.name ? -1 : 1));
    if (members[0]!.name !== name) return null; // the smallest name speaks
    const own = before?.formation;
    if (
      own !== undefined &&
      own.members.length === members.length &&
      own.members.every((member, i) => member.diskId === members[i]!.diskId)
    ) {
      return own;
    }
    return {
      clusterId: Buffer.from(random.bytes(16)).toString('hex'),
      clusterName,
      members,
      settings,
      attempt: (own?.attempt ?? 0) + 1,
    };
  }

  /** True when nobody who is there can decide or replace what this disk has promised. */
  #founderIsLost({ formation, adopted }: Promised, others: Others): boolean {
    const { clusterId } = formation;
    if (adopted) {
      this.#say(
        'info',
        { clusterId },
        'this disk was about to join a cluster: waiting for one of its members',
      );
      return true;
    }
    const founder = founderOf(formation);
    const { name, memory } = this.#parts;
    const now = founder.name === name ? memory.diskId : others.hellos.get(founder.name)?.diskId;
    const listed = this.#names().includes(founder.name);
    if (now === founder.diskId || (now === undefined && listed)) return false;
    this.#say(
      'error',
      {
        clusterId,
        founder: founder.name,
        promised: founder.diskId,
        found: now ?? null,
        missing: others.missing,
      },
      `this node promised to form a cluster with a disk of ${founder.name} that is gone: as long as every listed node ` +
        'waits like this one and none belongs to a cluster, nothing was ever accepted: stop all of them, empty their ' +
        'data directories, and start them again',
    );
    return true;
  }

  async #join(promised: Promised): Promise<void> {
    const { formation } = promised;
    this.#checkOpen();
    await this.#written(this.#parts.memory.join(promised));
    this.#end();
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

  /** What a failed write has left on the disk is not known: a promise that may or may not be there helps nobody. */
  async #written(work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (error) {
      if (!this.#over) this.#failed?.(error as Error);
      this.#end();
      throw error;
    }
  }

  #checkOpen(): void {
    if (this.#over) throw new Error('this node already belongs to a cluster');
  }

  #oneByOne<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => {});
    return result;
  }

  /** Those that found the cluster, in order. */
  #names(): string[] {
    return [...new Set([this.#parts.name, ...this.#parts.peers.map((peer) => peer.name)])].sort();
  }

  #member(name: string, diskId: string, peer: string): Member {
    return { name, diskId, raftId: raftIdFromDiskId(diskId), peer };
  }

  #say(level: 'info' | 'warn' | 'error', fields: object, message: string): void {
    const now = this.#parts.clock.monotonicMs();
    if (now - (this.#said.get(message) ?? Number.NEGATIVE_INFINITY) < SAY_MS) return;
    this.#said.set(message, now);
    this.#parts.log[level](fields, message);
  }
}

/** The one that proposed it and alone decides: members are in order of their names. */
function founderOf(formation: Formation): Member {
  return formation.members[0]!;
}

function replaces(later: Formation, before: Promised): boolean {
  return (
    !before.adopted &&
    founderOf(later).diskId === founderOf(before.formation).diskId &&
    later.attempt > before.formation.attempt
  );
}

function showMember(member: Member): string {
  return `disk ${member.diskId} of ${member.name}`;
}

/** What a hello is judged by. */
export interface OwnView {
  readonly name: string;
  readonly clusterName: string;
  readonly clusterId: string | null;
  /** Null: this node belongs to no cluster yet. */
  readonly members: readonly Member[] | null;
  /** Index of the log entry that decided `members`. */
  readonly configuration: number;
}

/** Whether a hello may stay: null, or the reason why not. */
export function judgeHello(own: OwnView, theirs: Hello): string | null {
  if (theirs.clusterName !== own.clusterName) {
    return `cluster name ${theirs.clusterName} is not ${own.clusterName}`;
  }
  if (theirs.featureLevel > FEATURE_LEVEL) {
    return `feature level ${theirs.featureLevel} is above ${FEATURE_LEVEL}, the highest that ${own.name} knows: update it`;
  }
  if (!isDiskId(theirs.diskId)) return `disk id ${JSON.stringify(theirs.diskId)} is none`;
  const member = own.members?.find((one) => one.name === theirs.name);
  if (own.members !== null && member === undefined) return `the cluster has no node ${theirs.name}`;
  if (own.clusterId === null || theirs.clusterId === null) return null;
  if (theirs.clusterId !== own.clusterId) return `cluster id ${theirs.clusterId} is not ${own.clusterId}`;
  // Who was away while a disk was replaced knows the old one; the new one may lead by now, and bring it up to date.
  const isNews = theirs.configuration > own.configuration;
  if (member !== undefined && member.diskId !== theirs.diskId && !isNews) {
    return `disk ${theirs.diskId} was replaced: the cluster knows ${theirs.name} by disk ${member.diskId}`;
  }
  return null;
}
