import type { Channel } from './types.js';

/** Every bound of the transport. Nothing in this room grows past one of these. */
export interface PeerLimits {
  /** Bytes of one frame; a longer one is not sent, and closes the connection on which it arrives. */
  readonly frameBytesMax: Readonly<Record<Channel, number>>;
  /** Bytes queued towards one peer; `send` answers false above it. At least `frameBytesMax`. */
  readonly queueBytesMax: Readonly<Record<Channel, number>>;
  /** Values (numbers, texts, lists…) inside one frame, and how deep lists may lie in lists. */
  readonly frameValuesMax: number;
  readonly frameDepthMax: number;
  /** Connections that have not yet shown who they are; above it the oldest of them is closed. */
  readonly unauthenticatedMax: number;
  /** Bytes that a connection may send before its peer's three channels stand. */
  readonly helloBytesMax: number;
  /** From the TCP connection until all three channels stand. */
  readonly handshakeTimeoutMs: number;
  /** Peers connected at a time. */
  readonly linksMax: number;
  readonly pingIntervalMs: number;
  /** Silence on the control channel after which the peer counts as lost. */
  readonly silenceMaxMs: number;
  /** Pause before a new dial: doubles from the first to the second with each failure. */
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
}

const KIB = 1024;
const MIB = 1024 * KIB;

export const DEFAULT_PEER_LIMITS: PeerLimits = {
  frameBytesMax: { control: 4 * MIB, data: 32 * MIB, bulk: 8 * MIB },
  queueBytesMax: { control: 4 * MIB, data: 64 * MIB, bulk: 8 * MIB },
  frameValuesMax: 1_000_000,
  frameDepthMax: 32,
  unauthenticatedMax: 128,
  helloBytesMax: 64 * KIB,
  handshakeTimeoutMs: 5_000,
  linksMax: 64,
  pingIntervalMs: 1_000,
  silenceMaxMs: 3_000,
  backoffMinMs: 10,
  backoffMaxMs: 1_000,
};
