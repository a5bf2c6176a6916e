import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { answers } from '../../support/listening.js';
import { until } from '../../support/real-cluster.js';
import { untilEnd } from './leftovers.js';
import { surroundings } from './programs.js';

const READY_MS = 60_000;
const LOG_CHARS = 2_000;

export interface ServerOptions {
  readonly name: string;
  readonly command: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** Where it runs. */
  readonly directory: string;
  /** What it says on its streams is appended there. */
  readonly log: string;
}

let wrapper: readonly string[] | null = null;

/** Linux ends a process with its parent when it is asked to: even when ours is killed and can clean up nothing. */
function tied(): readonly string[] {
  if (wrapper === null) {
    const asked = spawnSync('setpriv', ['--pdeathsig', 'KILL', 'true']);
    wrapper = asked.status === 0 ? ['setpriv', '--pdeathsig', 'KILL', '--'] : [];
  }
  return wrapper;
}

/** A server process of a peer. It does not outlive this process. */
export class Server {
  readonly name: string;
  readonly #options: ServerOptions;
  #process: ChildProcess | null = null;
  #forget: () => void = () => {};

  constructor(options: ServerOptions) {
    this.name = options.name;
    this.#options = options;
    this.start();
  }

  get pid(): number {
    return this.#process!.pid!;
  }

  get running(): boolean {
    const child = this.#process;
    return child !== null && child.exitCode === null && child.signalCode === null;
  }

  start(): void {
    if (this.running) throw new Error(`${this.name} runs already`);
    const { command, environment, directory } = this.#options;
    const log = openSync(this.#options.log, 'a');
    const [first, ...rest] = [...tied(), ...command];
    const child = spawn(first!, rest, {
      cwd: directory,
      stdio: ['ignore', log, log],
      env: { ...surroundings(), ...environment },
    });
    closeSync(log);
    this.#process = child;
    this.#forget();
    this.#forget = untilEnd(() => child.kill('SIGKILL'));
  }

  /** Sends the signal, and resolves once the process is gone. */
  async kill(): Promise<void> {
    if (this.running) {
      const gone = once(this.#process!, 'exit');
      this.#process!.kill('SIGKILL');
      await gone;
    }
    this.#forget();
  }

  /** Resolves once `condition` holds; rejects with the end of its log when that takes too long or it ends. */
  async ready(condition: () => Promise<boolean> | boolean): Promise<void> {
    let ended = false;
    await until(READY_MS, () => {
      ended = !this.running;
      return ended || condition();
    }).catch((error: unknown) => this.#fail(String(error)));
    if (ended) this.#fail('it ended');
  }

  /** Resolves once it takes connections. */
  listens(port: number): Promise<void> {
    return this.ready(() => answers(port));
  }

  #fail(why: string): never {
    const log = readFileSync(this.#options.log, 'utf8').slice(-LOG_CHARS);
    throw new Error(`${this.name} is not ready: ${why}; its log ends with\n${log}`);
  }
}

/** Sends a line, and returns what came once it matches. */
export function ask(port: number, line: string, whole: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let came = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(line));
    socket.setEncoding('latin1').on('data', (text: string) => {
      came += text;
      if (!whole.test(came)) return;
      socket.destroy();
      resolve(came);
    });
    socket.on('error', reject);
    socket.on('close', () => reject(new Error(`the connection ended after ${JSON.stringify(came)}`)));
  });
}
