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
  /** A piece of a snapshot or blob, on the bulk channel. */
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
  /** Bytes queued towards this peer on this channel. */
  queued(to: string, channel: Channel): number;
  isConnected(name: string): boolean;
  hello(name: string): Hello | null;
  /** Dials anew at once instead of after the backoff; resolves with whether the control connection stands. */
  probe(name: string, timeoutMs: number): Promise<boolean>;
  close(): Promise<void>;
}
