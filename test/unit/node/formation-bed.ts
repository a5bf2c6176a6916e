import type { Asking } from '../../../src/node/asking.js';
import { FormationDesk, type Promised } from '../../../src/node/formation.js';
import type { Formation } from '../../../src/node/members.js';
import type { Hello } from '../../../src/peer/types.js';
import type { SimClock, World } from '../../../src/sim/world.js';

const NO_ANSWER_MS = 500;

/** A disk that outlives its process, and what its owner may have thrown away. */
export class FounderDisk {
  readonly name: string;
  readonly id: string;
  promised: Promised | null = null;
  joined: Formation | null = null;
  lost = false;

  constructor(name: string, number: number) {
    this.name = name;
    this.id = `${name.slice(1)}${number}`.padEnd(32, 'ab');
  }
}

export class Founder {
  readonly disk: FounderDisk;
  readonly clock: SimClock;
  desk: FormationDesk | null = null;
  alive = true;

  constructor(disk: FounderDisk, clock: SimClock) {
    this.disk = disk;
    this.clock = clock;
  }
}

/**
 * Founders in virtual time. Questions, answers and writes take time, and each is a step at which something may happen.
 * Questions of a process that died still arrive. Under one name two processes may run: `route` says which one is heard.
 */
export class FormationBed {
  readonly world: World;
  readonly names: readonly string[];
  readonly disks: FounderDisk[] = [];
  readonly log: { name: string; message: string }[] = [];
  readonly route = new Map<string, Founder>();
  steps = 0;
  /** Called before each step, with its number. */
  onStep: (step: number) => void = () => {};
  delayMs: () => number = () => 1;
  /** Whether a question or an answer gets lost. */
  loses: () => boolean = () => false;

  constructor(world: World, names: readonly string[]) {
    this.world = world;
    this.names = names;
  }

  start(name: string, disk = this.newDisk(name)): Founder {
    const process = new Founder(disk, this.world.clock(0));
    this.route.set(name, process);
    if (disk.joined !== null) return process;
    const say = (_: object, message: string): void => {
      if (process.alive) this.log.push({ name, message });
    };
    const desk = new FormationDesk({
      name,
      clusterName: 'c',
      peers: this.names.map((one) => ({ name: one, host: one, port: 7731 })),
      settings: {},
      memory: {
        diskId: disk.id,
        promised: async () => disk.promised,
        promise: (formation) =>
          this.#write(process, () => {
            disk.promised = { formation, adopted: false };
          }),
        join: (promised) =>
          this.#write(process, () => {
            disk.promised = promised;
            disk.joined = promised.formation;
          }),
      },
      clock: process.clock,
      random: this.world.random,
      log: { debug: () => {}, info: say, warn: say, error: say },
      asking: {
        ask: (to: string, topic: string, body: unknown) =>
          Promise.race([this.#ask(to, topic, body), this.#silence()]),
      } as unknown as Asking,
      hello: (peer) => this.#hello(peer),
      ownPeerAddress: `${name}:7731`,
    });
    process.desk = desk;
    void desk.run().catch(() => {});
    return process;
  }

  kill(process: Founder): void {
    process.alive = false;
    process.clock.kill();
    if (this.route.get(process.disk.name) === process) this.route.delete(process.disk.name);
  }

  /** The process dies, its disk is lost, and it is started again with an empty one. */
  wipe(name: string): Founder {
    const process = this.route.get(name);
    if (process !== undefined) {
      this.kill(process);
      process.disk.lost = true;
    }
    return this.start(name);
  }

  newDisk(name: string): FounderDisk {
    const disk = new FounderDisk(name, this.disks.length);
    this.disks.push(disk);
    return disk;
  }

  /** Clusters of which a majority of the disks ever joined: each could have accepted jobs. */
  quorums(): string[] {
    const joined = new Map<string, { formation: Formation; disks: Set<string> }>();
    for (const disk of this.disks) {
      if (disk.joined === null) continue;
      const one = joined.get(disk.joined.clusterId) ?? { formation: disk.joined, disks: new Set() };
      one.disks.add(disk.id);
      joined.set(disk.joined.clusterId, one);
    }
    return [...joined.values()]
      .filter(({ formation, disks }) => disks.size * 2 > formation.members.length)
      .map(({ formation }) => formation.clusterId);
  }

  /** Cluster of each name's running disk. */
  clusters(): (string | undefined)[] {
    return this.names.map((name) => this.route.get(name)?.disk.joined?.clusterId);
  }

  #hello(name: string): Hello | null {
    const process = this.route.get(name);
    if (process === undefined) return null;
    const clusterId = process.disk.joined?.clusterId ?? null;
    const address = `${name}:7731`;
    return {
      ...{ protocol: 1, featureLevel: 1, name, diskId: process.disk.id, clusterId, clusterName: 'c' },
      ...{ configuration: 0, grpc: '', http: '', peer: address, version: '0' },
    };
  }

  async #ask(to: string, topic: string, body: unknown): Promise<unknown> {
    await this.#step();
    const there = this.route.get(to);
    if (there === undefined || this.loses()) return this.#silence();
    const answer =
      topic === 'form.decided'
        ? (there.disk.joined?.clusterId ?? null)
        : await (there.desk?.answer(topic, body) ?? Promise.reject(new Error('already belongs')));
    await this.#step();
    if (this.loses()) return this.#silence();
    return answer;
  }

  async #silence(): Promise<never> {
    await this.world.sleep(NO_ANSWER_MS);
    throw new Error('no answer');
  }

  async #write(process: Founder, write: () => void): Promise<void> {
    await this.#step();
    if (!process.alive) return new Promise(() => {});
    write();
  }

  async #step(): Promise<void> {
    await this.world.sleep(this.delayMs());
    this.onStep(this.steps++);
  }
}
