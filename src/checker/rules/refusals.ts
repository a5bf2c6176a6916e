import { mayBeAbandoned } from '../ending.js';
import type { HistoryEvent, Lease, Settle, Violation } from '../history.js';
import { endOf, mayBe, type Stories, type Story } from '../story.js';
import { ms, told, violation } from '../text.js';
import { firstSaid, isFinal, sameOutcome } from './leases.js';

/** A worker was told that its lease is over. */
function isRefusal(settle: Settle): boolean {
  return settle.token > 0 && settle.fate === 'not-applied' && settle.error === 'LEASE_LOST';
}

/**
 * The outcome that ended a job counts whenever and wherever it is said again, for as long as the job's id is known: who
 * has not heard the answer must not learn that his work was for nothing.
 */
export function repeatedOutcome(story: Story, { promises }: Stories): Violation[] {
  const found: Violation[] = [];
  for (const refused of story.settles) {
    if (!isRefusal(refused)) continue;
    // By the clock of the cluster, which may be ahead now and have been behind then.
    const known = firstSaid(story, refused) + promises.dedupeWindowMs - 2 * promises.skewMs;
    if (endOf(refused) >= known) continue;
    const proof = proofOf(story, refused);
    if (proof === undefined) continue;
    const text = `${told(refused)} was refused as if its lease had been lost, yet this very outcome ended ${story.job}: ${told(proof)}`;
    found.push(violation('repeated-outcome', text, refused, proof));
  }
  return found;
}

/** What shows that this outcome, said at another time, is the one that ended the job. */
function proofOf(story: Story, refused: Settle): HistoryEvent | undefined {
  const others = story.settles.filter((one) => one !== refused && sameOutcome(one, refused) && mayBe(one));
  const accepted = others.find((one) => isFinal(story, one));
  if (accepted !== undefined || others.length === 0 || refused.outcome !== 'complete') return accepted;
  // Nobody heard that it was accepted, but it can be seen that it was; if no other lease had this result.
  const { result, token } = refused;
  const alone = story.settles.every(
    (one) => one.outcome !== 'complete' || one.result !== result || one.token === token,
  );
  if (!alone) return undefined;
  return story.sightings.find(({ seen }) => seen?.state === 'succeeded' && seen.result === result)?.event;
}

/** A lease that was given for a time lasts that long, unless its worker or somebody else ends it. */
export function leaseShort(story: Story, { leasesLost }: Stories): Violation[] {
  if (mayBeAbandoned(story)) return [];
  const found: Violation[] = [];
  for (const lease of story.leases) {
    const { until, token, worker } = lease;
    if (until === undefined || token === 0) continue;
    const signs: { readonly at: number; readonly event: HistoryEvent }[] = [
      ...story.leases.filter((one) => one.token > token).map((event) => ({ at: event.at, event })),
      ...leasesLost
        .filter((one) => one.token === token && one.worker === worker)
        .map((event) => ({ at: event.at, event })),
    ];
    const sign = signs.find(({ at }) => at < until && !endedBefore(story, lease, at));
    if (sign === undefined) continue;
    const text = `${told(lease)} was to last until ${ms(until)} at least and nobody ended it, yet it was over before: ${told(sign.event)}`;
    found.push(violation('lease-short', text, lease, sign.event));
  }
  return found;
}

/**
 * Somebody may have ended the lease by then: who wanted the job cancelled, or its worker with an outcome, also with one
 * that was refused in the end. What its node had to say twice, since a leader died, is too late the second time, when the
 * job has gone on meanwhile.
 */
function endedBefore(story: Story, { token }: Lease, time: number): boolean {
  return (
    story.settles.some((one) => one.token === token && one.begin <= time) ||
    story.changes.some((one) => one.type === 'cancel' && mayBe(one) && one.begin <= time)
  );
}
