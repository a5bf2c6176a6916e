import type { Promises, SeenState } from './history.js';
import { endOf, isEnd, mayBe, type Story } from './story.js';

/** Codes of attempts that nobody reported as failed: their lease was lost, or their time was over. */
const LOST_CODES: ReadonlySet<string> = new Set(['WORKER_LOST', 'TIMEOUT', 'LEASE_LOST']);

/** An attempt may end with this code without a word of its worker's. */
export function isLossCode(code: string): boolean {
  return LOST_CODES.has(code);
}

/** Attempts that the job may have; Infinity where nobody knows what it was submitted with. */
export function maxAttemptsOf(story: Story, promises: Promises): number {
  if (story.unknownSpec) return Number.POSITIVE_INFINITY;
  return Math.max(
    ...story.makers.map((one) => (one.maxAttempts > 0 ? one.maxAttempts : promises.maxAttempts)),
  );
}

/** It may be dropped because nobody waits for it any more. */
export function mayBeAbandoned(story: Story): boolean {
  return story.makers.some((one) => one.waits);
}

/** When it may have ended in a state at the earliest. */
interface Ending {
  readonly state: SeenState;
  readonly after: number;
}

function endingsOf(story: Story, { skewMs }: Promises): Ending[] {
  const accepted = story.settles.find((one) => one.outcome === 'complete' && one.fate === 'done');
  const endings: Ending[] = [];
  for (const one of story.settles) {
    if (!mayBe(one) || one.outcome === 'release') continue;
    if (one.outcome === 'complete') endings.push({ state: 'succeeded', after: one.begin });
    else endings.push({ state: 'failed', after: one.begin });
  }
  if (accepted !== undefined) return endings.filter((one) => one.state === 'succeeded');
  // All attempts may have been lost before anybody saw one.
  endings.push({ state: 'failed', after: story.from });
  for (const one of story.changes) {
    if (one.type === 'cancel' && mayBe(one)) endings.push({ state: 'cancelled', after: one.begin });
  }
  if (mayBeAbandoned(story)) endings.push({ state: 'cancelled', after: story.from });
  for (const { startDeadline } of story.makers) {
    if (startDeadline !== 0) {
      endings.push({ state: 'expired', after: Math.max(story.from, startDeadline - skewMs) });
    }
  }
  const shown = story.sightings.find((one) => one.seen !== null && isEnd(one.seen.state))?.seen?.state;
  const once = !story.retriedBefore(Number.POSITIVE_INFINITY);
  return shown !== undefined && once ? endings.filter((one) => one.state === shown) : endings;
}

function retentionOf(story: Story, state: SeenState, promises: Promises): number {
  const common = state === 'failed' ? promises.failedRetentionMs : promises.retentionMs;
  return Math.min(...story.makers.map((one) => (one.retentionMs >= 0 ? one.retentionMs : common)));
}

/** The job may be gone at `time`: deleted, or its retention may be over by the clocks of the cluster. */
export function mayBeGone(story: Story, promises: Promises, time: number): boolean {
  if (story.unknownSpec) return true;
  if (story.changes.some((one) => one.type === 'delete' && mayBe(one) && one.begin <= time)) return true;
  return endingsOf(story, promises).some(
    // The clock that noted the end may have been behind, and the one by which its time is over ahead.
    ({ state, after }) => after + retentionOf(story, state, promises) - 2 * promises.skewMs <= time,
  );
}

/** It had ended by then, at some time before at least; Infinity: nobody saw an end. */
export function endedBy(story: Story): number {
  let by = Number.POSITIVE_INFINITY;
  for (const one of story.settles) {
    if (one.outcome === 'complete' && one.fate === 'done') by = Math.min(by, endOf(one));
  }
  const seen = story.sightings.find((one) => one.seen !== null && isEnd(one.seen.state));
  return seen === undefined ? by : Math.min(by, seen.at);
}
