import { MalformedBytesError } from '../base/bytes.js';
import type { Clock, Timer } from '../base/clock.js';
import type { Consensus } from '../consensus/types.js';
import { checkBatch, encodeEntry } from '../core/index.js';
import type { Core, NextDue } from '../core/interface.js';
import type { Clocks } from './clocks.js';

/** Bytes of batches in one log entry. With a batch's own bound this keeps an entry below 1 MiB. */
const ENTRY_BYTES = 512 * 1024;
/**
 * While so many bytes are on their way to a majority, batches wait for them, until they are worth an entry of their own:
 * under load an entry costs the nodes as much as a hundred jobs, and a job that comes alone never waits.
 */
const BUSY_BYTES = 16 * 1024;
const WORTH_BYTES = 64 * 1024;
/** Batches held back while the log cannot take more. Their origins keep copies and send again. */
const HELD_MAX = 1_024;
/** For so long what is only to be dropped may wait for an entry that has another reason: its time is no promise to anyone. */
const TIDY_MS = 1_000;
/** A timer further away is looked at again then: the wall clock may jump, and machine timers end at 2^31 ms. */
const LONGEST_TIMER_MS = 60_000;

export interface LeaderDeskParts {
  readonly core: Core;
  readonly consensus: Consensus;
  readonly clock: Clock;
  /** Their wall time is the stamps'. */
  readonly clocks: Pick<Clocks, 'mayStamp' | 'wallMs'>;
  readonly askTurn: () => void;
}

/**
 * What the leader does besides replicating: takes batches from all nodes, once each and in order, stamps entries with
 * the two times, and proposes a Tick when a timer is due and nothing else moves time forward.
 */
export class LeaderDesk {
  readonly #parts: LeaderDeskParts;
  #open = false;
  #term = 0;
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  /** Last batch number proposed in this term, by incarnation. */
  readonly #proposed = new Map<number, number>();
  #baseElapsedUs = 0;
  #baseMs = 0;
  #tick: Timer | null = null;
  #tickAtMs = Number.POSITIVE_INFINITY;
  #tickWanted = false;

  constructor(parts: LeaderDeskParts) {
    this.#parts = parts;
  }

  /** Open once an entry of the leader's own term was applied: from then on its state knows every batch before. */
  get isOpen(): boolean {
    return this.#open;
  }

  open(term: number): void {
    this.#open = true;
    this.#term = term;
    this.#letGo();
    this.#proposed.clear();
    // Elapsed time goes on where the log stopped: the gap between two leaders counts as nothing.
    this.#baseElapsedUs = this.#parts.core.elapsedUs;
    this.#baseMs = this.#parts.clock.monotonicMs();
    this.#tickWanted = false;
    this.afterApply();
  }

  close(): void {
    this.#open = false;
    this.#letGo();
    this.#proposed.clear();
    this.#tick?.cancel();
    this.#tick = null;
    this.#tickAtMs = Number.POSITIVE_INFINITY;
  }

  get term(): number {
    return this.#term;
  }

