import type { Lease, Settle, Violation } from '../history.js';
import { endOf, mayBe, type Stories, type Story } from '../story.js';
import { ms, told, violation } from '../text.js';

/** One and the same outcome of a lease, said twice. */
export function sameOutcome(a: Settle, b: Settle): boolean {
  return (
    a.token === b.token && a.outcome === b.outcome && a.result === b.result && a.retryable === b.retryable
  );
}

/** When this outcome was first said under its token: saying it again is answered as the first time. */
export function firstSaid(story: Story, settle: Settle): number {
  let first = settle.begin;
  for (const one of story.settles) {
    if (sameOutcome(one, settle) && mayBe(one)) first = Math.min(first, one.begin);
  }
  return first;
}

/** It ended the job for good: there is no lease after it, unless somebody decides to retry a failed job. */
export function isFinal(story: Story, settle: Settle): boolean {
  if (settle.fate !== 'done' || settle.token === 0) return false;
  if (settle.outcome === 'complete') return true;
  const ends = settle.outcome === 'fail' && !settle.retryable;
  return ends && !story.retriedBefore(Number.POSITIVE_INFINITY);
}

/** A lease with a larger token that was seen before the outcome was said for the first time. */
function seenNewer(story: Story, settle: Settle): Lease | undefined {
  const first = firstSaid(story, settle);
  return story.leases.find((one) => one.token > settle.token && one.at < first);
}

/**
 * What is said under an older token counts no more once a newer lease was granted, nor after the worker was told that
 * its own is over; and what was never given to anybody has no outcome.
 */
export function fence(story: Story): Violation[] {
  const found: Violation[] = [];
  for (const settle of story.settles) {
    if (settle.fate !== 'done' || settle.token === 0) continue;
    const own = story.leases.filter((one) => one.token === settle.token);
    if (!own.some((one) => one.at <= endOf(settle))) {
      found.push(
        violation(
          'fence',
          `${told(settle)} was accepted, but nobody was given a lease of ${story.job} with that token before`,
          settle,
        ),
      );
      continue;
    }
    const newer = seenNewer(story, settle);
    if (newer !== undefined) {
      found.push(
        violation(
          'fence',
          `${told(settle)} was accepted although a newer lease had been seen before it was said: ${told(newer)}`,
          newer,
          settle,
        ),
      );
    }
  }
  return found;
}

/** A worker that was told that its lease is over has no say any more. */
export function fenceOfLost({ jobs, leasesLost }: Stories): Violation[] {
  if (leasesLost.length === 0) return [];
  const settles = new Map<string, { story: Story; settle: Settle }[]>();
  for (const story of jobs.values()) {
    for (const settle of story.settles) {
      if (settle.token === 0 || settle.fate !== 'done') continue;
      const key = `${settle.by}\n${settle.token}`;
      const list = settles.get(key) ?? [];
      list.push({ story, settle });
      settles.set(key, list);
    }
  }
  const found: Violation[] = [];
  for (const lost of leasesLost) {
    for (const { story, settle } of settles.get(`${lost.worker}\n${lost.token}`) ?? []) {
      if (firstSaid(story, settle) <= lost.at) continue;
      found.push(violation('fence', `${told(settle)} was accepted after ${told(lost)}`, lost, settle));
    }
  }
  return found;
}

/** At most one lease of a job is live at a time, as far as the history proves the contrary. */
export function leaseOverlap(story: Story, { tokens }: Stories): Violation[] {
  const found: Violation[] = [];
  for (const settle of story.settles) {
    if (settle.fate !== 'done' || settle.token === 0) continue;
    const newer = story.leases.find((one) => one.token > settle.token);
    // Where the newer lease was seen before, the fence has failed, which is said elsewhere.
    if (newer === undefined || seenNewer(story, settle) !== undefined) continue;
    if (tokens.grantedBefore(newer.token) < firstSaid(story, settle)) {
      const text = `two leases of ${story.job} were live at one time: ${told(settle)} counted, and ${told(newer)} had been granted by then, since a larger token was seen before`;
      found.push(violation('lease-overlap', text, settle, newer));
    } else if (isFinal(story, settle)) {
      const text = `${told(settle)} ended ${story.job} for good, yet it was given out under a larger token too: either both leases were live at one time or it was given out again after its end: ${told(newer)}`;
      found.push(violation('lease-overlap', text, settle, newer));
    }
  }
  return found;
}

/** One token is for one lease of one job, and tokens never go down in the order in which leases were granted. */
export function leaseOrder(stories: Stories): Violation[] {
  const found: Violation[] = [];
  const byToken = new Map<number, Lease>();
  for (const story of stories.jobs.values()) {
    for (const lease of story.leases) {
      if (lease.token === 0) continue;
      const before = byToken.get(lease.token);
      if (before === undefined) byToken.set(lease.token, lease);
      else if (before.job !== lease.job) {
        const text = `one token stands for leases of two jobs: ${told(before)}, and ${told(lease)}`;
        found.push(violation('lease-order', text, before, lease));
      } else if (before.worker !== lease.worker) {
        const text = `one lease of ${lease.job} was given to two workers: ${told(before)}, and ${told(lease)}`;
        found.push(violation('lease-order', text, before, lease));
      }
    }
    const first = story.leases.find((one) => one.token > 0);
    const earlier =
      first === undefined || story.unknownSpec ? null : stories.tokens.largestBefore(story.from);
    if (first !== undefined && earlier !== null && first.token < earlier.token) {
      const text = `${told(first)} has a token smaller than one that was seen before anybody had begun to submit ${story.job} at ${ms(story.from)}: ${told(earlier)}`;
      found.push(violation('lease-order', text, earlier, first));
    }
  }
  return found;
}
