import { HEADER_BYTES, REQUEST_MAGIC, RESPONSE_MAGIC, TYPE_MAX } from './packets.js';

/** What a decoder finds. All are called in the order of the bytes, on the turn in which these came. */
export interface DecoderEvents {
  /** A whole packet with a type from 1 to 42. `body` is the receiver's to keep. */
  packet(type: number, body: Buffer): void;
  /**
   * A packet over the limit begins. `size`: bytes of its body. `head`: the first `argumentsBytesMax` of them, the
   * receiver's to keep. What follows goes to the receiver that is returned; null: it is skipped, then told as `tooLarge`.
   */
  large(type: number, size: number, head: Buffer): LargeBody | null;
  /** A line without its end. */
  text(line: string): void;
  /** A packet with the magic of an answer; its body was skipped. */
  responseMagic(type: number): void;
  /** A packet that nobody took: told when all of its bytes were skipped. `head`: the first of them. */
  tooLarge(type: number, size: number, head: Buffer): void;
  /** What came cannot be understood, nor where it ends: nothing more is decoded. */
  broken(why: string): void;
}

/** Takes the body of one large packet after its head, as it comes. */
export interface LargeBody {
  /** `bytes` is the receiver's to keep. */
  chunk(bytes: Buffer): void;
  /** All of it came. Not called when the stream ends before. */
  end(): void;
}

export interface DecoderLimits {
  /** Bytes of a packet after its header that are kept until it is whole; one with more is `large`. */
  readonly bodyBytesMax: number;
  /** Bytes in which the arguments before the payload must end. */
  readonly argumentsBytesMax: number;
  /** Bytes of a text command. */
  readonly lineBytesMax: number;
}

/** Parts of a packet up to this size are joined, or copied. */
const PART_BYTES = 256;
const NOTHING: Buffer = Buffer.alloc(0);
const LF = 10;
const CR = 13;

/**
 * Takes a byte stream apart into binary packets and lines of text, mixed as they come and split wherever.
 *
 *     between ──(NUL)──▶ header ──▶ body ──▶ between
 *        │                  ├─────▶ head ──▶ streamed ──▶ between
 *        │                  │          └───▶ skipped ──▶ between
 *        │                  └─────▶ skipped ──▶ between
 *        └──(anything else)──▶ line ──▶ between
 *
 * Memory grows with the bytes that came, never with the length that a header claims.
 */
export class Decoder {
  readonly #events: DecoderEvents;
  readonly #limits: DecoderLimits;
  readonly #header = Buffer.alloc(HEADER_BYTES);
  #headerBytes = 0;
  #state: 'between' | 'header' | 'body' | 'head' | 'streamed' | 'skipped' | 'line' | 'broken' = 'between';
  #type = 0;
  #magic = 0;
  #size = 0;
  #left = 0;
  #head = NOTHING;
  #receiver: LargeBody | null = null;
  #parts: Buffer[] = [];
  #partsBytes = 0;

  constructor(events: DecoderEvents, limits: DecoderLimits) {
    this.#events = events;
    this.#limits = limits;
  }

  /** Nothing is under way: the stream may end here. */
  get idle(): boolean {
    return this.#state === 'between';
  }

  /** Bytes kept of what is not whole yet. */
  get heldBytes(): number {
    return this.#headerBytes + this.#partsBytes + this.#head.length;
  }

  push(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length || (this.#state === 'body' && this.#left === 0)) {
      switch (this.#state) {
        case 'between':
          this.#state = bytes[at] === 0 ? 'header' : 'line';
          break;
        case 'header':
          at = this.#takeHeader(bytes, at);
          break;
        case 'body':
          at = this.#takeBody(bytes, at);
          break;
        case 'head':
          at = this.#takeHead(bytes, at);
          break;
        case 'streamed':
          at = this.#stream(bytes, at);
          break;
        case 'skipped':
          at = this.#skip(bytes, at);
          break;
        case 'line':
          at = this.#takeLine(bytes, at);
          break;
        case 'broken':
          return;
      }
    }
  }

