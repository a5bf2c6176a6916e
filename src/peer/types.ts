import type { RaftMessage } from '../consensus/types.js';

export interface PeerAddress {
  /** Node name, e.g. `n1`. */
  readonly name: string;
  readonly host: string;
  readonly port: number;
}

/** Version of the frames and of the handshake. Two nodes talk in the same one or not at all. */
export const PROTOCOL = 1;

/**
 * First frame of each side. A node of another cluster, or one whose disk is not the expected one, is refused. The
 * incarnation is not in it: the log gives it, which takes connections, and each batch names it.
 */
export interface Hello {
  readonly protocol: number;
  /** Of the commands and snapshots that the node writes: one that knows less cannot apply them, and refuses. */
  readonly featureLevel: number;
  readonly name: string;
  readonly diskId: string;
  /** Null while the node belongs to no cluster. */
  readonly clusterId: string | null;
  readonly clusterName: string;
  /**
   * Index of the log entry that decided the list of members by which this disk belongs to the cluster, as far as it
   * knows; 0 before it has read one.
   */
  readonly configuration: number;
  /** Addresses at which others reach this node, as `host:port`. */
  readonly grpc: string;
  readonly http: string;
  readonly peer: string;
  readonly version: string;
}

/** Channels of one peer. Control frames never wait behind bulk: each has a connection of its own. */
export const CHANNELS = ['control', 'data', 'bulk'] as const;
export type Channel = (typeof CHANNELS)[number];

/**
 * What travels between nodes. Entries and batches are opaque bytes, encoded once by their origin.
 * `raft` carries consensus messages; `ask`/`answer`/`refuse` are one request and its reply by number, `told` what is
 * said of it meanwhile, and `unask` that the asker waits no longer.
 */
export type PeerFrame =
  | { readonly type: 'raft'; readonly messages: readonly RaftMessage[] }
  | { readonly type: 'batch'; readonly incarnation: number; readonly seq: number; readonly bytes: Uint8Array }
  | {
      readonly type: 'batch-refused';
      readonly incarnation: number;
      readonly resendFrom: number;
      readonly reason: string;
    }
  | { readonly type: 'events'; readonly bytes: Uint8Array }
  | { readonly type: 'ask'; readonly id: number; readonly topic: string; readonly body: unknown }
  | { readonly type: 'answer'; readonly id: number; readonly body: unknown }
  | { readonly type: 'refuse'; readonly id: number; readonly reason: string; readonly body: unknown }
  | { readonly type: 'told'; readonly id: number; readonly body: unknown }
  | { readonly type: 'unask'; readonly id: number }
  /** All pieces up to `seq` are written; or, with a `refusal`, the transfer was given up. */
  | {
      readonly type: 'piece-taken';
      readonly transfer: number;
      readonly seq: number;
      readonly refusal: string;
    }
  /**
   * Blobs. Who begins a stream numbers it: by `blob-put` it sends the blob, by `blob-get` it asks for it (`fetch` in
   * the frames that follow), from chunk `from` on. A chunk and the end go on bulk, behind the put.
   */
  | {
      readonly type: 'blob-put';
      readonly transfer: number;
      readonly id: string;
      /** Bytes and SHA-256 as far as they are known already, else 0 and no bytes. */
      readonly size: number;
      readonly digest: Uint8Array;
    }
  | {
      readonly type: 'blob-get';
      readonly transfer: number;
      readonly id: string;
      readonly size: number;
      readonly digest: Uint8Array;
      readonly from: number;
    }
  | {
      readonly type: 'blob-piece';
      readonly transfer: number;
      readonly fetch: boolean;
      readonly number: number;
      readonly bytes: Uint8Array;
    }
  | {
      readonly type: 'blob-end';
      readonly transfer: number;
      readonly fetch: boolean;
      readonly size: number;
      readonly digest: Uint8Array;
    }
  /** `count` chunks are written there (of a fetch: taken over); `sealed`: all of it is durable. */
  | {
      readonly type: 'blob-taken';
      readonly transfer: number;
      readonly fetch: boolean;
      readonly count: number;
      readonly sealed: boolean;
    }
  /** Either side gave the stream up. */
  | {
      readonly type: 'blob-stop';
      readonly transfer: number;
      readonly fetch: boolean;
      readonly reason: string;
    }
  /** No job names it and none will: it can go. */
  | { readonly type: 'blob-drop'; readonly id: string }
  /** A piece of a snapshot, on the bulk channel. */
  | {
      readonly type: 'piece';
      readonly transfer: number;
      readonly seq: number;
      readonly last: boolean;
      readonly body: unknown;
    };

export type LostReason = 'closed' | 'refused' | 'timeout' | 'rejected';

export interface PeerHandler {
  /** May refuse the other side (text for the log of both); null accepts. */
  hello(theirs: Hello): string | null;
  /** All channels to this peer are open. */
  connected(name: string, hello: Hello): void;
  /** The control connection is gone, or an attempt to make it failed (`refused`: nobody listens there). */
  lost(name: string, reason: LostReason): void;
  /** Throws MalformedBytesError where what the frame carries cannot be read; that ends the connection. */
  frame(from: string, frame: PeerFrame): void;
}

/** Node-to-node transport. Frames on one channel arrive in order or not at all (a lost connection loses those under way). */
export interface Transport {
  listen(handler: PeerHandler): Promise<void>;
  /** Replaces the set of peers that this node dials and accepts. Its own name is left out. */
  setPeers(peers: readonly PeerAddress[]): void;
  /** What is said in the next hello. Another disk id than before ends the connections: peers knew this node by it. */
  setHello(hello: Hello): void;
  /** False when the frame was not taken: not connected, or the peer's queue for this channel is full. */
  send(to: string, channel: Channel, frame: PeerFrame): boolean;
  /** What was sent in this turn leaves now and not at its end: somebody waits for it, and there is more to do here. */
  flush(): void;
  /** Bytes queued towards this peer on this channel. */
  queued(to: string, channel: Channel): number;
  isConnected(name: string): boolean;
  hello(name: string): Hello | null;
  /** Dials anew at once instead of after the backoff; resolves with whether the control connection stands. */
  probe(name: string, timeoutMs: number): Promise<boolean>;
  close(): Promise<void>;
}
