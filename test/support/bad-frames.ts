import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';

export type Port = 'grpc' | 'peer' | 'http';
export type Kind =
  | 'random'
  | 'huge'
  | 'half'
  | 'slow'
  | 'huge-message'
  | 'half-message'
  | 'closed-list'
  | 'closed-watch';
const FRAMES: readonly Kind[] = ['random', 'huge', 'half', 'slow'];
/**
 * What is bad at each port: the frames that carry it, and at the gRPC port also messages inside of sound frames, and
 * sound calls whose answers may not come, as the caller's window is closed. (The peer port answers a stranger with
 * little by design: at most 64 KiB may be said there before a hello is accepted.)
 */
export const KINDS: { readonly [port in Port]: readonly Kind[] } = {
  grpc: [...FRAMES, 'huge-message', 'half-message', 'closed-list', 'closed-watch'],
  peer: FRAMES,
  http: FRAMES,
};

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const RANDOM_BYTES = 4_096;
/** How long a server may leave a connection open that said nothing useful, before the test goes away by itself. */
const PATIENCE_MS = 400;
/** Longer than the time that any port gives a newcomer to say something useful: here the server must be the one to end it. */
const LONG_PATIENCE_MS = 10_000;
/** One that does not read does not see the end either: a patient one looks then. */
const LOOK_MS = 8_000;

/** HTTP/2 frame: 24-bit length, type, flags, stream. */
function h2Frame(
  length: number,
  type: number,
  flags: number,
  stream: number,
  body = Buffer.alloc(0),
): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(length, 0, 3);
  header.writeUInt8(type, 3);
  header.writeUInt8(flags, 4);
  header.writeUInt32BE(stream, 5);
  return Buffer.concat([header, body]);
}

const SETTINGS = h2Frame(0, 4, 0, 0);
/** SETTINGS_INITIAL_WINDOW_SIZE is 0: no answer may bring data. */
const CLOSED_WINDOW = h2Frame(6, 4, 0, 0, Buffer.of(0, 4, 0, 0, 0, 0));
/** ListJobsRequest: page_size 1000, view FULL. */
const LIST_ALL = Buffer.of(0x28, 0xe8, 0x07, 0x38, 0x02);
/** WatchQueuesRequest: all_namespaces. */
const WATCH_ALL = Buffer.of(0x10, 0x01);
const PING = h2Frame(8, 6, 0, 0, Buffer.alloc(8, 1));

/** A header field of HTTP/2 as plain text: neither indexed nor compressed. Name and value below 127 bytes. */
function h2Header(name: string, value: string): Buffer {
  const [first, second] = [Buffer.from(name), Buffer.from(value)];
  return Buffer.concat([Buffer.of(0, first.length), first, Buffer.of(second.length), second]);
}

/**
 * A call that a gRPC server takes, whose message announces `length` bytes and brings `body`. It ends where the message is
 * whole, and not at all where it is not.
 */
function grpcCall(method: string, length: number, body: Buffer, settings = SETTINGS): Buffer {
  const headers = Buffer.concat([
    h2Header(':method', 'POST'),
    h2Header(':scheme', 'http'),
    h2Header(':path', `/gearmesh.v1.${method}`),
    h2Header(':authority', 'x'),
    h2Header('content-type', 'application/grpc'),
    h2Header('te', 'trailers'),
  ]);
  const message = Buffer.alloc(5 + body.length);
  message.writeUInt32BE(length, 1);
  body.copy(message, 5);
  return Buffer.concat([
    PREFACE,
    settings,
    h2Frame(headers.length, 1, 4, 1, headers),
    h2Frame(message.length, 0, length === body.length ? 1 : 0, 1, message),
  ]);
}

const UPGRADE = Buffer.from(
  `GET /gearmesh/peer/v1/control HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
    `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\n\r\n`,
);

/** WebSocket binary frame, masked, that announces `length` bytes. */
function wsFrame(length: number, body: Buffer): Buffer {
  const header = Buffer.alloc(14);
  header.writeUInt8(0x82, 0);
  header.writeUInt8(0x80 | 127, 1);
  header.writeBigUInt64BE(BigInt(length), 2);
  return Buffer.concat([header, body]);
}

/** What a connection of this kind says at this port. */
function words(port: Port, kind: Kind): Buffer {
  if (kind === 'random') return randomBytes(RANDOM_BYTES);
  if (port === 'grpc') {
    if (kind === 'huge') {
      return Buffer.concat([PREFACE, SETTINGS, h2Frame(0xffffff, 0, 0, 1, randomBytes(RANDOM_BYTES))]);
    }
    if (kind === 'half') return Buffer.concat([PREFACE, SETTINGS, h2Frame(1_000, 1, 4, 1, randomBytes(10))]);
    if (kind === 'huge-message')
      return grpcCall('JobService/SubmitJob', 0xffffffff, randomBytes(RANDOM_BYTES));
    if (kind === 'half-message') return grpcCall('JobService/SubmitStream', 1_000, randomBytes(10));
    if (kind === 'closed-list') {
      return grpcCall('JobService/ListJobs', LIST_ALL.length, LIST_ALL, CLOSED_WINDOW);
    }
    if (kind === 'closed-watch') {
      return grpcCall('QueueService/WatchQueues', WATCH_ALL.length, WATCH_ALL, CLOSED_WINDOW);
    }
    return Buffer.concat([PREFACE, SETTINGS, ...Array.from({ length: 2_000 }, () => PING)]);
  }
  if (port === 'peer') {
    if (kind === 'huge') return Buffer.concat([UPGRADE, wsFrame(2 ** 40, randomBytes(RANDOM_BYTES))]);
    if (kind === 'half') return Buffer.concat([UPGRADE, wsFrame(1_000, randomBytes(10))]);
    return Buffer.concat([
      UPGRADE,
      ...Array.from({ length: 2_000 }, () => Buffer.from([0x89, 0x80, 0, 0, 0, 0])),
    ]);
  }
  if (kind === 'huge') {
    return Buffer.from(
      `POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\nX: ${'y'.repeat(60_000)}\r\n\r\n`,
    );
  }
  if (kind === 'half') return Buffer.from('GET /metrics HTTP/1.1\r\nHost: x\r\nX-Half: ');
  return Buffer.from('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(200));
}

/**
 * Connects, says something bad, and stays until the server hangs up or patience is over; one that reads slowly reads
 * nothing at all. Resolves with who ended it; never rejects.
 */
export function misbehave(
  address: string,
  port: Port,
  kind: Kind,
  isPatient = false,
): Promise<'server' | 'us'> {
  const [host, number] = address.split(':') as [string, string];
  return new Promise((resolve) => {
    const socket: Socket = connect({ host, port: Number(number) });
    let ended: 'server' | 'us' = 'server';
    let look: NodeJS.Timeout | undefined;
    const timer = setTimeout(
      () => {
        ended = 'us';
        socket.destroy();
      },
      isPatient ? LONG_PATIENCE_MS : PATIENCE_MS,
    );
    socket.on('error', () => {}); // 'close' follows
    socket.on('close', () => {
      clearTimeout(timer);
      clearTimeout(look);
      resolve(ended);
    });
    socket.on('connect', () => {
      socket.write(words(port, kind));
      if (kind !== 'slow') socket.resume();
      else if (isPatient) look = setTimeout(() => socket.resume(), LOOK_MS);
    });
    if (kind === 'slow') socket.pause();
  });
}