  /** Elapsed time of a stamp made now, microseconds. */
  elapsedUs(): number {
    const passed = Math.floor((this.#parts.clock.monotonicMs() - this.#baseMs) * 1000);
    return Math.max(this.#parts.core.elapsedUs, this.#baseElapsedUs + Math.max(0, passed));
  }

  /**
   * Takes a batch of the node `from`. Returns the number to send again from, or null when the batch was taken or is
   * already in the log; 0: unknown incarnation. Throws MalformedBytesError for what no replica could apply.
   */
  accept(from: string, incarnation: number, seq: number, bytes: Uint8Array): number | null {
    const name = checkBatch(bytes, incarnation, seq);
    if (incarnation === 0) {
      if (name !== from) throw new MalformedBytesError(`a NodeUp of ${name}`);
      // Its node says it again until it was applied.
      if (this.#held.length < HELD_MAX) this.#hold(bytes);
      return null;
    }
    let last = this.#proposed.get(incarnation);
    if (last === undefined) {
      last = this.#parts.core.lastBatch(incarnation);
      if (last < 0) return 0;
    }
    if (seq <= last) return null;
    if (seq > last + 1 || this.#held.length >= HELD_MAX) return last + 1;
    this.#proposed.set(incarnation, seq);
    this.#hold(bytes);
    return null;
  }

  /** Proposes what was taken in this turn, several batches to an entry. */
  flush(): void {
    if (!this.#open) return;
    // Another turn comes with the next reading of a clock, and with each heartbeat.
    if (this.#hasWork && !this.#parts.clocks.mayStamp) return;
    if (this.#held.length === 0) {
      if (this.#tickWanted) this.#propose([encodeEntry(this.elapsedUs(), this.#wall(), [])]);
      return;
    }
    if (this.#heldBytes < WORTH_BYTES && this.#parts.consensus.uncommittedBytes >= BUSY_BYTES) return;
    const elapsedUs = this.elapsedUs();
    const wall = this.#wall();
    const entries: Uint8Array[] = [];
    let batches: Uint8Array[] = [];
    let bytes = 0;
    for (const batch of this.#held) {
      if (bytes > 0 && bytes + batch.length > ENTRY_BYTES) {
        entries.push(encodeEntry(elapsedUs, wall, batches));
        batches = [];
        bytes = 0;
      }
      batches.push(batch);
      bytes += batch.length;
    }
    entries.push(encodeEntry(elapsedUs, wall, batches));
    this.#propose(entries);
  }

  /**
   * Dropped: too much is uncommitted, or the leadership is being handed over, which may come to nothing. Batches and the
   * wish for a Tick stay, and go out in a later turn: there is one after each apply and with each heartbeat.
   */
  #propose(entries: readonly Uint8Array[]): void {
    const proposed = this.#parts.consensus.propose(entries);
    if (proposed === 'accepted') {
      this.#letGo();
      this.#tickWanted = false;
    } else if (proposed === 'not-leader') {
      this.close();
    }
  }

  /** Another's clock was read: what waits for the right time may go out. */
  clockRead(): void {
    if (this.#open && this.#hasWork) this.#parts.askTurn();
  }

  /** After applies: what was held back may fit now, and another timer may be the next one. */
  afterApply(): void {
    if (!this.#open) return;
    if (this.#held.length > 0) this.#parts.askTurn();
    const due = this.#parts.core.nextDue();
    if (due.sweeping) {
      this.#wantTick();
      return;
    }
    const dueMs = this.#inMs(due);
    if (dueMs === Number.POSITIVE_INFINITY) return;
    const inMs = Math.min(dueMs, LONGEST_TIMER_MS);
    const atMs = this.#parts.clock.monotonicMs() + Math.max(0, inMs);
    if (this.#tick !== null && this.#tickAtMs <= atMs) return;
    this.#tick?.cancel();
    this.#tickAtMs = atMs;
    this.#tick = this.#parts.clock.setTimer(Math.max(1, Math.ceil(inMs)), () => {
      this.#tick = null;
      this.#tickAtMs = Number.POSITIVE_INFINITY;
      const now = this.#parts.core.nextDue();
      if (now.sweeping || this.#inMs(now) <= 0) this.#wantTick();
      else this.afterApply();
    });
  }

  #inMs({ elapsedUs, wall, tidyWall }: NextDue): number {
    return Math.min((elapsedUs - this.elapsedUs()) / 1000, Math.min(wall, tidyWall + TIDY_MS) - this.#wall());
  }

  get #hasWork(): boolean {
    return this.#held.length > 0 || this.#tickWanted;
  }

  #wantTick(): void {
    this.#tickWanted = true;
    this.#parts.askTurn();
  }

  #wall(): number {
    return Math.max(this.#parts.core.wall, this.#parts.clocks.wallMs());
  }

  #hold(bytes: Uint8Array): void {
    this.#held.push(bytes);
    this.#heldBytes += bytes.length;
    this.#parts.askTurn();
  }

  #letGo(): void {
    this.#held = [];
    this.#heldBytes = 0;
  }
}
