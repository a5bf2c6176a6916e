import {
  Client,
  GearmeshError,
  type JobInput,
  type JobOptions,
  type SubmitResult,
} from '../../../src/client/index.js';
import { IdSource } from '../../../src/client/ulid.js';
import type { SeededRandom } from '../../../src/sim/random.js';
import { Pace } from '../pace.js';
import { FUNCTIONS, type Notes, payloadOf, seenOf, shown, submitted } from './notes.js';
import { follow } from './watch.js';

/** A call gives up after this; a submission is then said again, with the same id, until it is known. */
const CALL_MS = 4_000;
const RUN_MS = 60_000;
const AGAIN_MS = 300;
/** Ids older than this are no longer said again: they are remembered for five minutes. */
const AGAIN_FOR_MS = 200_000;
const BATCH_MAX = 8;
/** Jobs that are remembered, those that may still run, and those that may not have begun. */
const RECENT = 200;
const LATEST = 20;
const NEWEST = 3;
const KEYS = ['red', 'green', 'blue'];

interface Wanted {
  readonly job: string;
  readonly fn: string;
  readonly payload: string;
  readonly options: JobOptions;
  readonly startDeadline: number;
}

export interface ClientPlace {
  readonly name: string;
  /** Node that it talks to; '' : any. */
  readonly node: string;
  readonly endpoints: readonly string[];
  /** gRPC address of each node, for reads and watches anywhere. */
  readonly nodes: readonly { readonly name: string; readonly grpc: string }[];
}

/** One client: one call after the other, of all kinds, and never in doubt about a submission for longer than it must. */
export class LoadClient {
  readonly #place: ClientPlace;
  readonly #notes: Notes;
  readonly #random: SeededRandom;
  readonly #client: Client;
  readonly #readers: ReadonlyMap<string, Client>;
  readonly #ids = new IdSource();
  readonly #pace = new Pace();
  readonly #aside = new Set<Promise<void>>();
  #recent: string[] = [];
  #epoch = 0;
  #position = 0;
  #count = 0;

