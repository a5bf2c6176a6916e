import type { JobOutcome, LeaseData, WorkerFunction, WorkFrame } from '../../proto/gen/gearmesh/v1/worker.js';

/** A frame carries about this many bytes, unless one part alone is larger. */
const FRAME_BYTES_MAX = 1 << 20;
/** Data that waits for the connection: a handler that awaits `data` is held back at the first, chunks are dropped at the second. */
const DATA_WAIT_BYTES = 256 << 10;
const DATA_KEPT_BYTES = 8 << 20;
const OVERHEAD_BYTES = 64;

/** A frame without anything in it: a heartbeat. */
export function emptyFrame(): WorkFrame {
  return {
    hello: undefined,
    credit: 0,
    acks: [],
    progress: [],
    data: [],
    outcomes: [],
    functionsChanged: undefined,
    goodbye: undefined,
  };
}

/** What one turn produced, until it goes out in one frame, or in a few when it is much. */
export class Outbox {
  #acks: number[] = [];
  readonly #progress = new Map<number, WorkFrame['progress'][number]>();
  #data: LeaseData[] = [];
  #dataBytes = 0;
  #outcomes: JobOutcome[] = [];
  #credit = 0;
  #functions: WorkerFunction[] | null = null;
  #goodbye: string | null = null;
  #roomWaiters: (() => void)[] = [];

  ack(token: number): void {
    this.#acks.push(token);
  }

  progress(token: number, numerator: number, denominator: number, message: string): void {
    this.#progress.set(token, { leaseToken: token, progress: { numerator, denominator, message } });
  }

  /** Chunk number `at` of the lease. False: there is no room, and the chunk is lost. */
  data(token: number, at: number, chunk: Uint8Array): boolean {
    const bytes = chunk.length + OVERHEAD_BYTES;
    if (this.#dataBytes + bytes > DATA_KEPT_BYTES) return false;
    this.#dataBytes += bytes;
    const last = this.#data[this.#data.length - 1];
    if (last?.leaseToken === token && last.first + last.chunks.length === at) last.chunks.push(chunk);
    else this.#data.push({ leaseToken: token, first: at, chunks: [chunk] });
    return true;
  }

  /** Resolves when little data waits, or the signal is aborted. */
  room(signal: AbortSignal): Promise<void> {
    if (this.#dataBytes <= DATA_WAIT_BYTES || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      this.#roomWaiters.push(resolve);
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
  }

  outcome(outcome: JobOutcome): void {
    this.#outcomes.push(outcome);
  }

  /** Cumulative since the attach. */
  credit(total: number): void {
    this.#credit = total;
  }

  functions(functions: WorkerFunction[]): void {
    this.#functions = functions;
  }

  goodbye(reason: string): void {
    this.#goodbye = reason;
  }

  /** A new stream begins: what it says anew must not be said twice. Data and progress stay. */
  restart(): void {
    this.#acks = [];
    this.#outcomes = [];
    this.#credit = 0;
    this.#functions = null;
    this.#goodbye = null;
  }

  /** What is kept for a job that is no longer ours is of no use. */
  forget(token: number): void {
    this.#progress.delete(token);
    this.#data = this.#data.filter((said) => {
      if (said.leaseToken !== token) return true;
      for (const chunk of said.chunks) this.#dataBytes -= chunk.length + OVERHEAD_BYTES;
      return false;
    });
    if (this.#dataBytes <= DATA_WAIT_BYTES) this.#tellRoom();
  }

  get empty(): boolean {
    return (
      this.#acks.length === 0 &&
      this.#progress.size === 0 &&
      this.#data.length === 0 &&
      this.#outcomes.length === 0 &&
      this.#credit === 0 &&
      this.#functions === null &&
      this.#goodbye === null
    );
  }

  /** The next frame; `frame` is filled and given back. Call it until the outbox is empty. */
  take(frame: WorkFrame = emptyFrame()): WorkFrame {
    frame.acks = this.#acks;
    this.#acks = [];
    for (const said of this.#progress.values()) frame.progress.push(said);
    this.#progress.clear();
    if (this.#functions !== null) frame.functionsChanged = { functions: this.#functions };
    this.#functions = null;
    let left = this.#takeData(frame, FRAME_BYTES_MAX);
    // An outcome never overtakes the data that it counts.
    if (this.#data.length > 0) return frame;
    let taken = 0;
    for (const outcome of this.#outcomes) {
      const bytes = outcome.result.length + (outcome.error?.details.length ?? 0) + OVERHEAD_BYTES;
      if (bytes > left && left < FRAME_BYTES_MAX) break;
      left -= bytes;
      taken++;
    }
    if (taken === this.#outcomes.length) {
      frame.outcomes = this.#outcomes;
      this.#outcomes = [];
      frame.credit = this.#credit;
      this.#credit = 0;
      if (this.#goodbye !== null) frame.goodbye = { reason: this.#goodbye };
      this.#goodbye = null;
    } else {
      frame.outcomes = this.#outcomes.splice(0, taken);
    }
    return frame;
  }

  #takeData(frame: WorkFrame, budget: number): number {
    let left = budget;
    while (this.#data.length > 0) {
      const head = this.#data[0]!;
      let taken = 0;
      for (const chunk of head.chunks) {
        const bytes = chunk.length + OVERHEAD_BYTES;
        if (bytes > left && left < budget) break;
        left -= bytes;
        this.#dataBytes -= bytes;
        taken++;
      }
      if (taken === head.chunks.length) {
        frame.data.push(head);
        this.#data.shift();
        continue;
      }
      if (taken > 0) {
        const { leaseToken, first } = head;
        frame.data.push({ leaseToken, first, chunks: head.chunks.slice(0, taken) });
        this.#data[0] = { leaseToken, first: first + taken, chunks: head.chunks.slice(taken) };
      }
      break;
    }
    if (this.#dataBytes <= DATA_WAIT_BYTES) this.#tellRoom();
    return left;
  }

  #tellRoom(): void {
    const waiters = this.#roomWaiters;
    this.#roomWaiters = [];
    for (const resolve of waiters) resolve();
  }
}
