import type { Clock } from '../../base/clock.js';
import type { Random } from '../../base/random.js';
import type { Membership } from '../../consensus/types.js';
import type { Core } from '../../core/interface.js';
import type { Transport } from '../../peer/types.js';
import type { BlobStore } from '../../storage/index.js';
import type { Log } from '../options.js';

/** What blobs need of their node. */
export interface BlobsParts {
  readonly core: Pick<Core, 'blob' | 'blobs' | 'configuration' | 'counts' | 'settings' | 'wall'>;
  readonly store: BlobStore;
  readonly transport: Pick<Transport, 'isConnected' | 'send'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly raftId: number;
  /** As applied here. */
  readonly membership: () => Membership;
  readonly nameOf: (raftId: number) => string | null;
  /** All members but this one. */
  readonly peerNames: () => readonly string[];
  /** There is a leader, and all that is known as committed is applied here. */
  readonly upToDate: () => boolean;
  /** This node's disk is nearly full. */
  readonly diskLow: () => boolean;
  /** Bytes that this disk takes. */
  readonly freeBytes: () => Promise<number>;
  readonly diskReserveBytes: number;
  /** Uploads under way at this node. */
  readonly uploadsMax: number;
  /** The disk cannot be relied on any more. */
  readonly fatal: (error: Error) => void;
}

/** Wakes all that wait for something to change. */
export class Bell {
  #waiting: (() => void)[] = [];

  ring(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const one of waiting) one();
  }

  /** Resolves at the next ring. */
  heard(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }
}
