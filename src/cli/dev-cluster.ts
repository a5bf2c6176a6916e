import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { environmentNameOf, OPTIONS } from '../config/index.js';
import { whyNotFree } from './dev-ports.js';
import { ENGINE_FLAGS } from './engine-flags.js';
import { CliError } from './exit-codes.js';

export interface DevClusterOptions {
  readonly nodes: number;
  /** Node i listens on this port + 10·i (gRPC), + 1 (peers), + 2 (HTTP), + 3 (Gearman). */
  readonly basePort: number;
  /** Node n1 has its data in n1 below it, and its log in n1.log. */
  readonly directory: string;
  readonly clusterName: string;
  /** Path of the program's own script. */
  readonly entry: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** More flags of `gearmesh server`, for every node. */
  readonly serverFlags: readonly string[];
  /** Start a node again when it ends without having been told to. */
  readonly restart: boolean;
  /** Lines for people. */
  readonly report: (line: string) => void;
  /** Gives the start up. */
  readonly signal: AbortSignal;
}

/** One node as `dev --json` prints it; addresses are `host:port`. */
export interface DevNode {
  readonly id: string;
  pid: number;
  readonly grpc: string;
  readonly peer: string;
  readonly http: string;
  readonly gearman: string;
  readonly data_dir: string;
  /** The whole argument vector that starts this node again, interpreter first. */
  readonly args: readonly string[];
}

interface Running {
  readonly node: DevNode;
  readonly logFile: string;
  process: ChildProcess;
  /** Resolves when the process has ended. */
  ended: Promise<void>;
}

const READY_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 30_000;
const RESTART_PAUSE_MS = 500;
const HOST = '127.0.0.1';

/** Nodes of one cluster on loopback, each a process of its own that ends when this one does. */
export class DevCluster {
  readonly #options: DevClusterOptions;
  readonly #running: Running[] = [];
  #stopping = false;

  private constructor(options: DevClusterOptions) {
    this.#options = options;
  }

