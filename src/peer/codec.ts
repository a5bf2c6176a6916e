import { Packr } from 'msgpackr';
import { messageFromWire, messageToWire } from '../consensus/index.js';
import type { RaftMessage } from '../consensus/types.js';
import { checkMsgpack } from './msgpack-check.js';
import { CHANNELS, type Channel, type Hello, type PeerFrame, PROTOCOL } from './types.js';

/**
 * What travels between nodes: one MessagePack list per websocket message, its first element the kind. Kinds below
 * 16 belong to the transport itself, the others are the node's frames. Everything that comes in is checked before it
 * is unpacked (`checkMsgpack`) and field by field after it.
 */
export type WireFrame = PeerFrame | TransportFrame;

/** Frames that the transport sends on its own account. Tokens are 16 random bytes as hex. */
export type TransportFrame =
  /** The first frame on a control channel, in both directions. The dialler's token is ''. */
  | { readonly type: 'hello'; readonly channel: Channel; readonly token: string; readonly hello: Hello }
  /** The dialler's first frame on the other channels: they belong to the control channel that got this token. */
  | { readonly type: 'join'; readonly channel: Channel; readonly token: string }
  /** The listener's first frame on the other channels, and its second on control: all channels stand. */
  | { readonly type: 'ready'; readonly channel: Channel }
  | { readonly type: 'ping'; readonly id: number }
  | { readonly type: 'pong'; readonly id: number };

export class MalformedFrameError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'MalformedFrameError';
  }
}

const KIND = {
  hello: 0,
  join: 1,
  ready: 2,
  ping: 3,
  pong: 4,
  raft: 16,
  batch: 17,
  'batch-refused': 18,
  events: 19,
  ask: 20,
  answer: 21,
  refuse: 22,
  piece: 23,
  'piece-taken': 24,
  'blob-put': 25,
  'blob-get': 26,
  'blob-piece': 27,
  'blob-end': 28,
  'blob-taken': 29,
  'blob-stop': 30,
  'blob-drop': 31,
  told: 32,
  unask: 33,
} as const satisfies Record<WireFrame['type'], number>;

const TEXT_MAX = 1_024;

const packr = new Packr({ useRecords: false });

/**
 * The bytes of a frame; valid for good (each call gets a piece of a fresh buffer). A `body` may hold what JSON
 * can, `undefined` and bytes, nothing else: the other side refuses other objects.
 */
export function encodeFrame(frame: WireFrame): Buffer {
  return packr.pack(toList(frame));
}

function toList(frame: WireFrame): unknown[] {
  const kind = KIND[frame.type];
  switch (frame.type) {
    case 'hello': {
      const h = frame.hello;
      return [
        kind,
        CHANNELS.indexOf(frame.channel),
        frame.token,
        h.protocol,
        h.featureLevel,
        h.name,
        h.diskId,
        h.clusterId,
        h.clusterName,
        h.configuration,
        h.grpc,
        h.http,
        h.peer,
        h.version,
      ];
    }
    case 'join':
      return [kind, CHANNELS.indexOf(frame.channel), frame.token];
    case 'ready':
      return [kind, CHANNELS.indexOf(frame.channel)];
    case 'ping':
    case 'pong':
      return [kind, frame.id];
    case 'raft':
      return [kind, frame.messages.map(messageToWire)];
    case 'batch':
      return [kind, frame.incarnation, frame.seq, frame.bytes];
    case 'batch-refused':
      return [kind, frame.incarnation, frame.resendFrom, frame.reason.slice(0, TEXT_MAX)];
    case 'events':
      return [kind, frame.bytes];
    case 'ask':
      return [kind, frame.id, frame.topic, frame.body];
    case 'answer':
    case 'told':
      return [kind, frame.id, frame.body];
    case 'refuse':
      return [kind, frame.id, frame.reason.slice(0, TEXT_MAX), frame.body];
    case 'unask':
      return [kind, frame.id];
    case 'piece':
      return [kind, frame.transfer, frame.seq, frame.last, frame.body];
    case 'piece-taken':
      return [kind, frame.transfer, frame.seq, frame.refusal.slice(0, TEXT_MAX)];
    case 'blob-put':
      return [kind, frame.transfer, frame.id, frame.size, frame.digest];
    case 'blob-get':
      return [kind, frame.transfer, frame.id, frame.size, frame.digest, frame.from];
    case 'blob-piece':
      return [kind, frame.transfer, frame.fetch, frame.number, frame.bytes];
    case 'blob-end':
      return [kind, frame.transfer, frame.fetch, frame.size, frame.digest];
    case 'blob-taken':
      return [kind, frame.transfer, frame.fetch, frame.count, frame.sealed];
    case 'blob-stop':
      return [kind, frame.transfer, frame.fetch, frame.reason.slice(0, TEXT_MAX)];
    case 'blob-drop':
      return [kind, frame.id];
  }
}