  constructor(place: ClientPlace, notes: Notes, random: SeededRandom) {
    this.#place = place;
    this.#notes = notes;
    this.#random = random;
    this.#client = new Client({ endpoints: place.endpoints, timeoutMs: CALL_MS });
    this.#readers = new Map(
      place.nodes.map(({ name, grpc }) => [name, new Client({ endpoints: grpc, timeoutMs: CALL_MS })]),
    );
  }

  /** Calls until `end`, on average one every so many milliseconds. */
  async run(everyMs: number): Promise<void> {
    while (!this.#pace.over) {
      await this.#something();
      await this.#pace.sleep(this.#random.between(0, 2 * everyMs));
    }
    await Promise.all(this.#aside);
  }

  end(): void {
    this.#pace.end();
  }

  async close(): Promise<void> {
    await Promise.all([this.#client, ...this.#readers.values()].map((client) => client.close()));
  }

  async #something(): Promise<void> {
    const dice = this.#random.below(100);
    if (dice < 55 || this.#recent.length === 0) await this.#submit(this.#wanted());
    else if (dice < 64) await this.#submitBatch();
    else if (dice < 68) this.#besides(this.#runOne());
    else if (dice < 88) await this.#read(this.#some(LATEST));
    else if (dice < 93) this.#besides(this.#watch(this.#some(NEWEST)));
    else if (dice < 97) await this.#change('cancel', this.#some(NEWEST));
    else if (dice < 98) await this.#change('retry', this.#some(RECENT));
    else await this.#change('delete', this.#some(LATEST));
  }

  /** One of the last so many. */
  #some(last: number): string {
    return this.#random.pick(this.#recent.slice(-last));
  }

  #besides(work: Promise<void>): void {
    this.#aside.add(work);
    void work.finally(() => this.#aside.delete(work));
  }

  #wanted(): Wanted {
    const random = this.#random;
    const job = this.#ids.next();
    const fn = random.pick(FUNCTIONS);
    const deadlineMs = random.chance(40) ? random.between(1_000, 8_000) : 0;
    const options: JobOptions = {
      id: job,
      priority: random.pick(['high', 'normal', 'low'] as const),
      ...(random.chance(100) ? { delayMs: Math.round(random.between(50, 4_000)) } : {}),
      ...(random.chance(80) ? { uniqueKey: random.pick(KEYS) } : {}),
      ...(random.chance(100) ? { retry: { maxAttempts: 1 + random.below(4) } } : {}),
      ...(random.chance(30) ? { resultRetentionMs: Math.round(random.between(500, 5_000)) } : {}),
      ...(random.chance(150) ? { runTimeoutMs: Math.round(random.between(1_000, 4_000)) } : {}),
      ...(deadlineMs > 0 ? { startDeadline: new Date(Date.now() + deadlineMs) } : {}),
    };
    const payload = payloadOf(job, random.chance(50) ? random.below(20_000) : random.below(200));
    this.#notes.tried.set(job, shown(payload));
    return { job, fn, payload, options, startDeadline: deadlineMs > 0 ? this.#notes.now() + deadlineMs : 0 };
  }

  /** Says it again with the same id until it is known what became of it. */
  async #submit(wanted: Wanted): Promise<void> {
    const since = this.#notes.now();
    while (this.#notes.now() - since < AGAIN_FOR_MS) {
      const begin = this.#notes.now();
      const result = await this.#client
        .submit(wanted.fn, wanted.payload, wanted.options)
        .catch((error: unknown) => error as Error);
      this.#noteSubmit([wanted], begin, [result], false);
      if (!(result instanceof Error) || !isUnknown(result)) return;
      await this.#pause();
    }
  }

  async #submitBatch(): Promise<void> {
    const allOrNothing = this.#random.chance(500);
    let left = Array.from({ length: 2 + this.#random.below(BATCH_MAX - 1) }, () => this.#wanted());
    const since = this.#notes.now();
    while (left.length > 0 && this.#notes.now() - since < AGAIN_FOR_MS) {
      const begin = this.#notes.now();
      const jobs: JobInput[] = left.map(({ fn, payload, options }) => ({
        function: fn,
        payload,
        ...options,
      }));
      const results: (SubmitResult | Error)[] = await (allOrNothing
        ? this.#client.submitMany(jobs, { allOrNothing })
        : this.#client.submitMany(jobs)
      ).catch((error: unknown) => left.map(() => error as Error));
      this.#noteSubmit(left, begin, results, allOrNothing);
      left = left.filter((_, i) => isUnknown(results[i]));
      if (left.length > 0) await this.#pause();
    }
  }

  #noteSubmit(
    jobs: readonly Wanted[],
    begin: number,
    results: readonly (SubmitResult | Error)[],
    allOrNothing: boolean,
  ): void {
    const { name, node } = this.#place;
    const call = `${name}/${this.#count++}`;
    // What is not known may be accepted later than what follows it.
    const isOrdered = results.every((result) => !isUnknown(result));
    const stream = `${name}/${this.#epoch}`;
    if (!isOrdered) this.#epoch++;
    jobs.forEach((wanted, i) => {
      const result = results[i]!;
      const failed = result instanceof Error ? result : null;
      if (failed === null) {
        const { jobId } = result as SubmitResult;
        this.#notes.acknowledged(jobId);
        this.#remember(jobId);
      }
      this.#notes.recorder.note({
        type: 'submit',
        ...this.#notes.ended(name, node, begin, failed),
        ...submitted(wanted.job, wanted.fn, wanted.payload, begin, wanted.options, wanted.startDeadline),
        stream: isUnknown(result) ? `${call}/${i}` : stream,
        position: this.#position++,
        call,
        allOrNothing,
        answer:
          failed === null
            ? { job: (result as SubmitResult).jobId, disposition: (result as SubmitResult).disposition }
            : null,
      });
    });
  }

  /** In the foreground: submitted and followed to its end, whichever nodes die meanwhile. */
  async #runOne(): Promise<void> {
    const { job, fn, payload, options, startDeadline } = this.#wanted();
    const { name, node } = this.#place;
    const begin = this.#notes.now();
    const run = this.#client.run(fn, payload, { ...options, timeoutMs: RUN_MS });
    const asked = submitted(job, fn, payload, begin, options, startDeadline);
    const own = {
      stream: `${name}/run/${job}`,
      position: 0,
      call: `${name}/run/${job}`,
      allOrNothing: false,
    };
    let known = false;
    try {
      for await (const event of run) {
        if (event.type !== 'accepted') continue;
        known = true;
        this.#notes.acknowledged(event.jobId);
        this.#notes.recorder.note({
          type: 'submit',
          ...this.#notes.ended(name, node, begin, null),
          ...asked,
          ...own,
          answer: { job: event.jobId, disposition: event.disposition ?? 'same-id' },
        });
      }
    } catch (error) {
      if (known) return;
      const call = this.#notes.ended(name, node, begin, error);
      this.#notes.recorder.note({ type: 'submit', ...call, ...asked, ...own, answer: null });
      return;
    }
    await this.#read(run.jobId);
  }

  async #read(job: string): Promise<void> {
    const [node, client] = this.#random.pick([...this.#readers]);
    const consistency = this.#random.chance(700) ? 'linearizable' : 'local';
    const begin = this.#notes.now();
    const options = {
      view: 'full',
      consistency: consistency === 'local' ? 'eventual' : consistency,
    } as const;
    const found = await client.get(job, options).catch((error: unknown) => error as Error);
    const isAbsent = found instanceof GearmeshError && found.reason === 'NOT_FOUND';
    const failed = found instanceof Error && !isAbsent ? found : null;
    this.#notes.recorder.note({
      type: 'read',
      ...this.#notes.ended(this.#place.name, node, begin, failed),
      job,
      consistency,
      answer: failed !== null ? null : isAbsent ? 'absent' : seenOf(found as Exclude<typeof found, Error>),
    });
  }

  async #change(type: 'cancel' | 'retry' | 'delete', job: string): Promise<void> {
    const begin = this.#notes.now();
    const failed = await this.#client[type](job).then(
      () => null,
      (error: unknown) => error,
    );
    const { name, node } = this.#place;
    this.#notes.recorder.note({ type, ...this.#notes.ended(name, node, begin, failed), job });
  }

  async #watch(job: string): Promise<void> {
    const { name, grpc } = this.#random.pick(this.#place.nodes);
    const watch = `${this.#place.name}/watch/${this.#count++}`;
    await follow({ endpoint: grpc, node: name, job, watch, notes: this.#notes, signal: this.#pace.signal });
  }

  #remember(job: string): void {
    this.#recent.push(job);
    if (this.#recent.length > RECENT) this.#recent = this.#recent.slice(-RECENT / 2);
  }

  /** Also at the end: what is in doubt is asked for until it is known. */
  #pause(): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

function isUnknown(result: unknown): boolean {
  return result instanceof GearmeshError && result.outcome === 'UNKNOWN';
}
