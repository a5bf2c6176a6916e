import type { Clock, Timer } from './clock.js';

/** The machine's own clocks. */
export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  setTimer(delayMs: number, fn: () => void): Timer {
    const handle = setTimeout(fn, delayMs);
    return { cancel: () => clearTimeout(handle) };
  },
  defer: (fn: () => void) => {
    setImmediate(fn);
  },
  conclude: (fn: () => void) => {
    // From a microtask, the queue of ticks comes when no microtask is left.
    queueMicrotask(() => process.nextTick(fn));
  },
};
