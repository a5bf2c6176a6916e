import type { Timer } from '../base/clock.js';
import { GearmeshError } from '../core/errors.js';
import type { BlobRef } from '../core/types.js';
import type { BlobWriter } from '../node/interface.js';
import { type Deps, type Silent, within } from './deps.js';

/** After how long a place is looked for again, milliseconds: the node says nothing when there is one. */
const ROOM_MS = 50;

export interface UploadEvents {
  /** It is busy, or no longer: the socket is to be read accordingly. */
  paced(): void;
  /** Nothing came for too long. */
  silent(): void;
  /** It is over, for whatever reason. */
  over(upload: Upload): void;
}

/**
 * A payload or result on its way from a socket into a blob. It holds no more than the piece that was read last: while
 * that is being written, `busy` says that no more is to be read.
 */
export class Upload implements Silent {
  readonly #deps: Deps;
  readonly #events: UploadEvents;
  readonly #abort = new AbortController();
  readonly #writer: Promise<BlobWriter>;
  /** Everything so far: rejects once the blob cannot be completed. */
  #written: Promise<void>;
  #pending = 0;
  #heardMs: number;
  #silence: Timer | null = null;
  #state: 'open' | 'ended' | 'over' = 'open';

  /** `size`: bytes that will come. */
  constructor(deps: Deps, size: number, events: UploadEvents) {
    this.#deps = deps;
    this.#events = events;
    this.#heardMs = deps.clock.monotonicMs();
    this.#writer = this.#create(size);
    this.#written = this.#writer.then(() => {});
    this.#written.catch(() => {});
    this.#listen(deps.limits.slowWriterMs);
    deps.uploads.add(this);
  }

  /** More will come. */
  get open(): boolean {
    return this.#state === 'open';
  }

  get busy(): boolean {
    return this.#pending > 0;
  }

  get silentMs(): number {
    return this.busy ? 0 : this.#deps.clock.monotonicMs() - this.#heardMs;
  }

  evict(): void {
    this.abort();
    this.#events.silent();
  }

  write(bytes: Buffer): void {
    if (this.#state !== 'open' || bytes.length === 0) return;
    this.#heardMs = this.#deps.clock.monotonicMs();
    this.#pending++;
    const written = this.#written.then(async () => (await this.#writer).write(bytes));
    this.#written = written;
    const done = (): void => {
      this.#pending--;
      if (this.#pending === 0) this.#events.paced();
    };
    written.then(done, done);
  }

  /** All of it came. Resolves once it is on disk on a majority. */
  async end(): Promise<BlobRef> {
    this.#state = 'ended';
    this.#deps.uploads.delete(this);
    this.#silence?.cancel();
    try {
      await this.#written;
      return await (await this.#writer).finish();
    } catch (error) {
      this.#discard();
      throw error;
    } finally {
      this.#over();
    }
  }

  /** The rest will not come: nothing stays of it. One whose bytes all came goes on. */
  abort(): void {
    if (this.#state !== 'open') return;
    this.#abort.abort();
    this.#discard();
    this.#over();
  }

  /** Nobody names the blob: what is there of it goes. */
  discard(): void {
    this.#discard();
  }

  async #create(size: number): Promise<BlobWriter> {
    const { api, clock, limits } = this.#deps;
    const wait = within(clock, limits.submitWaitMs);
    const call = { signal: AbortSignal.any([wait.signal, this.#abort.signal]) };
    let evicted = false;
    try {
      for (;;) {
        try {
          return await api.createBlob(size, call);
        } catch (error) {
          if (!isFull(error)) throw error;
          if (!evicted) evicted = this.#makeRoom();
          await new Promise<void>((resolve) => clock.setTimer(ROOM_MS, resolve));
          if (call.signal.aborted) throw error;
        }
      }
    } finally {
      wait.done();
    }
  }

  /** Whoever begins and says nothing more must not keep others from it. */
  #makeRoom(): boolean {
    const { uploads, limits } = this.#deps;
    let idlest: Silent | null = null;
    for (const one of uploads) {
      if (one !== this && one.silentMs > (idlest?.silentMs ?? limits.idleUploadMs)) idlest = one;
    }
    idlest?.evict();
    return idlest !== null;
  }

  #discard(): void {
    this.#writer.then(
      (writer) => writer.abort(),
      () => {},
    );
  }

  #over(): void {
    this.#state = 'over';
    this.#deps.uploads.delete(this);
    this.#silence?.cancel();
    this.#events.over(this);
  }

  /** While the node itself is busy with it, the silence says nothing. */
  #listen(ms: number): void {
    const { clock, limits } = this.#deps;
    this.#silence = clock.setTimer(ms, () => {
      if (this.#state !== 'open') return;
      if (this.busy) this.#heardMs = clock.monotonicMs();
      const left = this.#heardMs + limits.slowWriterMs - clock.monotonicMs();
      if (left <= 0) this.#events.silent();
      else this.#listen(left);
    });
  }
}

/** The node takes no more uploads at a time. */
function isFull(error: unknown): boolean {
  return error instanceof GearmeshError && error.metadata.limit === 'blob-uploads-max';
}