export interface DecodeLimits {
  readonly frameValuesMax: number;
  readonly frameDepthMax: number;
}

/**
 * Reads bytes from outside; throws `MalformedFrameError` and nothing else. Bytes inside the frame are views on
 * `bytes`: whoever keeps a small one for long should copy it.
 */
export function decodeFrame(bytes: Uint8Array, limits: DecodeLimits): WireFrame {
  const wrong = checkMsgpack(bytes, limits.frameValuesMax, limits.frameDepthMax);
  if (wrong !== null) throw new MalformedFrameError(`not a frame: ${wrong}`);
  let list: unknown;
  try {
    list = packr.unpack(bytes);
  } catch (cause) {
    throw new MalformedFrameError(`not a frame: ${messageOf(cause)}`);
  }
  if (!Array.isArray(list)) throw new MalformedFrameError('not a frame: it is not a list');
  return fromList(new Fields(list));
}

function fromList(f: Fields): WireFrame {
  const kind = f.whole('kind');
  switch (kind) {
    case KIND.hello: {
      // Up to the version a hello has one form for good; what follows may differ in another one.
      const channel = f.channel();
      const token = f.text('token');
      const protocol = f.whole('protocol');
      if (protocol !== PROTOCOL) {
        throw new MalformedFrameError(`peer protocol ${protocol} is not ${PROTOCOL}, which this node speaks`);
      }
      f.count(14);
      return { type: 'hello', channel, token, hello: helloFrom(f, protocol) };
    }
    case KIND.join:
      f.count(3);
      return { type: 'join', channel: f.channel(), token: f.text('token') };
    case KIND.ready:
      f.count(2);
      return { type: 'ready', channel: f.channel() };
    case KIND.ping:
      f.count(2);
      return { type: 'ping', id: f.whole('id') };
    case KIND.pong:
      f.count(2);
      return { type: 'pong', id: f.whole('id') };
    case KIND.raft:
      f.count(2);
      return { type: 'raft', messages: f.messages() };
    case KIND.batch:
      f.count(4);
      return {
        type: 'batch',
        incarnation: f.whole('incarnation'),
        seq: f.whole('seq'),
        bytes: f.bytes('bytes'),
      };
    case KIND['batch-refused']:
      f.count(4);
      return {
        type: 'batch-refused',
        incarnation: f.whole('incarnation'),
        resendFrom: f.whole('resendFrom'),
        reason: f.text('reason'),
      };
    case KIND.events:
      f.count(2);
      return { type: 'events', bytes: f.bytes('bytes') };
    case KIND.ask:
      f.count(4);
      return { type: 'ask', id: f.whole('id'), topic: f.text('topic'), body: f.any() };
    case KIND.answer:
      f.count(3);
      return { type: 'answer', id: f.whole('id'), body: f.any() };
    case KIND.refuse:
      f.count(4);
      return { type: 'refuse', id: f.whole('id'), reason: f.text('reason'), body: f.any() };
    case KIND.told:
      f.count(3);
      return { type: 'told', id: f.whole('id'), body: f.any() };
    case KIND.unask:
      f.count(2);
      return { type: 'unask', id: f.whole('id') };
    case KIND.piece:
      f.count(5);
      return {
        type: 'piece',
        transfer: f.whole('transfer'),
        seq: f.whole('seq'),
        last: f.flag('last'),
        body: f.any(),
      };
    case KIND['piece-taken']:
      f.count(4);
      return {
        type: 'piece-taken',
        transfer: f.whole('transfer'),
        seq: f.whole('seq'),
        refusal: f.text('refusal'),
      };
    case KIND['blob-put']:
      f.count(5);
      return {
        type: 'blob-put',
        transfer: f.whole('transfer'),
        id: f.blobId(),
        size: f.whole('size'),
        digest: f.bytes('digest'),
      };
    case KIND['blob-get']:
      f.count(6);
      return {
        type: 'blob-get',
        transfer: f.whole('transfer'),
        id: f.blobId(),
        size: f.whole('size'),
        digest: f.bytes('digest'),
        from: f.whole('from'),
      };
    case KIND['blob-piece']:
      f.count(5);
      return {
        type: 'blob-piece',
        transfer: f.whole('transfer'),
        fetch: f.flag('fetch'),
        number: f.whole('number'),
        bytes: f.bytes('bytes'),
      };
    case KIND['blob-end']:
      f.count(5);
      return {
        type: 'blob-end',
        transfer: f.whole('transfer'),
        fetch: f.flag('fetch'),
        size: f.whole('size'),
        digest: f.bytes('digest'),
      };
    case KIND['blob-taken']:
      f.count(5);
      return {
        type: 'blob-taken',
        transfer: f.whole('transfer'),
        fetch: f.flag('fetch'),
        count: f.whole('count'),
        sealed: f.flag('sealed'),
      };
    case KIND['blob-stop']:
      f.count(4);
      return {
        type: 'blob-stop',
        transfer: f.whole('transfer'),
        fetch: f.flag('fetch'),
        reason: f.text('reason'),
      };
    case KIND['blob-drop']:
      f.count(2);
      return { type: 'blob-drop', id: f.blobId() };
    default:
      throw new MalformedFrameError(`frame of the unknown kind ${kind}`);
  }
}

