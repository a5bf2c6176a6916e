/** A timer that has been set; cancelling one that has fired does nothing. */
export interface Timer {
  cancel(): void;
}

/**
 * Time as the outer rooms see it. The real one reads the machine's clocks; the simulator's is virtual.
 * Nothing but an implementation of this interface may read a clock or set a timer in a server's process.
 */
export interface Clock {
  /** Milliseconds with a fraction since some fixed moment; never goes backward. */
  monotonicMs(): number;
  /** Whole milliseconds since 1970-01-01 UTC; may jump either way. */
  wallMs(): number;
  /** Calls `fn` once after `delayMs` milliseconds. */
  setTimer(delayMs: number, fn: () => void): Timer;
  /** Calls `fn` after the I/O events of this event-loop turn: where a turn's work is put together. */
  defer(fn: () => void): void;
  /**
   * Calls `fn` at the end of the event that is being handled, after all promises that it settled: where what one event
   * causes is put together without waiting for others.
   */
  conclude(fn: () => void): void;
}
