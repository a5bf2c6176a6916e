import type { JobErrorInfo, JobProgress, JobState, SubmitResult } from './types.js';

/** What happens to a job that is followed, in order. `attempt` counts from 1. */
export type RunEvent =
  /** First, and once: the job exists. It may have come far already. */
  | {
      readonly type: 'accepted';
      readonly jobId: string;
      readonly state: JobState;
      readonly attempt: number;
      /** Only of a job submitted by `run`. */
      readonly disposition: SubmitResult['disposition'] | undefined;
      readonly progress: JobProgress | undefined;
    }
  /** It waits for a worker again. */
  | { readonly type: 'queued'; readonly attempt: number }
  | { readonly type: 'started'; readonly attempt: number; readonly worker: string }
  | ({ readonly type: 'progress'; readonly attempt: number } & JobProgress)
  /** Chunk `number`, from 0 in each attempt. */
  | { readonly type: 'data'; readonly attempt: number; readonly number: number; readonly chunk: Uint8Array }
  /** Chunks `from` to `to`, both included, were lost on the way here. */
  | { readonly type: 'gap'; readonly attempt: number; readonly from: number; readonly to: number }
  | {
      readonly type: 'attempt-failed';
      readonly attempt: number;
      readonly worker: string;
      readonly error: JobErrorInfo;
      /** When the next attempt may begin; undefined: at once. */
      readonly retryAt: Date | undefined;
    }
  /** Somebody asked to cancel it. */
  | { readonly type: 'cancelling'; readonly attempt: number }
  /** Last. */
  | {
      readonly type: 'ended';
      readonly attempt: number;
      readonly state: JobState;
      /** Unless it succeeded. */
      readonly error: JobErrorInfo | undefined;
      /** Chunks that the last attempt sent. */
      readonly dataCount: number;
    };

/** Events kept before somebody iterates, and before a slow reader slows the stream. */
const KEPT_MAX = 256;

/** Between the stream and the iterator. */
export class EventBuffer {
  readonly #pause: () => void;
  readonly #resume: () => void;
  #events: RunEvent[] = [];
  #ended = false;
  #error: Error | null = null;
  #iterating = false;
  #discard = false;
  #paused = false;
  #waiting: { resolve: (r: IteratorResult<RunEvent>) => void; reject: (e: Error) => void }[] = [];

  constructor(pause: () => void, resume: () => void) {
    this.#pause = pause;
    this.#resume = resume;
  }

  push(event: RunEvent): void {
    if (this.#discard) return;
    const reader = this.#waiting.shift();
    if (reader !== undefined) {
      reader.resolve({ done: false, value: event });
      return;
    }
    this.#events.push(event);
    if (this.#events.length <= KEPT_MAX) return;
    if (!this.#iterating) this.#events.shift();
    else {
      this.#paused = true;
      this.#pause(); // each time: it may be another stream by now
    }
  }

  /** After the events that are kept, the iterator ends, or throws the error. */
  end(error: Error | null): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const reader of waiting) this.#finish(reader.resolve, reader.reject);
  }

  iterate(): AsyncIterator<RunEvent> {
    this.#iterating = true;
    return {
      next: () => this.#next(),
      return: () => {
        this.#discard = true;
        this.#events = [];
        this.#goOn();
        return Promise.resolve({ done: true, value: undefined });
      },
    };
  }

  #next(): Promise<IteratorResult<RunEvent>> {
    const event = this.#events.shift();
    if (event !== undefined) {
      if (this.#events.length <= KEPT_MAX / 2) this.#goOn();
      return Promise.resolve({ done: false, value: event });
    }
    return new Promise((resolve, reject) => {
      if (this.#ended || this.#discard) this.#finish(resolve, reject);
      else this.#waiting.push({ resolve, reject });
    });
  }

  #finish(resolve: (r: IteratorResult<RunEvent>) => void, reject: (e: Error) => void): void {
    const error = this.#error;
    this.#error = null; // thrown once
    if (error === null) resolve({ done: true, value: undefined });
    else reject(error);
  }

  #goOn(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#resume();
  }
}
