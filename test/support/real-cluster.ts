import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { whyNotFree } from '../../src/cli/dev-ports.js';
import { Client, type ClusterInfo, type EndpointOrder } from '../../src/client/index.js';
import { HASHES_DIFFER } from '../../src/node/rounds.js';
import { ENTRY } from './root.js';

const READY_MS = 30_000;
const LOOK_MS = 10;

/** Addresses of one node, `host:port`. */
export interface NodePlace {
  readonly grpc: string;
  readonly peer: string;
  readonly http: string;
  readonly gearman: string;
  /** Where the others are told that its peer address is, e.g. that of a proxy. Absent: where it listens. */
  readonly told?: string;
}

export interface RealClusterOptions {
  readonly nodes?: number;
  /** Absent: free ports on loopback. */
  readonly places?: readonly NodePlace[];
  /** Where the first node listens for Gearman. Absent: any free port. */
  readonly gearmanPort?: number;
  /** More flags of `gearmesh server` for every node. */
  readonly flags?: readonly string[];
  /** Program and arguments put before the interpreter, e.g. a tracer; `directory` is the cluster's own. */
  readonly wrap?: (name: string, directory: string) => readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** The same for one node alone; `directory` is the cluster's own. */
  readonly environmentOf?: (name: string, directory: string) => Readonly<Record<string, string>>;
  /** Flags of the interpreter. */
  readonly nodeFlags?: readonly string[];
}

/** One node as a process of its own, on loopback, with its data on the real disk. */
export class RealNode {
  readonly name: string;
  readonly grpc: string;
  readonly peer: string;
  readonly http: string;
  readonly gearman: string;
  readonly directory: string;
  readonly logFile: string;
  readonly #command: readonly string[];
  readonly #environment: Readonly<Record<string, string>>;
  #process: ChildProcess | null = null;

  constructor(o: {
    name: string;
    grpc: string;
    peer: string;
    http: string;
    gearman: string;
    directory: string;
    logFile: string;
    command: readonly string[];
    environment: Readonly<Record<string, string>>;
  }) {
    this.name = o.name;
    this.grpc = o.grpc;
    this.peer = o.peer;
    this.http = o.http;
    this.gearman = o.gearman;
    this.directory = o.directory;
    this.logFile = o.logFile;
    this.#command = o.command;
    this.#environment = o.environment;
  }

  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  get running(): boolean {
    return this.#process !== null && this.#process.exitCode === null && this.#process.signalCode === null;
  }

  start(): void {
    if (this.running) throw new Error(`${this.name} runs already`);
    const log = openSync(this.logFile, 'a');
    const [program, ...args] = this.#command;
    this.#process = spawn(program!, args, {
      stdio: ['ignore', log, log],
      env: { ...process.env, ...this.#environment },
    });
    closeSync(log);
  }

  signal(signal: NodeJS.Signals): void {
    this.#process?.kill(signal);
  }

  /** Ends it with `signal` and waits until the process is gone. Returns its exit code (null: by the signal). */
  async end(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#process;
    if (child === null || !this.running) return child?.exitCode ?? null;
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
    return child.exitCode;
  }

  log(): string {
    return readFileSync(this.logFile, 'utf8');
  }

  /** Resolves once the log, from `from` on (characters), holds every one of the texts. */
  async logged(texts: readonly string[], from = 0): Promise<void> {
    await until(READY_MS, () => texts.every((text) => this.log().slice(from).includes(text))).catch(() => {
      throw new Error(
        `${this.name} did not log ${texts.join(' … ')}; its log ends with\n${this.log().slice(-3_000)}`,
      );
    });
  }

  /** Files and sockets that the process has open now. */
  openFiles(): number {
    return readdirSync(`/proc/${this.pid}/fd`).length;
  }

  /** Bytes of memory that the process holds now. */
  residentBytes(): number {
    const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'));
    return Number(line![1]) * 1024;
  }

  /** Resolves when it answers that it is ready. */
  async ready(): Promise<void> {
    await until(READY_MS, async () => (await this.probe('/readyz')) === 200).catch((error: unknown) => {
      throw new Error(`${this.name} is not ready: ${String(error)}\n${this.log().slice(-3_000)}`);
    });
  }

  async probe(path: string): Promise<number> {
    try {
      return (await fetch(`http://${this.http}${path}`, { signal: AbortSignal.timeout(1_000) })).status;
    } catch {
      return 0;
    }
  }

  async text(path: string): Promise<string> {
    return (await fetch(`http://${this.http}${path}`, { signal: AbortSignal.timeout(5_000) })).text();
  }
}