  /** Starts all nodes and waits until each is ready. Rejects (with nothing left running) when one does not come up. */
  static async start(options: DevClusterOptions): Promise<DevCluster> {
    const cluster = new DevCluster(options);
    try {
      await cluster.#start();
      return cluster;
    } catch (error) {
      cluster.kill();
      await Promise.all(cluster.#running.map((r) => r.ended));
      throw error;
    }
  }

  get nodes(): readonly DevNode[] {
    return this.#running.map((r) => r.node);
  }

  get endpoints(): string[] {
    return this.nodes.map((n) => n.grpc);
  }

  /** Ends the nodes one after the other, each in good order; one that takes too long is killed. */
  async stop(): Promise<void> {
    this.#stopping = true;
    for (const running of this.#running) {
      if (!isAlive(running.process)) continue;
      running.process.kill('SIGTERM');
      const late = new AbortController();
      const killed = sleep(STOP_TIMEOUT_MS, undefined, { signal: late.signal }).then(
        () => {
          this.#options.report(`${running.node.id} did not stop within ${STOP_TIMEOUT_MS / 1_000} s: killed`);
          running.process.kill('SIGKILL');
        },
        () => {},
      );
      await running.ended;
      late.abort();
      await killed;
    }
  }

  /** Ends all nodes at once. */
  kill(): void {
    this.#stopping = true;
    for (const running of this.#running) running.process.kill('SIGKILL');
  }

  async #start(): Promise<void> {
    const { nodes, basePort } = this.#options;
    for (let i = 0; i < nodes; i++) {
      for (const port of [0, 1, 2, 3]) await assertFree(basePort + 10 * i + port);
    }
    mkdirSync(this.#options.directory, { recursive: true });
    for (let i = 0; i < nodes; i++) this.#running.push(this.#launch(this.#describe(i)));
    await Promise.all(this.#running.map((running) => this.#untilReady(running)));
  }

  #describe(i: number): DevNode {
    const { nodes, basePort, clusterName, entry, serverFlags } = this.#options;
    const at = (index: number, offset: number): string => `${HOST}:${basePort + 10 * index + offset}`;
    const id = `n${i + 1}`;
    const dataDirectory = resolve(this.#options.directory, id);
    const peers = Array.from({ length: nodes }, (_, index) => `n${index + 1}=${at(index, 1)}`).join(',');
    const flags: string[] = [];
    flags.push('--id', id, '--data-dir', dataDirectory, '--cluster-name', clusterName);
    flags.push('--listen-grpc', at(i, 0), '--listen-peer', at(i, 1), '--listen-http', at(i, 2));
    flags.push('--listen-gearman', at(i, 3));
    flags.push('--peers', peers, ...serverFlags);
    return {
      id,
      pid: 0,
      grpc: at(i, 0),
      peer: at(i, 1),
      http: at(i, 2),
      gearman: at(i, 3),
      data_dir: dataDirectory,
      args: [process.execPath, ...ENGINE_FLAGS, ...process.execArgv, entry, 'server', ...flags],
    };
  }

  #launch(node: DevNode): Running {
    const logFile = join(this.#options.directory, `${node.id}.log`);
    const child = this.#spawn(node, logFile);
    const running: Running = { node, logFile, process: child, ended: Promise.resolve() };
    this.#watch(running);
    return running;
  }

  #spawn(node: DevNode, logFile: string): ChildProcess {
    const log = openSync(logFile, 'a');
    try {
      const [program, ...args] = node.args;
      // A process group of its own, so that Ctrl-C in the terminal reaches this process alone, which stops the nodes
      // in order; the channel tells the node when this process is gone, however it went.
      const child = spawn(program!, args, {
        stdio: ['ignore', log, log, 'ipc'],
        detached: true,
        env: nodeEnvironment(this.#options.environment),
      });
      node.pid = child.pid ?? 0;
      return child;
    } finally {
      closeSync(log);
    }
  }

  #watch(running: Running): void {
    const child = running.process;
    child.on('error', (error) => this.#options.report(`${running.node.id}: ${error.message}`));
    running.ended = once(child, 'exit').then(
      () => this.#onEnd(running, child),
      () => {},
    );
  }

  #onEnd(running: Running, child: ChildProcess): void {
    if (this.#stopping) return;
    const { node } = running;
    const how = child.signalCode ?? `exit code ${child.exitCode}`;
    if (!this.#options.restart) {
      this.#options.report(`${node.id} (pid ${child.pid}) ended: ${how}; its log is ${running.logFile}`);
      return;
    }
    this.#options.report(`${node.id} (pid ${child.pid}) ended: ${how}; starting it again`);
    setTimeout(() => {
      if (this.#stopping) return;
      running.process = this.#spawn(node, running.logFile);
      this.#watch(running);
    }, RESTART_PAUSE_MS);
  }

  async #untilReady(running: Running): Promise<void> {
    const { node } = running;
    const deadline = Date.now() + READY_TIMEOUT_MS;
    let reason = 'no answer yet';
    while (Date.now() < deadline) {
      this.#options.signal.throwIfAborted();
      if (!isAlive(running.process) && !this.#options.restart) {
        throw new CliError('FAILED', `node ${node.id} ended while it started`, lastLines(running.logFile));
      }
      const answer = await fetch(`http://${node.http}/readyz`, { signal: AbortSignal.timeout(2_000) }).catch(
        () => null,
      );
      if (answer !== null) {
        reason = (await answer.text()).trim();
        if (answer.ok) {
          this.#options.report(`${node.id} is ready (pid ${node.pid}, gRPC ${node.grpc})`);
          return;
        }
      }
      await sleep(25);
    }
    throw new CliError(
      'TIMEOUT',
      `node ${node.id} is not ready after ${READY_TIMEOUT_MS / 1_000} s: ${reason}`,
      lastLines(running.logFile),
    );
  }
}

function isAlive(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null && child.pid !== undefined;
}

/** The environment for a node: settings that name one node are the cluster's to give, by flags. */
function nodeEnvironment(environment: DevClusterOptions['environment']): NodeJS.ProcessEnv {
  const result: NodeJS.ProcessEnv = { ...environment, GEARMESH_STOP_WITH_PARENT: 'true' };
  delete result.GEARMESH_CONFIG;
  for (const [key, option] of Object.entries(OPTIONS)) {
    const single = option.section === 'Node' || option.section === 'Addresses' || key === 'peers';
    if (single || key === 'peers-template' || key === 'replicas') delete result[environmentNameOf(key)];
  }
  return result;
}

async function assertFree(port: number): Promise<void> {
  const why = await whyNotFree(port);
  if (why === null) return;
  throw new CliError(
    'FAILED',
    `port ${port} cannot be used: ${why}`,
    'choose other ports with --base-port, or end what uses this one',
  );
}

function lastLines(path: string): string {
  if (!existsSync(path)) return '';
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
  return `its log (${path}) ends with:\n${lines.slice(-10).join('\n')}`;
}
