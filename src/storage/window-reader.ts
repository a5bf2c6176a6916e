import type { DiskFile } from './disk.js';

/** Bytes read ahead at once. */
const WINDOW = 1024 * 1024;

/** Reads a file front to back in large pieces and hands out views on them. */
export class WindowReader {
  readonly #file: DiskFile;
  readonly size: number;
  #window: Buffer = Buffer.alloc(0);
  #at = 0;

  constructor(file: DiskFile, size: number) {
    this.#file = file;
    this.size = size;
  }

  /** Lets go of what was read ahead. */
  release(): void {
    this.#window = Buffer.alloc(0);
  }

  /** A view of `length` bytes, fewer at the file's end. */
  async view(position: number, length: number): Promise<Buffer> {
    const end = Math.min(position + length, this.size);
    if (end <= position) return Buffer.alloc(0);
    if (position < this.#at || end > this.#at + this.#window.length) {
      const want = Math.min(Math.max(WINDOW, length), this.size - position);
      const bytes = await this.#file.read(position, want);
      this.#window = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      this.#at = position;
    }
    return this.#window.subarray(position - this.#at, Math.min(end - this.#at, this.#window.length));
  }
}