/** A cluster of real processes with real sockets and real disks. */
export class RealCluster {
  readonly nodes: readonly RealNode[];
  readonly directory: string;

  private constructor(nodes: readonly RealNode[], directory: string) {
    this.nodes = nodes;
    this.directory = directory;
  }

  static async start(options: RealClusterOptions = {}): Promise<RealCluster> {
    const cluster = await RealCluster.prepare(options);
    for (const node of cluster.nodes) node.start();
    try {
      await cluster.ready();
    } catch (error) {
      await cluster.remove();
      throw error;
    }
    return cluster;
  }

  /** Everything but the processes. */
  static async prepare(options: RealClusterOptions = {}): Promise<RealCluster> {
    const count = options.nodes ?? 3;
    const directory = mkdtempSync(join(tmpdir(), 'gearmesh-test-'));
    const places = options.places ?? (await freePlaces(count, options.gearmanPort));
    const peers = places.map(({ peer, told = peer }, i) => `n${i + 1}=${told}`).join(',');
    const nodes = places.map(({ grpc, peer, http, gearman }, i) => {
      const name = `n${i + 1}`;
      const data = join(directory, name);
      const flags = ['--id', name, '--data-dir', data, '--cluster-name', 'test'];
      flags.push(
        '--listen-grpc',
        grpc,
        '--listen-peer',
        peer,
        '--listen-http',
        http,
        '--listen-gearman',
        gearman,
      );
      flags.push('--peers', peers);
      const command = [
        ...(options.wrap?.(name, directory) ?? []),
        process.execPath,
        ...(options.nodeFlags ?? []),
        ENTRY,
        'server',
        ...flags,
      ];
      return new RealNode({
        name,
        grpc,
        peer,
        http,
        gearman,
        directory: data,
        logFile: join(directory, `${name}.log`),
        command: [...command, ...(options.flags ?? [])],
        environment: { ...options.environment, ...options.environmentOf?.(name, directory) },
      });
    });
    return new RealCluster(nodes, directory);
  }

  get endpoints(): string[] {
    return this.nodes.map((node) => node.grpc);
  }

  node(name: string): RealNode {
    const node = this.nodes.find((one) => one.name === name);
    if (node === undefined) throw new Error(`there is no node ${name}`);
    return node;
  }

  /** `only` one node, or all of them beginning with `first`, or all of them in any order. */
  client(
    options: {
      only?: string;
      first?: string;
      connections?: number;
      timeoutMs?: number;
      order?: EndpointOrder;
    } = {},
  ): Client {
    const { only, first, connections = 1, timeoutMs } = options;
    const endpoints = only === undefined ? this.endpointsFrom(first) : [this.node(only).grpc];
    return new Client({
      endpoints,
      connections,
      order: options.order ?? (first === undefined ? 'random' : 'listed'),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    });
  }

  /** gRPC addresses, those of `first` first. */
  endpointsFrom(first: string | undefined): string[] {
    if (first === undefined) return this.endpoints;
    const at = this.node(first).grpc;
    return [at, ...this.endpoints.filter((endpoint) => endpoint !== at)];
  }

  /** The nodes that do not lead now. */
  async followers(): Promise<RealNode[]> {
    const leader = await this.leader();
    return this.nodes.filter((node) => node !== leader);
  }

  /** Resolves when every running node answers that it is ready. */
  async ready(): Promise<void> {
    if (!this.nodes.some((node) => node.running)) throw new Error(`no node runs\n${this.logs()}`);
    await until(READY_MS, async () => {
      for (const node of this.nodes) {
        if (node.running && (await node.probe('/readyz')) !== 200) return false;
      }
      return true;
    }).catch((error: unknown) => {
      throw new Error(`the cluster is not ready: ${String(error)}\n${this.logs()}`);
    });
  }

