import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Fate } from '../../../src/checker/index.js';
import { ENDLESS_RETRY } from '../../../src/core/types.js';
import type { SeededRandom } from '../../../src/sim/random.js';
import { argsOf, RawGearman } from '../../support/gearman.js';
import type { RealNode } from '../../support/real-cluster.js';
import { Pace } from '../pace.js';
import { GEARMAN_FUNCTION, jobOf, type Notes, payloadOf, shown, submitted } from './notes.js';

const run = promisify(execFile);
const CALL_MS = 4_000;
/** A worker that heard nothing for so long connects anew, maybe to another node. */
const IDLE_MS = 6_000;
const AGAIN_MS = 300;
const CLI_MS = 8_000;

/** Codes after which nothing was done; docs/gearman.md lists them. */
const NOT_DONE = new Set(['NO_LEADER', 'SERVER_SHUTTING_DOWN', 'QUEUE_ERROR']);
const BIG = { high: 'SUBMIT_JOB_HIGH_BG', normal: 'SUBMIT_JOB_BG', low: 'SUBMIT_JOB_LOW_BG' } as const;

type Priority = keyof typeof BIG;

let counted = 0;

/** Background jobs at one node's Gearman port. None is said twice: Gearman's protocol has no ids, so that would be another job. */
export class GearmanClient {
  readonly #name: string;
  readonly #node: RealNode;
  readonly #notes: Notes;
  readonly #random: SeededRandom;
  readonly #hasCommand: boolean;
  readonly #pace = new Pace();
  #raw: RawGearman | null = null;
  #connection = 0;
  #position = 0;

  constructor(name: string, node: RealNode, notes: Notes, random: SeededRandom, hasCommand: boolean) {
    this.#name = name;
    this.#node = node;
    this.#notes = notes;
    this.#random = random;
    this.#hasCommand = hasCommand;
  }

  async run(everyMs: number): Promise<void> {
    while (!this.#pace.over) {
      if (this.#hasCommand && this.#random.chance(30)) await this.#byCommand();
      else await this.#byPackets();
      await this.#pace.sleep(this.#random.between(0, 2 * everyMs));
    }
    this.#raw?.end();
  }

  end(): void {
    this.#pace.end();
  }

  #wanted(): { readonly job: string; readonly payload: string; readonly priority: Priority } {
    const job = `g-${++counted}`;
    const payload = payloadOf(job, this.#random.below(200));
    this.#notes.tried.set(job, shown(payload));
    return { job, payload, priority: this.#random.pick(['high', 'normal', 'low'] as const) };
  }

  async #byPackets(): Promise<void> {
    if (this.#raw === null && !(await this.#connect())) return;
    const { job, payload, priority } = this.#wanted();
    const begin = this.#notes.now();
    let fate: Fate = 'unknown';
    let error = 'CONNECTION_LOST';
    try {
      const came = await this.#raw!.send(BIG[priority], GEARMAN_FUNCTION, job, payload).next();
      if (came.name === 'JOB_CREATED') [fate, error] = ['done', ''];
      else {
        error = came.name === 'ERROR' ? argsOf(came, 2)[0]! : came.name;
        fate = NOT_DONE.has(error) ? 'not-applied' : 'unknown';
      }
    } catch {
      this.#raw?.end();
      this.#raw = null;
    }
    this.#note({ job, payload, priority }, begin, fate, error, `${this.#name}/${this.#connection}`);
    // What is not known may be accepted behind what follows it.
    if (fate === 'unknown') this.#connection++;
  }

  async #connect(): Promise<boolean> {
    try {
      this.#raw = await within(CALL_MS, RawGearman.open(this.#node.gearman));
      this.#raw.waitMs = CALL_MS;
      this.#connection++;
      return true;
    } catch {
      await this.#pace.sleep(AGAIN_MS);
      return false;
    }
  }

  /** By gearmand's own `gearman`. It exits with 0 also when the server refused: only what it says counts. */
  async #byCommand(): Promise<void> {
    const { job, payload } = this.#wanted();
    const [host, port] = this.#node.gearman.split(':') as [string, string];
    const begin = this.#notes.now();
    const args = ['-v', '-h', host, '-p', port, '-f', GEARMAN_FUNCTION, '-u', job, '-b', payload];
    const said = await run('gearman', args, { timeout: CLI_MS, killSignal: 'SIGKILL' }).then(
      ({ stdout, stderr }) => `${stdout}${stderr}`,
      () => '',
    );
    const isDone = said.includes('Task created: ');
    const fate = isDone ? 'done' : 'unknown';
    const wanted = { job, payload, priority: 'normal' } as const;
    this.#note(wanted, begin, fate, isDone ? '' : 'FAILED', `${this.#name}/command/${job}`);
  }

