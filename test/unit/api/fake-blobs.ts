import { createHash } from 'node:crypto';
import { GearmeshError } from '../../../src/core/errors.js';
import type { BlobRef } from '../../../src/core/types.js';
import type { BlobWriter, CallOptions } from '../../../src/node/interface.js';

const CHUNK = 128 << 10;

/** A blob that is being written; the test decides when its writes and its end are answered. */
export class FakeWriter implements BlobWriter {
  readonly #blobs: FakeBlobs;
  readonly #parts: Buffer[] = [];
  readonly size: number;
  readonly id: string;
  writing = 0;
  writes = 0;
  /** Most writes at once: more than one says that nobody waited. */
  writingMax = 0;
  bytes = 0;
  state: 'open' | 'finished' | 'aborted' = 'open';

  constructor(blobs: FakeBlobs, size: number) {
    this.#blobs = blobs;
    this.size = size;
    this.id = blobs.writers.length.toString(16).padStart(32, '0');
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.writing++;
    this.writes++;
    this.writingMax = Math.max(this.writingMax, this.writing);
    this.bytes += bytes.length;
    this.#parts.push(Buffer.from(bytes));
    this.#blobs.note();
    await this.#blobs.writeAnswer(this);
    this.writing--;
  }

  async finish(): Promise<BlobRef> {
    await this.#blobs.finishAnswer(this);
    this.state = 'finished';
    return this.#blobs.put(Buffer.concat(this.#parts), this.id);
  }

  abort(): void {
    this.state = 'aborted';
    this.#blobs.stored.delete(this.id);
    this.#blobs.note();
  }
}

/** Blobs in memory, for a fake node. */
export class FakeBlobs {
  readonly stored = new Map<string, Buffer>();
  readonly writers: FakeWriter[] = [];
  readonly note: () => void;
  createAnswer: (size: number, call: CallOptions) => Promise<void> = async () => {};
  writeAnswer: (writer: FakeWriter) => Promise<void> = async () => {};
  finishAnswer: (writer: FakeWriter) => Promise<void> = async () => {};
  /** Called before each chunk that is read. */
  readAnswer: (at: number) => Promise<void> = async () => {};
  /** Readers that have not come to their end. */
  reading = 0;

  constructor(note: () => void) {
    this.note = note;
  }

  put(bytes: Buffer, id = `f${this.stored.size}`.padStart(32, '0')): BlobRef {
    this.stored.set(id, bytes);
    this.note();
    return { id, size: bytes.length, digest: createHash('sha256').update(bytes).digest() };
  }

  async create(size: number, call: CallOptions): Promise<BlobWriter> {
    await this.createAnswer(size, call);
    const writer = new FakeWriter(this, size);
    this.writers.push(writer);
    this.note();
    return writer;
  }

  async *read(ref: BlobRef, offset: number, { signal }: CallOptions): AsyncIterable<Uint8Array> {
    const bytes = this.stored.get(ref.id);
    if (bytes === undefined) throw new GearmeshError('NOT_FOUND', { message: 'no node has the blob' });
    this.reading++;
    try {
      for (let at = offset; at < bytes.length; at += CHUNK) {
        await this.readAnswer(at);
        if (signal?.aborted) throw new GearmeshError('CANCELLED');
        yield bytes.subarray(at, at + CHUNK);
      }
    } finally {
      this.reading--;
      this.note();
    }
  }
}
