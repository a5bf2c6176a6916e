import { sorted } from './gauge.js';

/** When submissions left, and how long each waited for its acknowledgement. */
export interface Waited {
  readonly at: readonly number[];
  readonly waits: readonly number[];
}

/** The longest time without an acknowledgement between two moments, ends that reach beyond them included. Milliseconds. */
export function longestGap({ at, waits }: Waited, from: number, to: number): number {
  const times = sorted(at.map((sent, i) => sent + waits[i]!));
  let last = times.findLast((time) => time <= from) ?? from;
  let longest = 0;
  for (const time of times) {
    if (time <= last) continue;
    longest = Math.max(longest, time - last);
    last = time;
    if (time > to) break;
  }
  return Math.max(longest, to - last);
}