  /** What one node says of the cluster now. */
  async info(name?: string): Promise<ClusterInfo> {
    const asked = name === undefined ? this.nodes.find((node) => node.running)! : this.node(name);
    const client = new Client({ endpoints: asked.grpc });
    try {
      return await client.cluster.get({ consistency: 'eventual', timeoutMs: 2_000 });
    } finally {
      await client.close();
    }
  }

  async leader(): Promise<RealNode> {
    let name = '';
    await until(READY_MS, async () => {
      for (const node of this.nodes.filter((one) => one.running)) {
        const info = await this.info(node.name).catch(() => null);
        name = info?.leader ?? '';
        if (name !== '' && this.node(name).running) return true;
      }
      return false;
    });
    return this.node(name);
  }

  /**
   * Resolves with the common hash once all running nodes show the same one at the same index. Rejects when any node
   * ever had another state than the rest or set its data aside, which mends it: only `damaged`, whose disk the test
   * broke, may have done the latter.
   */
  async agreedHash(options: { damaged?: RealNode | readonly RealNode[] } = {}): Promise<string> {
    const damaged = [options.damaged ?? []].flat();
    let hash = '';
    await until(READY_MS, async () => {
      const seen = new Set<string>();
      for (const node of this.nodes.filter((one) => one.running)) {
        const info = await this.info(node.name);
        const own = info.nodes.find((one) => one.name === node.name)!;
        if (own.stateHashIndex !== own.appliedIndex) return false;
        seen.add(`${own.stateHashIndex} ${own.stateHash}`);
      }
      hash = [...seen][0] ?? '';
      return seen.size === 1;
    });
    for (const node of this.nodes) {
      const wrong = whyAstray(node, damaged.includes(node));
      if (wrong !== null) throw new Error(`${wrong}\n${node.log().slice(-3_000)}`);
    }
    return hash;
  }

  logs(): string {
    return this.nodes
      .filter((node) => node.pid !== 0)
      .map((node) => `--- ${node.name}\n${node.log().slice(-4_000)}`)
      .join('\n');
  }

  /** Kills what still runs and removes the data. */
  async remove(): Promise<void> {
    for (const node of this.nodes) {
      node.signal('SIGCONT');
      await node.end('SIGKILL');
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** What shows that the node's state or disk was once not what it should be; null: nothing does. */
export function whyAstray(
  node: Pick<RealNode, 'name' | 'directory' | 'log'>,
  isDamaged = false,
): string | null {
  if (node.log().includes(HASHES_DIFFER)) return `${node.name} had another state than the others`;
  const aside = readdirSync(node.directory).find((name) => name.startsWith('damaged-'));
  return aside === undefined || isDamaged ? null : `${node.name} set its data aside: ${aside}`;
}

/** Asks again and again, a moment apart, until the answer is yes; rejects after `ms`. */
export async function until(ms: number, condition: () => Promise<boolean> | boolean): Promise<void> {
  const end = Date.now() + ms;
  let last: unknown = null;
  for (;;) {
    try {
      if (await condition()) return;
      last = null;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw new Error(`not within ${ms} ms${last === null ? '' : `: ${String(last)}`}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

/** The one port in reach that `fetch` refuses to ask (Fetch Standard, section 2.9, "Port blocking"). */
const NOT_FETCHED = 10_080;

async function freePlaces(count: number, gearmanPort: number | undefined): Promise<NodePlace[]> {
  const ports = await freePorts(count * 4);
  const at = (i: number): string => `127.0.0.1:${ports[i]}`;
  return Array.from({ length: count }, (_, i) => {
    const gearman = i === 0 && gearmanPort !== undefined ? `127.0.0.1:${gearmanPort}` : at(i * 4 + 3);
    return { grpc: at(i * 4), peer: at(i * 4 + 1), http: at(i * 4 + 2), gearman };
  });
}

/** Below the ports that systems hand out by themselves: a node that starts again finds its own still free. */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) {
    const port = 10_000 + randomInt(22_000);
    if (port !== NOT_FETCHED && (await whyNotFree(port)) === null) ports.add(port);
  }
  return [...ports];
}
