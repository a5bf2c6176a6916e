import type { Clock } from '../base/clock.js';
import type { Random } from '../base/random.js';
import type { PeerLimits } from './limits.js';
import type { Channel, Transport } from './types.js';

/** One line per event that an operator cares about; a pino logger fits. */
export interface PeerLog {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface TransportOptions {
  readonly clock: Clock;
  /** For the jitter of the backoff and the tokens that tie a peer's connections together; the system's by default. */
  readonly random?: Random;
  /** Port 0 takes a free one: see `NetworkTransport.port`. */
  readonly listen: { readonly host: string; readonly port: number };
  /** Own name: peers with a larger one are dialled, those with a smaller one dial. */
  readonly name: string;
  readonly log: PeerLog;
  readonly limits?: Partial<PeerLimits>;
}

/** Totals since the start, for metrics. */
export interface PeerTraffic {
  readonly peer: string;
  readonly channel: Channel;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly sentFrames: number;
  readonly receivedFrames: number;
}

/** The transport over real sockets, with what an operator wants to see of it. */
export interface NetworkTransport extends Transport {
  /** The port it listens on, 0 before `listen` resolved. */
  readonly port: number;
  traffic(): readonly PeerTraffic[];
  /** Connections closed because what arrived on them was malformed, too long, too late or too much. */
  readonly droppedConnections: number;
  /** Frames that `send` did not take because the queue was full or the frame too long. */
  readonly refusedFrames: number;
}
