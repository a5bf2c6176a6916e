import type { PayloadStream } from './payload.js';

/** Bytes in one message of an upload: the server takes no more. */
const PIECE_BYTES = 64 << 10;
const encoder = new TextEncoder();

/** Bytes to be uploaded. */
export interface Source {
  /** Bytes in all; 0 where that is not known yet. */
  readonly size: number;
  /** They can be had from the beginning again. */
  readonly repeatable: boolean;
  /** In pieces of at most 64 KiB. */
  read(): AsyncIterable<Uint8Array>;
}

export function bytesSource(bytes: Uint8Array): Source {
  return {
    size: bytes.length,
    repeatable: true,
    async *read() {
      for (let at = 0; at < bytes.length; at += PIECE_BYTES) yield bytes.subarray(at, at + PIECE_BYTES);
    },
  };
}

/**
 * What a stream holds: the bytes themselves when they end within `inlineBytesMax`, else a source. Nothing more than that
 * is read ahead.
 */
export async function drawFrom(stream: PayloadStream, inlineBytesMax: number): Promise<Uint8Array | Source> {
  const open = (): AsyncIterator<Uint8Array> => pieces(typeof stream === 'function' ? stream() : stream);
  const head: Uint8Array[] = [];
  let bytes = 0;
  let first: AsyncIterator<Uint8Array> | null = open();
  while (bytes <= inlineBytesMax) {
    const { done, value } = await first.next();
    if (done) return Buffer.concat(head);
    head.push(value);
    bytes += value.length;
  }
  return {
    size: 0,
    repeatable: typeof stream === 'function',
    async *read() {
      const rest = first ?? open();
      const before = first === null ? [] : head;
      first = null;
      try {
        yield* before;
        for (;;) {
          const { done, value } = await rest.next();
          if (done) return;
          yield value;
        }
      } finally {
        await rest.return?.();
      }
    },
  };
}

/** Pieces of about the same size, whatever the stream's chunks are. */
async function* pieces(stream: AsyncIterable<Uint8Array | string>): AsyncGenerator<Uint8Array, undefined> {
  let small: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    const part = typeof chunk === 'string' ? encoder.encode(chunk) : chunk;
    if (!(part instanceof Uint8Array)) throw new TypeError('a payload stream gives bytes or text');
    if (bytes + part.length > PIECE_BYTES && bytes > 0) {
      yield Buffer.concat(small);
      small = [];
      bytes = 0;
    }
    if (part.length < PIECE_BYTES) {
      small.push(part);
      bytes += part.length;
      continue;
    }
    for (let at = 0; at < part.length; at += PIECE_BYTES) yield part.subarray(at, at + PIECE_BYTES);
  }
  if (bytes > 0) yield Buffer.concat(small);
  return undefined;
}
