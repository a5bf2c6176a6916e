import { AbortedError, GearmeshError, timedOut } from './errors.js';
import type { PayloadStream } from './payload.js';

/** Bytes in one message of an upload: the server takes no more. */
const PIECE_BYTES = 128 << 10;
const NOTHING = new Uint8Array(0);
const encoder = new TextEncoder();

/** The stream that was to be a payload broke; `cause` is what it threw. */
export class PayloadStreamError extends GearmeshError {
  override name = 'PayloadStreamError';

  constructor(cause: unknown) {
    const message = cause instanceof Error ? cause.message : String(cause);
    super('CANCELLED', 'PAYLOAD_STREAM_FAILED', `the payload stream failed: ${message}`, { cause });
  }
}

/** Bytes to be uploaded. */
export interface Source {
  /** Bytes in all; 0 where that is not known yet. */
  readonly size: number;
  /** They can be had from the beginning again. */
  readonly repeatable: boolean;
  /** From the beginning. Throws what a stream throws that cannot be opened. */
  open(): Reading;
  /** Nobody will open it any more. */
  close(): void;
}

/** One way through a source. */
export interface Reading {
  /** At most 128 KiB; null at the end. `heard` is told that something came, be it too little for a piece. */
  next(heard?: () => void): Promise<Uint8Array | null>;
  /** No more is wanted, even while `next` waits. Repeated it does nothing. */
  close(): void;
}

export function bytesSource(bytes: Uint8Array): Source {
  return {
    size: bytes.length,
    repeatable: true,
    open() {
      let at = 0;
      return {
        async next() {
          if (at >= bytes.length) return null;
          at += PIECE_BYTES;
          return bytes.subarray(at - PIECE_BYTES, at);
        },
        close() {},
      };
    },
    close() {},
  };
}

export interface DrawOptions {
  /** For how long nothing may come from the stream, milliseconds. Absent: for ever. */
  readonly idleMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * What a stream holds: the bytes themselves when they end within `inlineBytesMax`, else a source. Nothing more than that
 * is read ahead. Rejects with GearmeshError, and the stream is closed then.
 */
export async function drawFrom(
  stream: PayloadStream,
  inlineBytesMax: number,
  options: DrawOptions,
): Promise<Uint8Array | Source> {
  const head: Uint8Array[] = [];
  let bytes = 0;
  let first: Reading | null = null;
  try {
    first = new Pieces(stream);
    while (bytes <= inlineBytesMax) {
      const piece = await within(first, options);
      if (piece === null) return Buffer.concat(head);
      head.push(piece);
      bytes += piece.length;
    }
  } catch (error) {
    first?.close();
    throw error instanceof GearmeshError ? error : new PayloadStreamError(error);
  }
  let drawn: Reading | null = first;
  return {
    size: 0,
    repeatable: typeof stream === 'function',
    open() {
      if (drawn === null) return new Pieces(stream);
      const reading = behind(head, drawn);
      drawn = null;
      return reading;
    },
    close() {
      drawn?.close();
      drawn = null;
    },
  };
}

/** The next piece, if it comes in time. */
function within(reading: Reading, { idleMs, signal }: DrawOptions): Promise<Uint8Array | null> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(new AbortedError(signal!, 'NOT_APPLIED'));
    const late = (): void => reject(timedOut('the payload stream', 'NOT_APPLIED'));
    const timer = idleMs === undefined ? undefined : setTimeout(late, idleMs);
    if (signal?.aborted) stop();
    else signal?.addEventListener('abort', stop, { once: true });
    reading
      .next(() => timer?.refresh())
      .then(resolve, reject)
      .finally(() => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', stop);
      });
  });
}

function behind(head: Uint8Array[], rest: Reading): Reading {
  return {
    async next(heard) {
      return head.shift() ?? rest.next(heard);
    },
    close: () => rest.close(),
  };
}

/** Pieces of about the same size, whatever the stream's chunks are. */
class Pieces implements Reading {
  readonly #stream: AsyncIterable<Uint8Array | string>;
  readonly #chunks: AsyncIterator<Uint8Array | string>;
  /** Chunks that are not enough for a piece. */
  #small: Uint8Array[] = [];
  #bytes = 0;
  #last: Uint8Array = NOTHING;
  /** What is there now is the end of a chunk that was more than a piece. */
  #tail = false;
  #ended = false;

  constructor(stream: PayloadStream) {
    this.#stream = typeof stream === 'function' ? stream() : stream;
    this.#chunks = this.#stream[Symbol.asyncIterator]();
  }

  async next(heard?: () => void): Promise<Uint8Array | null> {
    for (;;) {
      const piece = this.#piece();
      if (piece !== null || this.#ended) return piece;
      const { done, value } = await this.#chunks.next();
      heard?.();
      if (done) {
        this.#ended = true;
        continue;
      }
      this.#last = typeof value === 'string' ? encoder.encode(value) : value;
      if (!(this.#last instanceof Uint8Array)) throw new TypeError('a payload stream gives bytes or text');
    }
  }

  close(): void {
    if (this.#ended) return;
    this.#ended = true;
    void (async () => this.#chunks.return?.())().catch(() => {});
    // A generator, as that of a Readable is one, hears of it only when what it waits for has come.
    const { destroy } = this.#stream as { destroy?: unknown };
    if (typeof destroy === 'function') destroy.call(this.#stream);
  }

  #piece(): Uint8Array | null {
    const last = this.#last;
    if (this.#bytes > 0 && (this.#ended || this.#bytes + last.length > PIECE_BYTES)) {
      const piece = Buffer.concat(this.#small);
      this.#small = [];
      this.#bytes = 0;
      return piece;
    }
    if (last.length >= PIECE_BYTES || this.#tail) {
      this.#last = last.subarray(PIECE_BYTES);
      this.#tail = this.#last.length > 0;
      return last.subarray(0, PIECE_BYTES);
    }
    this.#last = NOTHING;
    if (last.length > 0) {
      this.#small.push(last);
      this.#bytes += last.length;
    }
    return null;
  }
}