function helloFrom(f: Fields, protocol: number): Hello {
  return {
    protocol,
    featureLevel: f.whole('featureLevel'),
    name: f.text('name'),
    diskId: f.text('diskId'),
    clusterId: f.textOrNull('clusterId'),
    clusterName: f.text('clusterName'),
    configuration: f.whole('configuration'),
    grpc: f.text('grpc'),
    http: f.text('http'),
    peer: f.text('peer'),
    version: f.text('version'),
  };
}

/** The elements of a frame in their order, each checked as it is taken. */
class Fields {
  readonly #list: readonly unknown[];
  #at = 0;

  constructor(list: readonly unknown[]) {
    this.#list = list;
  }

  count(expected: number): void {
    if (this.#list.length === expected) return;
    throw new MalformedFrameError(`frame with ${this.#list.length} fields, expected ${expected}`);
  }

  any(): unknown {
    return this.#list[this.#at++];
  }

  /** A whole number from 0 to 2^53 - 1. */
  whole(field: string): number {
    const value = this.any();
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
    throw new MalformedFrameError(`${field} is not a whole number`);
  }

  text(field: string): string {
    const value = this.any();
    if (typeof value === 'string' && value.length <= TEXT_MAX) return value;
    throw new MalformedFrameError(`${field} is not a text of at most ${TEXT_MAX} characters`);
  }

  textOrNull(field: string): string | null {
    if (this.#list[this.#at] !== null) return this.text(field);
    this.#at++;
    return null;
  }

  flag(field: string): boolean {
    const value = this.any();
    if (typeof value === 'boolean') return value;
    throw new MalformedFrameError(`${field} is neither true nor false`);
  }

  bytes(field: string): Uint8Array {
    const value = this.any();
    if (value instanceof Uint8Array) return value;
    throw new MalformedFrameError(`${field} is not bytes`);
  }

  /** 32 lower-case hex digits: it becomes a file's name. */
  blobId(): string {
    const value = this.any();
    if (typeof value === 'string' && /^[0-9a-f]{32}$/.test(value)) return value;
    throw new MalformedFrameError("id is not a blob's");
  }

  channel(): Channel {
    const channel = CHANNELS[this.whole('channel')];
    if (channel !== undefined) return channel;
    throw new MalformedFrameError('unknown channel');
  }

  messages(): RaftMessage[] {
    const value = this.any();
    if (!Array.isArray(value)) throw new MalformedFrameError('messages are not a list');
    try {
      return value.map((wire: unknown) => messageFromWire(wire));
    } catch (cause) {
      throw new MalformedFrameError(`consensus message: ${messageOf(cause)}`);
    }
  }
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