  #note(
    wanted: { readonly job: string; readonly payload: string; readonly priority: Priority },
    begin: number,
    fate: Fate,
    error: string,
    stream: string,
  ): void {
    const { job, payload, priority } = wanted;
    const options = { priority, uniqueKey: job, retry: { maxAttempts: ENDLESS_RETRY.maxAttempts } };
    const position = this.#position++;
    const call = `${this.#name}/${position}`;
    this.#notes.calls++;
    if (fate === 'unknown') this.#notes.unknown++;
    if (fate === 'done') this.#notes.acknowledged(job);
    this.#notes.recorder.note({
      type: 'submit',
      by: this.#name,
      node: this.#node.name,
      begin,
      end: this.#notes.now(),
      fate,
      error,
      ...submitted(job, GEARMAN_FUNCTION, payload, begin, options, 0),
      stream,
      position,
      call,
      allOrNothing: false,
      answer: fate === 'done' ? { job, disposition: 'created' } : null,
    });
  }
}

/** A worker as PHP's: one job at a time at any node, and now and then it dies in the middle. */
export class GearmanWorker {
  readonly #name: string;
  readonly #nodes: readonly RealNode[];
  readonly #notes: Notes;
  readonly #random: SeededRandom;
  readonly #pace = new Pace();
  #tame = false;
  #raw: RawGearman | null = null;

  constructor(name: string, nodes: readonly RealNode[], notes: Notes, random: SeededRandom) {
    this.#name = name;
    this.#nodes = nodes;
    this.#notes = notes;
    this.#random = random;
    this.#pace.signal.addEventListener('abort', () => this.#raw?.end());
  }

  async run(): Promise<void> {
    for (let life = 1; !this.#pace.over; life++) {
      const node = this.#random.pick(this.#nodes);
      const name = `${this.#name}.${life}`;
      await this.#live(name, node).catch(() => {}); // nothing came for too long, or the connection ended
      this.#raw?.end();
      this.#notes.recorder.note({
        type: 'interrupted',
        at: this.#notes.now(),
        worker: name,
        node: node.name,
      });
      await this.#pace.sleep(AGAIN_MS);
    }
  }

  tame(): void {
    this.#tame = true;
  }

  end(): void {
    this.#pace.end();
  }

  async #live(name: string, node: RealNode): Promise<void> {
    const raw = await within(CALL_MS, RawGearman.open(node.gearman));
    this.#raw = raw;
    raw.waitMs = IDLE_MS;
    raw.send('CAN_DO', GEARMAN_FUNCTION);
    while (!this.#pace.over) {
      const { handle, fn, payload } = await raw.work();
      const job = jobOf(payload);
      this.#notes.recorder.note({
        type: 'lease',
        at: this.#notes.now(),
        worker: name,
        node: node.name,
        job,
        token: 0,
        attempt: 0,
        function: fn,
        payload: shown(payload),
      });
      const dice = this.#tame ? 100 : this.#random.below(100);
      await this.#pace.sleep(this.#random.between(0, 60));
      // No word: the connection ends.
      if (dice < 8) return;
      const isDone = dice >= 12;
      const result = `done ${job} ${name}`;
      const begin = this.#notes.now();
      if (isDone) raw.send('WORK_COMPLETE', handle, result);
      else raw.send('WORK_FAIL', handle);
      // Nobody answers: whether it counted shows in the job.
      this.#notes.recorder.note({
        type: 'settle',
        by: name,
        node: node.name,
        begin,
        end: null,
        fate: 'unknown',
        error: '',
        job,
        token: 0,
        outcome: isDone ? 'complete' : 'fail',
        result: isDone ? result : '',
        retryable: false,
      });
    }
  }
}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${ms} ms`)), ms);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}
