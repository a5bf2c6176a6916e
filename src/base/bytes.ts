import { invariant } from './invariant.js';

/**
 * Appends numbers, strings and bytes to a growing buffer. Little-endian; strings and bytes are prefixed
 * with a u32 of their length in bytes. Reused from batch to batch: `take` copies the content out once.
 */
export class ByteWriter {
  #buffer: Buffer;
  /** The same bytes: numbers are written in one step. */
  #numbers: DataView;
  #at = 0;

  constructor(capacity = 4096) {
    this.#buffer = Buffer.allocUnsafe(capacity);
    this.#numbers = viewOf(this.#buffer);
  }

  /** Bytes written since the last `reset` or `take`. */
  get length(): number {
    return this.#at;
  }

  reset(): void {
    this.#at = 0;
  }

  /** Goes back to a `length` there was: what was written since is void. */
  rewind(length: number): void {
    invariant(length <= this.#at, 'a writer goes back, not on', { length, at: this.#at });
    this.#at = length;
  }

  /** A copy of what was written; the writer starts anew. */
  take(): Buffer {
    const out = Buffer.allocUnsafeSlow(this.#at);
    this.#buffer.copy(out, 0, 0, this.#at);
    this.#at = 0;
    return out;
  }

  /** What was written, valid until the next write. */
  view(): Buffer {
    return this.#buffer.subarray(0, this.#at);
  }

  u8(value: number): void {
    this.#room(1);
    this.#buffer[this.#at++] = value;
  }

  u32(value: number): void {
    this.#room(4);
    this.#numbers.setUint32(this.#at, value, true);
    this.#at += 4;
  }

  /** Overwrites a u32 written before, e.g. a count that is known only at the end. */
  u32At(position: number, value: number): void {
    this.#numbers.setUint32(position, value, true);
  }

  /** A whole number below 2^53, as a double. */
  f64(value: number): void {
    this.#room(8);
    this.#numbers.setFloat64(this.#at, value, true);
    this.#at += 8;
  }

  string(value: string): void {
    const most = value.length * 3;
    this.#room(4 + most);
    const written = this.#buffer.write(value, this.#at + 4, most, 'utf8');
    this.#numbers.setUint32(this.#at, written, true);
    this.#at += 4 + written;
  }

  bytes(value: Uint8Array): void {
    this.u32(value.length);
    this.raw(value);
  }

  /** Bytes without a length before them. */
  raw(value: Uint8Array): void {
    this.#room(value.length);
    this.#buffer.set(value, this.#at);
    this.#at += value.length;
  }

  #room(more: number): void {
    const need = this.#at + more;
    if (need <= this.#buffer.length) return;
    let size = this.#buffer.length * 2;
    while (size < need) size *= 2;
    const next = Buffer.allocUnsafeSlow(size);
    this.#buffer.copy(next, 0, 0, this.#at);
    this.#buffer = next;
    this.#numbers = viewOf(next);
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Bytes from elsewhere ended early or are not of the promised form. */
export class MalformedBytesError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'MalformedBytesError';
  }
}

/** Reads what `ByteWriter` wrote; every read checks the bounds and throws `MalformedBytesError`. */
export class ByteReader {
  readonly #buffer: Buffer;
  readonly #numbers: DataView;
  #at: number;
  readonly #end: number;

  constructor(bytes: Uint8Array, at = 0, end = bytes.length) {
    invariant(end <= bytes.length, 'reader within its bytes', { end, length: bytes.length });
    this.#buffer = Buffer.isBuffer(bytes)
      ? bytes
      : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#numbers = viewOf(bytes);
    this.#at = at;
    this.#end = end;
  }

  get position(): number {
    return this.#at;
  }

  get left(): number {
    return this.#end - this.#at;
  }

  u8(): number {
    this.#need(1);
    return this.#buffer[this.#at++]!;
  }

  u32(): number {
    this.#need(4);
    const value = this.#numbers.getUint32(this.#at, true);
    this.#at += 4;
    return value;
  }

  f64(): number {
    this.#need(8);
    const value = this.#numbers.getFloat64(this.#at, true);
    this.#at += 8;
    return value;
  }

  string(): string {
    const length = this.u32();
    this.#need(length);
    const value = this.#buffer.toString('utf8', this.#at, this.#at + length);
    this.#at += length;
    return value;
  }

  /** A view on the underlying bytes, not a copy. */
  bytes(): Buffer {
    return this.raw(this.u32());
  }

  raw(length: number): Buffer {
    this.#need(length);
    const value = this.#buffer.subarray(this.#at, this.#at + length);
    this.#at += length;
    return value;
  }

  #need(count: number): void {
    if (this.#at + count > this.#end) {
      throw new MalformedBytesError(`${count} more bytes were promised, ${this.#end - this.#at} are left`);
    }
  }
}
