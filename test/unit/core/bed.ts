import { type CalendarFields, parseCalendar } from '../../../src/base/calendar.js';
import { ulidFromBytes } from '../../../src/base/ulid.js';
import {
  type BatchBuilder,
  type BlobCount,
  type BlobRef,
  type CommandResult,
  type Core,
  createBatchBuilder,
  createCore,
  type Disposition,
  type Effects,
  encodeEntry,
  encodeNodeUp,
  type FunctionSpec,
  type JobSpec,
  type Outcome,
  type PayloadStore,
  type Refusal,
  type ScheduleSpec,
  type Settings,
  type SpillOptions,
  type SpillStore,
} from '../../../src/core/index.js';

/** Payloads in a Map; complains about handles that are not there. */
export class MapPayloads implements PayloadStore {
  readonly #blobs = new Map<number, Uint8Array>();
  #last = 0;
  bytes = 0;

  get count(): number {
    return this.#blobs.size;
  }

  put(bytes: Uint8Array): number {
    this.#blobs.set(++this.#last, Uint8Array.from(bytes));
    this.bytes += bytes.length;
    return this.#last;
  }

  get(handle: number): Uint8Array {
    const blob = this.#blobs.get(handle);
    if (blob === undefined) throw new Error(`no blob ${handle}`);
    return blob;
  }

  length(handle: number): number {
    return this.get(handle).length;
  }

  release(handle: number): void {
    this.bytes -= this.get(handle).length;
    this.#blobs.delete(handle);
  }
}

/** What lies where for others to read it back, and nothing else. */
export class MapSpill implements SpillStore {
  readonly #images = new Map<number, Uint8Array>();
  #last = 0;
  accepts = true;
  puts = 0;

  get count(): number {
    return this.#images.size;
  }

  put(bytes: Uint8Array): number {
    this.puts++;
    this.#images.set(++this.#last, Uint8Array.from(bytes));
    return this.#last;
  }

  get(handle: number, length: number): Uint8Array {
    const image = this.#images.get(handle);
    if (image?.length !== length) throw new Error(`no image ${handle} of ${length} bytes`);
    return Uint8Array.from(image);
  }

  release(handle: number, length: number): void {
    this.get(handle, length);
    this.#images.delete(handle);
  }

  get isWasteful(): boolean {
    return [...this.#images.keys()].some((handle) => this.isScattered(handle));
  }

  /** Any third one, so that images are moved. */
  isScattered(handle: number): boolean {
    return handle % 3 === 0;
  }
}

export interface Submitted {
  readonly disposition: Disposition;
  readonly seq: number;
  readonly refusal: Refusal | null;
  readonly limit: string;
}

/** What one apply said, as lines, and the answers of its batch by position. */
export class Notes implements Effects {
  readonly lines: string[] = [];
  readonly submissions = new Map<number, Submitted>();
  readonly results = new Map<number, CommandResult>();
  readonly outcomes = new Map<number, { readonly refusal: Refusal | null; readonly revision: number }>();

  batchStart(incarnation: number, seq: number): boolean {
    this.lines.push(`batch ${incarnation}/${seq}`);
    return true;
  }
  batchEnd(incarnation: number, seq: number): void {
    this.lines.push(`batch end ${incarnation}/${seq}`);
  }
  batchSkipped(incarnation: number, seq: number, expected: number): void {
    this.lines.push(`skipped ${incarnation}/${seq} expected ${expected}`);
  }
  submitted(
    position: number,
    disposition: Disposition,
    seq: number,
    refusal: Refusal | null,
    limit: string,
    limitValue: number,
  ): void {
    this.submissions.set(position, { disposition, seq, refusal, limit });
    this.lines.push(`submitted ${position} ${disposition} ${seq} ${refusal} ${limit} ${limitValue}`);
  }
  outcome(position: number, token: number, refusal: Refusal | null, revision: number): void {
    this.outcomes.set(position, { refusal, revision });
    this.lines.push(`outcome ${position} ${token} ${refusal} ${revision}`);
  }
  command(position: number, result: CommandResult): void {
    this.results.set(position, result);
    this.lines.push(`command ${position} ${JSON.stringify(result)}`);
  }
  assigned(session: number, epoch: number, seq: number, token: number): void {
    this.lines.push(`assigned ${session}/${epoch} job ${seq} token ${token}`);
  }
  leaseLost(session: number, epoch: number, seq: number, token: number, reason: string): void {
    this.lines.push(`lease lost ${session}/${epoch} job ${seq} token ${token} ${reason}`);
  }
  cancelRequested(
    session: number,
    epoch: number,
    seq: number,
    token: number,
    reason: string,
    grace: number,
  ): void {
    this.lines.push(`cancel ${session}/${epoch} job ${seq} token ${token} ${reason} ${grace}`);
  }
  job(seq: number, kind: string): void {
    this.lines.push(`job ${seq} ${kind}`);
  }
  sessionDetached(session: number, epoch: number, incarnation: number): void {
    this.lines.push(`detached ${session}/${epoch} at ${incarnation}`);
  }
  sessionClosed(session: number, incarnation: number): void {
    this.lines.push(`closed ${session} at ${incarnation}`);
  }
  nodeUp(name: string, nonce: number, incarnation: number): void {
    this.lines.push(`up ${name} ${nonce} ${incarnation}`);
  }
  nodeRetired(incarnation: number): void {
    this.lines.push(`retired ${incarnation}`);
  }
  blobTaken(ref: BlobRef): void {
    this.lines.push(`blob taken ${ref.id} ${ref.size}`);
  }
  blobReleased(id: string): void {
    this.lines.push(`blob released ${id}`);
  }

