import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { answers } from './listening.js';
import { freePorts, until } from './real-cluster.js';

const READY_MS = 10_000;
/** For the loads of the benchmark; the default of 991 is a list of thousands of jobs per bucket. */
const BUCKETS = '1000003';
/** As many connections may come at once; by default all but 32 of them are sent away for a second. */
const BACKLOG = '1024';

/** Why no gearmand can be started here; '' when one can. `env`: with the PATH that leads to it. */
export function gearmandMissing(env: NodeJS.ProcessEnv = process.env): string {
  const asked = spawnSync('gearmand', ['--help'], { encoding: 'utf8', env });
  if (asked.error !== undefined) return 'gearman-job-server is not installed';
  return asked.stdout.includes('--hashtable-buckets') ? '' : 'this gearmand knows no --hashtable-buckets';
}

/** A real gearmand with its jobs in memory, on loopback, at a free port, with a directory of its own. */
export class Gearmand {
  readonly address: string;
  readonly version: string;
  readonly #process: ChildProcess;
  readonly #directory: string;

  private constructor(address: string, version: string, child: ChildProcess, directory: string) {
    this.address = address;
    this.version = version;
    this.#process = child;
    this.#directory = directory;
  }

  static async start(env: NodeJS.ProcessEnv = process.env): Promise<Gearmand> {
    const [port] = await freePorts(1);
    const directory = mkdtempSync(join(tmpdir(), 'gearmand-test-'));
    const log = join(directory, 'log');
    const flags = ['--listen=127.0.0.1', `--port=${port}`, `--log-file=${log}`, '--queue-type=builtin'];
    flags.push(
      `--pid-file=${join(directory, 'pid')}`,
      `--hashtable-buckets=${BUCKETS}`,
      `--backlog=${BACKLOG}`,
    );
    // As root it wants to be told which user it is to be.
    if (process.getuid?.() === 0) flags.push('--user=root');
    const child = spawn('gearmand', flags, { cwd: directory, stdio: 'ignore', env });
    await until(READY_MS, () => answers(port!)).catch(() => {
      child.kill('SIGKILL');
      throw new Error(`gearmand does not listen: ${readFileSync(log, 'utf8').slice(-1_000)}`);
    });
    const version = /\d[\d.]*/.exec(spawnSync('gearmand', ['--version'], { encoding: 'utf8', env }).stdout);
    return new Gearmand(`127.0.0.1:${port}`, version?.[0] ?? '?', child, directory);
  }

  get pid(): number {
    return this.#process.pid!;
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      const gone = once(this.#process, 'exit');
      this.#process.kill('SIGKILL');
      await gone;
    }
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
