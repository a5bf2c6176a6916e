import { type SubmitFrame, SubmitFrameResult, type SubmitResult } from '../../proto/gen/gearmesh/v1/job.js';
import { toBuffer } from '../../proto/gen/to-buffer.js';
import { type Duplex, shuttingDown } from './call.js';
import type { Deps } from './deps.js';
import { toldStatus } from './errors.js';
import { submitMany } from './submit.js';
import { toTimestamp } from './time.js';

/** A frame that waits for its answer, or whose answer waits for its turn. */
interface Pending {
  readonly frameId: number;
  readonly bytes: number;
  answer: Buffer | null;
}

/**
 * One SubmitStream. Frames go to the node as they come, each as one call; answers leave in the order of the frames.
 *
 *     reading ──(too many frames or bytes wait, or the caller reads slowly)──▶ held ──(room again)──▶ reading
 *        └──(half close, or the node drains)──▶ ending ──(all answered)──▶ over
 */
export function submitStream(deps: Deps, duplex: Duplex<SubmitFrame, SubmitFrameResult>): void {
  new SubmitSession(deps, duplex).start();
}

class SubmitSession {
  readonly #deps: Deps;
  readonly #duplex: Duplex<SubmitFrame, SubmitFrameResult>;
  #waiting: Pending[] = [];
  #head = 0;
  #bytes = 0;
  #held = false;
  #blocked = false;
  #ending = false;

  constructor(deps: Deps, duplex: Duplex<SubmitFrame, SubmitFrameResult>) {
    this.#deps = deps;
    this.#duplex = duplex;
  }

  start(): void {
    const drain = () => {
      this.#ending = true;
      this.#endWhenDone();
    };
    this.#deps.draining.addEventListener('abort', drain, { once: true });
    this.#duplex.onOver(() => this.#deps.draining.removeEventListener('abort', drain));
    this.#duplex.onDrain(() => {
      this.#blocked = false;
      this.#balance();
    });
    this.#duplex.listen((frame) => this.#frame(frame), drain);
  }

  #frame(frame: SubmitFrame): void {
    let bytes = 0;
    for (const job of frame.jobs) bytes += job.payload.length;
    const pending: Pending = { frameId: frame.frameId, bytes, answer: null };
    this.#waiting.push(pending);
    this.#bytes += bytes;
    if (this.#ending) {
      this.#settle(pending, this.#refusal(pending, shuttingDown()));
      return;
    }
    submitMany(this.#deps, frame, this.#duplex.signal).then(
      (results) => this.#settle(pending, this.#answer(pending, results)),
      (error: unknown) => this.#settle(pending, this.#refusal(pending, error)),
    );
    this.#balance();
  }

  #answer(pending: Pending, results: SubmitResult[]): Buffer {
    const serverTime = toTimestamp(this.#deps.api.wallMs());
    return toBuffer(SubmitFrameResult, { frameId: pending.frameId, results, serverTime, error: undefined });
  }

  #refusal(pending: Pending, error: unknown): Buffer {
    const serverTime = toTimestamp(this.#deps.api.wallMs());
    return toBuffer(SubmitFrameResult, {
      frameId: pending.frameId,
      results: [],
      serverTime,
      error: toldStatus(this.#deps, error),
    });
  }

  /** Sends this answer, if it is its turn, and those behind it that are ready. */
  #settle(pending: Pending, answer: Buffer): void {
    pending.answer = answer;
    while (this.#head < this.#waiting.length) {
      const next = this.#waiting[this.#head]!;
      if (next.answer === null) break;
      this.#head++;
      this.#bytes -= next.bytes;
      if (!this.#duplex.sendBytes(next.answer)) this.#blocked = true;
    }
    if (this.#head === this.#waiting.length || this.#head > 1_000) {
      this.#waiting = this.#waiting.slice(this.#head);
      this.#head = 0;
    }
    this.#balance();
    this.#endWhenDone();
  }

  #balance(): void {
    const { submitFramesInFlightMax, submitBytesInFlightMax } = this.#deps.limits;
    const full =
      this.#blocked ||
      this.#waiting.length - this.#head >= submitFramesInFlightMax ||
      this.#bytes >= submitBytesInFlightMax;
    if (full === this.#held) return;
    this.#held = full;
    if (full) this.#duplex.pause();
    else this.#duplex.resume();
  }

  #endWhenDone(): void {
    if (!this.#ending || this.#head < this.#waiting.length) return;
    if (this.#deps.draining.aborted) this.#duplex.fail(shuttingDown());
    else this.#duplex.end();
  }
}
