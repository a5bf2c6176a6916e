import type { Clock } from '../base/clock.js';
import type { Random } from '../base/random.js';
import type { PeerLimits } from './limits.js';
import type { PeerLog } from './options.js';
import type { Hello, PeerHandler } from './types.js';

/** What the parts of one transport share. */
export interface PeerContext {
  readonly name: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: PeerLimits;
  readonly log: PeerLog;
  readonly handler: PeerHandler;
  /** What this node says of itself at the moment. */
  ownHello(): Hello;
  /** A connection was closed for what came, or did not come, on it. */
  dropped(remote: string, why: string): void;
}

/** Path of a channel's websocket at the listener. */
export const CHANNEL_PATH = '/gearmesh/peer/v1/';
/** Answers 200 to a plain GET as long as the process works: for `probe`. */
export const ALIVE_PATH = '/gearmesh/peer/v1/alive';