  /** Lines that begin with this. */
  of(start: string): string[] {
    return this.lines.filter((line) => line.startsWith(start));
  }
}

export const START_WALL = 1_700_000_000_000;

/** One core with one node, driven by commands; time stands still unless `pass` is called. */
export class Bed {
  readonly payloads = new MapPayloads();
  readonly core: Core;
  /** What the builder says of a blob: counted now, unless told otherwise. */
  countOf: (id: string) => BlobCount | null = () => ({
    configuration: this.core.configuration,
    wall: this.wall,
  });
  readonly builder: BatchBuilder = createBatchBuilder((ref) => this.countOf(ref.id));
  elapsedUs = 1_000_000;
  wall = START_WALL;
  incarnation = 1;
  #seq = 0;
  #ids = 0;

  constructor(settings: Partial<Settings> = {}, spill?: SpillOptions) {
    this.core = createCore({ payloads: this.payloads, settings, clusterName: 'test', spill });
    this.up('n1', 1);
  }

  /** A new life of a node; the bed goes on speaking for it. */
  up(name: string, nonce: number): Notes {
    const notes = this.apply([
      encodeNodeUp({ name, nonce, grpc: `${name}:1`, http: `${name}:2`, version: '1' }),
    ]);
    this.incarnation = Number(notes.of('up ')[0]!.split(' ')[3]);
    this.#seq = Math.max(0, this.core.lastBatch(this.incarnation));
    return notes;
  }

  /** Another replica, that begins with a snapshot of this one. */
  twin(): Bed {
    const other = new Bed();
    const restorer = other.core.beginRestore();
    const cursor = this.core.beginSnapshot();
    for (let page = cursor.next(() => false); page !== null; page = cursor.next(() => false)) {
      restorer.page(page.key, page.bytes!);
    }
    restorer.finish();
    other.elapsedUs = this.elapsedUs;
    other.wall = this.wall;
    other.#ids = this.#ids;
    other.speakFor(this.incarnation);
    return other;
  }

  /** Speaks for another node, or for this one again. */
  speakFor(incarnation: number): void {
    this.incarnation = incarnation;
    this.#seq = this.core.lastBatch(incarnation);
  }

  apply(batches: readonly Uint8Array[]): Notes {
    const notes = new Notes();
    this.core.apply(this.core.appliedIndex + 1, encodeEntry(this.elapsedUs, this.wall, batches), notes);
    return notes;
  }

