/** The binary packets of Gearman's protocol. All integers on the wire are big-endian. */
export const HEADER_BYTES = 12;

/** Packet types by their numbers on the wire. */
export const TYPE = {
  CAN_DO: 1,
  CANT_DO: 2,
  RESET_ABILITIES: 3,
  PRE_SLEEP: 4,
  NOOP: 6,
  SUBMIT_JOB: 7,
  JOB_CREATED: 8,
  GRAB_JOB: 9,
  NO_JOB: 10,
  JOB_ASSIGN: 11,
  WORK_STATUS: 12,
  WORK_COMPLETE: 13,
  WORK_FAIL: 14,
  GET_STATUS: 15,
  ECHO_REQ: 16,
  ECHO_RES: 17,
  SUBMIT_JOB_BG: 18,
  ERROR: 19,
  STATUS_RES: 20,
  SUBMIT_JOB_HIGH: 21,
  SET_CLIENT_ID: 22,
  CAN_DO_TIMEOUT: 23,
  ALL_YOURS: 24,
  WORK_EXCEPTION: 25,
  OPTION_REQ: 26,
  OPTION_RES: 27,
  WORK_DATA: 28,
  WORK_WARNING: 29,
  GRAB_JOB_UNIQ: 30,
  JOB_ASSIGN_UNIQ: 31,
  SUBMIT_JOB_HIGH_BG: 32,
  SUBMIT_JOB_LOW: 33,
  SUBMIT_JOB_LOW_BG: 34,
  SUBMIT_JOB_SCHED: 35,
  SUBMIT_JOB_EPOCH: 36,
  SUBMIT_REDUCE_JOB: 37,
  SUBMIT_REDUCE_JOB_BACKGROUND: 38,
  GRAB_JOB_ALL: 39,
  JOB_ASSIGN_ALL: 40,
  GET_STATUS_UNIQUE: 41,
  STATUS_RES_UNIQUE: 42,
} as const;

export type PacketName = keyof typeof TYPE;
export type PacketType = (typeof TYPE)[PacketName];

export const TYPE_MAX = 42;

const NAMES: readonly string[] = Array.from(
  { length: TYPE_MAX + 1 },
  (_, type) => Object.entries(TYPE).find(([, number]) => number === type)?.[0] ?? `type ${type}`,
);

/** Name of a type, `type N` for one that has none. */
export function nameOf(type: number): string {
  return NAMES[type] ?? `type ${type}`;
}

/** First four bytes of a packet: to a server, and from one. */
export const REQUEST_MAGIC = 0x00524551;
export const RESPONSE_MAGIC = 0x00524553;

/** A packet in one buffer. Arguments are separated by a NUL byte; the last one ends with the packet. */
export function packet(magic: number, type: PacketType, args: readonly (string | Uint8Array)[] = []): Buffer {
  let size = Math.max(0, args.length - 1);
  for (const arg of args) size += typeof arg === 'string' ? Buffer.byteLength(arg) : arg.length;
  const out = Buffer.allocUnsafe(HEADER_BYTES + size);
  out.writeUInt32BE(magic, 0);
  out.writeUInt32BE(type, 4);
  out.writeUInt32BE(size, 8);
  let at = HEADER_BYTES;
  args.forEach((arg, i) => {
    if (i > 0) out[at++] = 0;
    if (typeof arg === 'string') {
      at += out.write(arg, at);
    } else {
      out.set(arg, at);
      at += arg.length;
    }
  });
  return out;
}

/** A packet as a server sends it. */
export function response(type: PacketType, args: readonly (string | Uint8Array)[] = []): Buffer {
  return packet(RESPONSE_MAGIC, type, args);
}

/** The beginning of a packet whose last argument has `size` bytes and follows in pieces. */
export function responseHead(type: PacketType, args: readonly string[], size: number): Buffer {
  // An empty last argument makes the separator before it.
  const head = response(type, [...args, '']);
  head.writeUInt32BE(head.length - HEADER_BYTES + size, 8);
  return head;
}

/**
 * The arguments of a packet's body: `count` of them, of which the last is the rest of the body. Null: there are fewer.
 * The arguments are views of the body.
 */
export function argumentsOf(body: Buffer, count: number): Buffer[] | null {
  const args: Buffer[] = [];
  let from = 0;
  while (args.length < count - 1) {
    const end = body.indexOf(0, from);
    if (end < 0) return null;
    args.push(body.subarray(from, end));
    from = end + 1;
  }
  args.push(body.subarray(from));
  return args;
}