  #takeHeader(bytes: Buffer, at: number): number {
    const taken = Math.min(HEADER_BYTES - this.#headerBytes, bytes.length - at);
    bytes.copy(this.#header, this.#headerBytes, at, at + taken);
    this.#headerBytes += taken;
    if (this.#headerBytes < HEADER_BYTES) return at + taken;
    this.#headerBytes = 0;
    this.#magic = this.#header.readUInt32BE(0);
    this.#type = this.#header.readUInt32BE(4);
    this.#size = this.#header.readUInt32BE(8);
    this.#left = this.#size;
    if (this.#magic !== REQUEST_MAGIC && this.#magic !== RESPONSE_MAGIC) {
      this.#break('the first bytes are no packet');
    } else if (this.#type === 0 || this.#type > TYPE_MAX) {
      this.#break(`there is no packet of type ${this.#type}`);
    } else if (this.#magic === RESPONSE_MAGIC) {
      this.#state = 'skipped';
      if (this.#left === 0) this.#skipped();
    } else {
      this.#state = this.#size > this.#limits.bodyBytesMax ? 'head' : 'body';
    }
    return at + taken;
  }

  #takeBody(bytes: Buffer, at: number): number {
    const taken = Math.min(this.#left, bytes.length - at);
    this.#left -= taken;
    if (this.#left > 0) {
      this.#keep(bytes.subarray(at, at + taken));
      return at + taken;
    }
    let body = bytes.subarray(at, at + taken);
    if (this.#parts.length > 0) {
      this.#keep(body);
      body = this.#taken();
    }
    this.#state = 'between';
    this.#events.packet(this.#type, body);
    return at + taken;
  }

  #takeHead(bytes: Buffer, at: number): number {
    const size = Math.min(this.#size, this.#limits.argumentsBytesMax);
    const taken = Math.min(size - this.#partsBytes, bytes.length - at);
    this.#keep(Buffer.from(bytes.subarray(at, at + taken)));
    this.#left -= taken;
    if (this.#partsBytes < size) return at + taken;
    const head = this.#taken();
    this.#receiver = this.#events.large(this.#type, this.#size, head);
    if (this.#receiver === null) {
      this.#head = head;
      this.#state = 'skipped';
      if (this.#left === 0) this.#skipped();
    } else {
      this.#state = 'streamed';
      if (this.#left === 0) this.#streamed();
    }
    return at + taken;
  }

  #stream(bytes: Buffer, at: number): number {
    const taken = Math.min(this.#left, bytes.length - at);
    this.#left -= taken;
    this.#receiver!.chunk(bytes.subarray(at, at + taken));
    if (this.#left === 0) this.#streamed();
    return at + taken;
  }

  #streamed(): void {
    const receiver = this.#receiver!;
    this.#receiver = null;
    this.#state = 'between';
    receiver.end();
  }

  #skip(bytes: Buffer, at: number): number {
    const taken = Math.min(this.#left, bytes.length - at);
    this.#left -= taken;
    if (this.#left === 0) this.#skipped();
    return at + taken;
  }

  #skipped(): void {
    const head = this.#head;
    this.#head = NOTHING;
    this.#state = 'between';
    if (this.#magic === RESPONSE_MAGIC) this.#events.responseMagic(this.#type);
    else this.#events.tooLarge(this.#type, this.#size, head);
  }

  #takeLine(bytes: Buffer, at: number): number {
    const end = bytes.indexOf(LF, at);
    const stop = end < 0 ? bytes.length : end;
    if (this.#partsBytes + stop - at > this.#limits.lineBytesMax) {
      this.#break(`a line is longer than ${this.#limits.lineBytesMax} bytes`);
      return bytes.length;
    }
    this.#keep(bytes.subarray(at, stop));
    if (end < 0) return stop;
    const line = this.#taken();
    this.#state = 'between';
    const length = line.at(-1) === CR ? line.length - 1 : line.length;
    this.#events.text(line.toString('utf8', 0, length));
    return end + 1;
  }

  #keep(part: Buffer): void {
    // Small parts are joined as they come: a body that trickles in must not cost an object for every byte.
    const last = this.#parts.at(-1);
    if (last !== undefined && last.length + part.length <= PART_BYTES) {
      this.#parts[this.#parts.length - 1] = Buffer.concat([last, part]);
    } else if (part.length < PART_BYTES) {
      // A copy: a small view would hold the whole buffer that it came in.
      this.#parts.push(Buffer.from(part));
    } else {
      this.#parts.push(part);
    }
    this.#partsBytes += part.length;
  }

  #taken(): Buffer {
    const whole = this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts, this.#partsBytes);
    this.#parts = [];
    this.#partsBytes = 0;
    return whole;
  }

  #break(why: string): void {
    this.#state = 'broken';
    this.#head = NOTHING;
    this.#parts = [];
    this.#partsBytes = 0;
    this.#events.broken(why);
  }
}