  /** One batch with what `fill` puts in, applied as an entry. */
  do(fill: (builder: BatchBuilder) => void): Notes {
    fill(this.builder);
    return this.apply([this.builder.finish(this.incarnation, ++this.#seq)]);
  }

  /** Moves both clocks and applies Ticks until nothing is left to do. */
  pass(ms: number): Notes {
    this.elapsedUs += ms * 1000;
    this.wall += ms;
    return this.ticks();
  }

  passElapsed(ms: number): Notes {
    this.elapsedUs += ms * 1000;
    return this.ticks();
  }

  ticks(): Notes {
    const all = new Notes();
    for (let i = 0; i < 10_000; i++) {
      all.lines.push(...this.apply([]).lines);
      if (!this.core.nextDue().sweeping) return all;
    }
    throw new Error('sweeps do not end');
  }

  id(wall = this.wall): string {
    const bytes = new Uint8Array(16);
    let time = wall;
    for (let i = 5; i >= 0; i--) {
      bytes[i] = time % 256;
      time = Math.floor(time / 256);
    }
    const view = new DataView(bytes.buffer);
    view.setUint32(12, ++this.#ids);
    return ulidFromBytes(bytes);
  }

  spec(changes: Partial<JobSpec> = {}): JobSpec {
    return {
      id: this.id(),
      function: 'f',
      payload: Buffer.from('payload'),
      payloadBlob: null,
      contentType: '',
      metadata: [],
      priority: 1,
      runAtWall: 0,
      delayMs: 0,
      uniqueKey: '',
      retry: null,
      runTimeoutMs: 0,
      startDeadlineWall: 0,
      retentionMs: -1,
      traceparent: '',
      foreground: false,
      seed: 1,
      ...changes,
    };
  }

  /** Submits one job; its seq. */
  submit(changes: Partial<JobSpec> = {}): number {
    return this.trySubmit(changes).seq;
  }

  trySubmit(changes: Partial<JobSpec> = {}, namespace = 'default'): Submitted {
    return this.do((b) => b.submit(namespace, this.spec(changes))).submissions.get(0)!;
  }

  /** Asks for a schedule; `calendar` as people write it. */
  trySchedule(
    calendar: Partial<CalendarFields> = {},
    changes: Partial<JobSpec> = {},
    namespace = 'default',
  ): CommandResult {
    const fields = { minute: '*', hour: '*', dayOfMonth: '*', month: '*', dayOfWeek: '*', ...calendar };
    const spec: ScheduleSpec = { job: this.spec(changes), calendar: parseCalendar(fields, () => {})! };
    return this.do((b) => b.scheduleCreate(namespace, spec)).results.get(0)!;
  }

  /** The schedule's seq. */
  schedule(calendar: Partial<CalendarFields> = {}, changes: Partial<JobSpec> = {}): number {
    return this.trySchedule(calendar, changes).seq;
  }

  open(
    credit: number,
    functions: readonly (string | FunctionSpec)[] = ['f'],
    resumable = true,
    namespace = 'default',
  ): number {
    const notes = this.do((b) =>
      b.sessionOpen({
        namespace,
        name: 'worker',
        secretDigest: SECRET,
        functions: functions.map(asFunction),
        resumable,
        credit,
      }),
    );
    return notes.results.get(0)!.value;
  }

  lease(requestId: string, max: number, durationMs = 10_000): number {
    const notes = this.do((b) =>
      b.leaseRequest({
        namespace: 'default',
        name: 'poller',
        requestId,
        functions: [asFunction('f')],
        max,
        durationMs,
      }),
    );
    return notes.results.get(0)!.value;
  }

  outcome(session: number, outcome: Outcome, credit = 0): Notes {
    const epoch = this.core.session(session)?.epoch ?? 1;
    return this.do((b) => b.outcomes(session, epoch, credit, [outcome]));
  }

  state(seq: number): string {
    return this.core.job(seq)?.state ?? 'gone';
  }

  token(seq: number): number {
    return this.core.job(seq)!.token;
  }
}

/** Blob number `n`, the same at each call. */
export function blob(n: number, size = 1_000_000): BlobRef {
  return { id: n.toString(16).padStart(32, '0'), size, digest: Buffer.alloc(32, n) };
}

export const SECRET = Buffer.alloc(16, 7);

export function asFunction(fn: string | FunctionSpec): FunctionSpec {
  return typeof fn === 'string' ? { name: fn, concurrency: 0, runTimeoutMs: 0 } : fn;
}

export function complete(seq: number, token: number, result = 'done'): Outcome {
  return {
    kind: 'complete',
    seq,
    token,
    result: Buffer.from(result),
    resultBlob: null,
    resultContentType: 'text/plain',
    dataCount: 0,
  };
}

export function fail(
  seq: number,
  token: number,
  more: { retryable?: boolean; retryAfterMs?: number } = {},
): Outcome {
  return {
    kind: 'fail',
    seq,
    token,
    error: { code: 'BROKEN', message: 'it broke', details: Buffer.alloc(0) },
    retryable: true,
    retryAfterMs: 0,
    dataCount: 0,
    ...more,
  };
}

export function release(seq: number, token: number): Outcome {
  return { kind: 'release', seq, token, reason: 'stopping' };
}
