import { execFileSync } from 'node:child_process';
import { cpSync, lstatSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { SeededRandom } from '../../src/sim/random.js';
import { RealCluster, type RealNode, until } from '../support/real-cluster.js';
import { ROOT } from '../support/root.js';
import type { Conditions, Network } from './links/conditions.js';
import { packetNetwork, proxyNetwork } from './links/network.js';
import { type Machine, mountVolume } from './machine.js';
import { SETTINGS } from './settings.js';

const VOLUME_BYTES = 2 * 2 ** 30;
const READY_MS = 60_000;
const LOOK_MS = 50;
const PRELOAD = pathToFileURL(join(ROOT, 'test/chaos/preload.mjs')).href;

/** From `from` on a majority was, or was not, up and connected. */
export interface Span {
  readonly from: number;
  readonly majority: boolean;
}

/** The cluster with all that faults can turn on it, and what is known about how it stands. */
export class Stage {
  readonly cluster: RealCluster;
  readonly network: Network;
  readonly machine: Machine;
  /** Milliseconds since the start of the run: the one clock of the history. */
  readonly now: () => number;
  /** Promises seen broken by other means than the history. */
  readonly findings: string[] = [];
  readonly spans: Span[] = [];
  /** Nodes whose disk was spoilt at some time. */
  readonly damaged = new Set<RealNode>();
  readonly #say: (line: string) => void;
  /** Each node has a file system of its own. */
  readonly #volumes: boolean;
  readonly #mounted = new Set<RealNode>();
  readonly #down = new Map<RealNode, number>();
  #watch: NodeJS.Timeout | null = null;
  /** Should this program itself fail: nobody else would end them. */
  readonly #killAll = (): void => {
    for (const node of this.cluster.nodes) node.signal('SIGKILL');
  };

  private constructor(
    cluster: RealCluster,
    network: Network,
    machine: Machine,
    o: { volumes: boolean; now: () => number; say: (line: string) => void },
  ) {
    this.cluster = cluster;
    this.network = network;
    this.machine = machine;
    this.now = o.now;
    this.#say = o.say;
    this.#volumes = o.volumes;
    network.conditions.onChange(() => this.#looked());
  }

  static async open(o: {
    nodes: number;
    machine: Machine;
    /** Each node gets a file system of its own. */
    volumes: boolean;
    /** Clocks are to be set. */
    clocks: boolean;
    random: SeededRandom;
    now: () => number;
    say: (line: string) => void;
  }): Promise<Stage> {
    const names = Array.from({ length: o.nodes }, (_, i) => `n${i + 1}`);
    const build = o.machine.packets === '' ? packetNetwork : proxyNetwork;
    const built = await build(names, o.random);
    const cluster = await RealCluster.prepare({
      places: built.places,
      wrap: (name) => built.wrap(name),
      flags: [...SETTINGS.flags, ...built.flags],
      nodeFlags: ['--import', PRELOAD],
      environmentOf: (name, directory) => ({
        CHAOS_SLOW_SYNC: join(directory, `${name}.slow`),
        CHAOS_DIAL_FROM: built.dialFrom(name),
        ...clockEnvironment(o.clocks ? o.machine.faketime : '', join(directory, `${name}.clock`)),
      }),
    });
    const stage = new Stage(cluster, built.network, o.machine, o);
    try {
      await stage.#start();
      return stage;
    } catch (error) {
      await stage.close({ keep: false });
      throw error;
    }
  }

  async #start(): Promise<void> {
    process.once('exit', this.#killAll);
    for (const node of this.cluster.nodes) {
      this.setClock(node, 0);
      this.setSyncDelay(node, 0);
      mkdirSync(node.directory);
      if (this.#volumes) {
        mountVolume(this.#fileOf(node, 'image'), node.directory, VOLUME_BYTES);
        this.#mounted.add(node);
      }
      node.start();
    }
    await this.cluster.ready();
    this.#looked();
    this.#watch = setInterval(() => this.#lookForDead(), LOOK_MS);
  }

  get conditions(): Conditions {
    return this.network.conditions;
  }

  get names(): string[] {
    return this.cluster.nodes.map((node) => node.name);
  }

  say(line: string): void {
    this.#say(`${(this.now() / 1_000).toFixed(1).padStart(7)} s  ${line}`);
  }

  found(what: string): void {
    this.findings.push(what);
    this.say(`VIOLATION ${what}`);
  }

  /** The leader; null while none is known. */
  async leader(): Promise<RealNode | null> {
    for (const node of this.cluster.nodes) {
      if (this.#down.has(node)) continue;
      const info = await this.cluster.info(node.name).catch(() => null);
      const named = this.cluster.nodes.find(({ name }) => name === info?.leader);
      if (named !== undefined) return named;
    }
    return null;
  }

  setSyncDelay(node: RealNode, ms: number): void {
    writeFileSync(this.#fileOf(node, 'slow'), String(ms));
  }

  /** How far the node's wall clock is off, in seconds. */
  setClock(node: RealNode, seconds: number): void {
    writeFileSync(this.#fileOf(node, 'clock'), `${seconds < 0 ? '' : '+'}${seconds}s\n`);
  }

  #fileOf(node: RealNode, what: string): string {
    return join(this.cluster.directory, `${node.name}.${what}`);
  }

  /** A fault begins to keep the node from its work, or will: it counts as away until `back` was called as often. */
  away(node: RealNode): void {
    this.#down.set(node, (this.#down.get(node) ?? 0) + 1);
    this.#looked();
  }

  back(node: RealNode): void {
    const left = (this.#down.get(node) ?? 0) - 1;
    if (left > 0) this.#down.set(node, left);
    else this.#down.delete(node);
    this.#looked();
  }

  /** Starts it where it does not run, and resolves when it is ready; false, and a finding, when it is not in time. */
  async revive(node: RealNode): Promise<boolean> {
    if (!node.running) node.start();
    try {
      await until(READY_MS, async () => (await node.probe('/readyz')) === 200);
      return true;
    } catch {
      this.found(`${node.name} is not ready ${READY_MS / 1_000} s after its fault was over`);
      return false;
    }
  }

  /** A process that ends though nobody ended it. */
  #lookForDead(): void {
    for (const node of this.cluster.nodes) {
      if (node.running || this.#down.has(node)) continue;
      this.found(`${node.name} ended by itself; its log ends with\n${node.log().slice(-2_000)}`);
      this.away(node);
      void this.revive(node).then(() => this.back(node));
    }
  }

  #looked(): void {
    const majority = this.#majority();
    if (this.spans.at(-1)?.majority !== majority) this.spans.push({ from: this.now(), majority });
  }

  /** Some majority is up, and each two of it can talk. */
  #majority(): boolean {
    const up = this.cluster.nodes.filter((node) => !this.#down.has(node));
    const wanted = (this.cluster.nodes.length >> 1) + 1;
    const grow = (chosen: readonly RealNode[], from: number): boolean => {
      if (chosen.length >= wanted) return true;
      for (let i = from; i < up.length; i++) {
        const next = up[i]!;
        const fits = chosen.every((one) => this.conditions.connected(one.name, next.name));
        if (fits && grow([...chosen, next], i + 1)) return true;
      }
      return false;
    };
    return grow([], 0);
  }

  stopWatching(): void {
    if (this.#watch !== null) clearInterval(this.#watch);
  }

  /** Ends processes and file systems; with `keep` what was on those is put in their place, else all is removed. */
  async close(o: { keep: boolean }): Promise<void> {
    this.stopWatching();
    process.off('exit', this.#killAll);
    for (const node of this.cluster.nodes) {
      node.signal('SIGCONT');
      await node.end('SIGKILL');
    }
    await this.network.close();
    for (const node of this.#mounted) this.#unmount(node, o.keep);
    if (!o.keep) rmSync(this.cluster.directory, { recursive: true, force: true });
  }

  #unmount(node: RealNode, keep: boolean): void {
    const copy = this.#fileOf(node, 'data');
    // Sockets cannot be copied, and a node's lock is one.
    const filter = (path: string): boolean => !lstatSync(path).isSocket();
    if (keep) cpSync(node.directory, copy, { recursive: true, filter });
    // At once, whoever may still have a file of it open.
    execFileSync('umount', ['-l', node.directory]);
    rmSync(this.#fileOf(node, 'image'), { force: true });
    if (!keep) return;
    rmSync(node.directory, { recursive: true });
    renameSync(copy, node.directory);
  }
}

function clockEnvironment(library: string, file: string): Record<string, string> {
  if (library === '') return {};
  return {
    LD_PRELOAD: library,
    FAKETIME_TIMESTAMP_FILE: file,
    FAKETIME_CACHE_DURATION: '1',
    // Both names are in use; timers must go on as they are.
    DONT_FAKE_MONOTONIC: '1',
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
    NO_FAKE_STAT: '1',
  };
}
