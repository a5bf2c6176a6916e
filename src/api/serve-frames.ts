import { BinaryWriter } from '@bufbuild/protobuf/wire';
import {
  Assignment,
  CancelRequest,
  Drain,
  LeaseLost,
  OutcomeResult,
  Redirect,
  ServeFrame,
  Welcome,
} from '../../proto/gen/gearmesh/v1/worker.js';

/** Bytes of UTF-8 for one unit of a JavaScript string, at most. */
const UTF8_MAX = 3;

interface Part<T> {
  encode(message: T, writer: BinaryWriter): BinaryWriter;
}

/** Tags of ServeFrame's fields: number × 8 + 2, length-delimited. A test compares them with the generated code. */
export const SERVE_FRAME_TAGS = {
  welcome: 10,
  assignment: 18,
  outcomeResult: 26,
  leaseLost: 34,
  cancel: 42,
  drain: 50,
  redirect: 58,
} as const;

/**
 * Gathers what one turn produced for a worker, encoded part by part as it comes: payloads are views that may not
 * live until the frame is sent. `take` gives the finished frames; one that has grown large is closed early.
 */
export class ServeFrames {
  readonly #frameBytes: number;
  #writer = new BinaryWriter();
  #open = 0;
  #closed: Buffer[] = [];

  /** `frameBytes`: size at which a frame is closed. */
  constructor(frameBytes: number) {
    this.#frameBytes = frameBytes;
  }

  get empty(): boolean {
    return this.#open === 0 && this.#closed.length === 0;
  }

  welcome(part: Welcome): void {
    this.#add(SERVE_FRAME_TAGS.welcome, Welcome, part, 1_024);
  }

  assignment(part: Assignment): void {
    let chars =
      part.function.length + part.namespace.length + part.contentType.length + part.uniqueKey.length;
    for (const key in part.metadata) chars += key.length + part.metadata[key]!.length + 4;
    this.#add(SERVE_FRAME_TAGS.assignment, Assignment, part, part.payload.length + chars * UTF8_MAX + 128);
  }

  outcomeResult(part: OutcomeResult): void {
    this.#add(SERVE_FRAME_TAGS.outcomeResult, OutcomeResult, part, part.error === undefined ? 32 : 8_192);
  }

  leaseLost(part: LeaseLost): void {
    this.#add(SERVE_FRAME_TAGS.leaseLost, LeaseLost, part, 16);
  }

  cancel(part: CancelRequest): void {
    this.#add(SERVE_FRAME_TAGS.cancel, CancelRequest, part, part.reason.length * UTF8_MAX);
  }

  drain(part: Drain): void {
    this.#add(SERVE_FRAME_TAGS.drain, Drain, part, part.reason.length * UTF8_MAX);
  }

  redirect(part: Redirect): void {
    this.#add(
      SERVE_FRAME_TAGS.redirect,
      Redirect,
      part,
      (part.reason.length + part.endpoints.join('').length) * UTF8_MAX,
    );
  }

  /** All frames so far, in order. */
  take(): Buffer[] {
    if (this.#open > 0) this.#close();
    const frames = this.#closed;
    this.#closed = [];
    return frames;
  }

  /** A frame without content: the heartbeat. */
  static heartbeat(): Buffer {
    return Buffer.from(ServeFrame.encode(ServeFrame.create()).finish());
  }

  /** `bytes`: what the part takes at most, but for its own tags. */
  #add<T>(tag: number, type: Part<T>, part: T, bytes: number): void {
    type.encode(part, this.#writer.uint32(tag).fork()).join();
    this.#open += bytes + 64;
    if (this.#open >= this.#frameBytes) this.#close();
  }

  #close(): void {
    const bytes = this.#writer.finish();
    this.#closed.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    this.#open = 0;
    if (bytes.length > this.#frameBytes) this.#writer = new BinaryWriter();
  }
}
