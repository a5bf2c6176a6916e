import { HEADER_BYTES, type PacketType, packet, REQUEST_MAGIC, TYPE } from '../../src/gearman/packets.js';

const later = String(Math.floor(Date.now() / 1_000) + 86_400);

/** A sound packet of every type, those that only a server sends among them, and lines of text. */
const FORMS: readonly Buffer[] = [
  ...(
    [
      [TYPE.CAN_DO, 'fuzz'],
      [TYPE.CANT_DO, 'fuzz'],
      [TYPE.RESET_ABILITIES],
      [TYPE.PRE_SLEEP],
      [TYPE.NOOP],
      [TYPE.SUBMIT_JOB, 'fuzz', 'unique', 'payload'],
      [TYPE.JOB_CREATED, 'H:test:1'],
      [TYPE.GRAB_JOB],
      [TYPE.NO_JOB],
      [TYPE.JOB_ASSIGN, 'H:test:1', 'fuzz', 'payload'],
      [TYPE.WORK_STATUS, 'H:test:1', '1', '2'],
      [TYPE.WORK_COMPLETE, 'H:test:1', 'result'],
      [TYPE.WORK_FAIL, 'H:test:1'],
      [TYPE.GET_STATUS, 'H:test:1'],
      [TYPE.ECHO_REQ, 'echo'],
      [TYPE.ECHO_RES, 'echo'],
      [TYPE.SUBMIT_JOB_BG, 'fuzz', '-', 'payload'],
      [TYPE.ERROR, 'CODE', 'text'],
      [TYPE.STATUS_RES, 'H:test:1', '1', '1', '1', '2'],
      [TYPE.SUBMIT_JOB_HIGH, 'fuzz', '', ''],
      [TYPE.SET_CLIENT_ID, 'me'],
      [TYPE.CAN_DO_TIMEOUT, 'fuzz', '1000'],
      [TYPE.ALL_YOURS],
      [TYPE.WORK_EXCEPTION, 'H:test:1', 'exception'],
      [TYPE.OPTION_REQ, 'exceptions'],
      [TYPE.OPTION_RES, 'exceptions'],
      [TYPE.WORK_DATA, 'H:test:1', 'data'],
      [TYPE.WORK_WARNING, 'H:test:1', 'warning'],
      [TYPE.GRAB_JOB_UNIQ],
      [TYPE.JOB_ASSIGN_UNIQ, 'H:test:1', 'fuzz', 'unique', 'payload'],
      [TYPE.SUBMIT_JOB_HIGH_BG, 'fuzz', 'unique', 'payload'],
      [TYPE.SUBMIT_JOB_LOW, 'fuzz', 'unique', 'payload'],
      [TYPE.SUBMIT_JOB_LOW_BG, 'fuzz', 'unique', 'payload'],
      // A month that there is not, so that few of them stay.
      [TYPE.SUBMIT_JOB_SCHED, 'fuzz', 'unique', '0', '0', '1', '13', '', 'payload'],
      [TYPE.SUBMIT_JOB_EPOCH, 'fuzz', '', later, 'payload'],
      [TYPE.SUBMIT_REDUCE_JOB, 'fuzz', '', 'reducer', '', 'payload'],
      [TYPE.SUBMIT_REDUCE_JOB_BACKGROUND, 'fuzz', '', 'reducer', '', 'payload'],
      [TYPE.GRAB_JOB_ALL],
      [TYPE.JOB_ASSIGN_ALL, 'H:test:1', 'fuzz', 'unique', 'reducer', 'payload'],
      [TYPE.GET_STATUS_UNIQUE, 'unique'],
      [TYPE.STATUS_RES_UNIQUE, 'unique', '1', '1', '1', '2', '0'],
    ] as readonly (readonly [PacketType, ...string[]])[]
  ).map(([type, ...args]) => packet(REQUEST_MAGIC, type, args)),
  ...['status', 'workers', 'show jobs', 'cancel job H:test:1', 'version', 'prioritystatus', 'maxqueue'].map(
    (line) => Buffer.from(`${line}\r\n`),
  ),
];

/** Makes mutated packets: the same ones for the same seed. */
export class Mutations {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  below(limit: number): number {
    // xorshift32; zero would stay zero.
    let x = this.#state || 1;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return Math.floor((this.#state / 2 ** 32) * limit);
  }

  /** A sound packet with one to three mutations. */
  next(): Buffer {
    let bytes: Buffer = Buffer.from(this.#form());
    for (let n = this.below(3); n >= 0; n--) bytes = this.#mutated(bytes);
    return bytes;
  }

  #form(): Buffer {
    return FORMS[this.below(FORMS.length)]!;
  }

  #mutated(bytes: Buffer): Buffer {
    const end = bytes.length;
    switch (this.below(12)) {
      case 0: // Cut off: what follows becomes part of it.
        return bytes.subarray(0, this.below(end));
      case 1: {
        // Spliced: the head of one, the tail of another.
        const other = this.#form();
        return Buffer.concat([bytes.subarray(0, this.below(end)), other.subarray(this.below(other.length))]);
      }
      case 2: // Another length than it has, sometimes by far.
        if (end >= HEADER_BYTES) {
          const size = this.below(4) === 0 ? this.below(2 ** 32) : this.below(2 * end);
          bytes.writeUInt32BE(size, 8);
        }
        return bytes;
      case 3: // Another type.
        if (end >= HEADER_BYTES) bytes.writeUInt32BE(this.below(46), 4);
        return bytes;
      case 4: // A bit of the whole, header included.
        if (end > 0) bytes[this.below(end)]! ^= 1 << this.below(8);
        return bytes;
      case 5:
      case 6:
        return this.#dropArgument(bytes);
      case 7: // An argument more, or one in two.
        return this.#withBody(bytes, (body) => {
          const at = this.below(body.length + 1);
          return Buffer.concat([body.subarray(0, at), Buffer.of(0), body.subarray(at)]);
        });
      case 8: // Longer than names and ids may be.
        return this.#withBody(bytes, (body) => {
          const at = this.below(body.length + 1);
          const more = Buffer.alloc(this.below(600), this.below(256));
          return Buffer.concat([body.subarray(0, at), more, body.subarray(at)]);
        });
      default: // A bit of what is inside.
        if (end > HEADER_BYTES) bytes[HEADER_BYTES + this.below(end - HEADER_BYTES)]! ^= 1 << this.below(8);
        return bytes;
    }
  }

  /** With a length that is right again. */
  #withBody(bytes: Buffer, change: (body: Buffer) => Buffer): Buffer {
    if (bytes.length < HEADER_BYTES || bytes[0] !== 0) return bytes;
    const body = change(bytes.subarray(HEADER_BYTES));
    const changed = Buffer.concat([bytes.subarray(0, HEADER_BYTES), body]);
    changed.writeUInt32BE(body.length, 8);
    return changed;
  }

  #dropArgument(bytes: Buffer): Buffer {
    return this.#withBody(bytes, (body) => {
      const args = body.toString('latin1').split('\0');
      args.splice(this.below(args.length), 1);
      return Buffer.from(args.join('\0'), 'latin1');
    });
  }
}
