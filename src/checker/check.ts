import type { History, Violation } from './history.js';
import { notLinearizable } from './linear/jobs.js';
import { attempts } from './rules/attempts.js';
import { altered, replicasDiffer } from './rules/content.js';
import { invented, lost, refusedSubmission, retention, unfinished } from './rules/existence.js';
import { fence, fenceOfLost, leaseOrder, leaseOverlap } from './rules/leases.js';
import { order } from './rules/order.js';
import { outcomeChanged, outcomeInvented } from './rules/outcomes.js';
import { leaseShort, repeatedOutcome } from './rules/refusals.js';
import { schedule } from './rules/schedules.js';
import { allOrNothing, sameId } from './rules/submissions.js';
import { early, lateStart } from './rules/times.js';
import { uniqueKey } from './rules/unique.js';
import { watch } from './rules/watches.js';
import { gather, type Stories, type Story } from './story.js';

/** Steps of the search for an order of what happened to one job. A job with a dozen calls under way takes a few thousand. */
const MAX_STEPS = 50_000;

/** Rules that look at one job at a time. */
const OF_ONE_JOB: readonly ((story: Story, stories: Stories) => Violation[])[] = [
  lost,
  invented,
  refusedSubmission,
  altered,
  fence,
  leaseOverlap,
  leaseShort,
  repeatedOutcome,
  outcomeChanged,
  outcomeInvented,
  replicasDiffer,
  early,
  lateStart,
  attempts,
  retention,
  sameId,
  unfinished,
];

/** Rules that compare jobs, or look at what is not about a job. */
const OF_ALL: readonly ((stories: Stories) => Violation[])[] = [
  leaseOrder,
  fenceOfLost,
  order,
  uniqueKey,
  allOrNothing,
  watch,
  schedule,
];

export interface Examination {
  /** Empty: every promise that the history can show was kept. */
  readonly violations: Violation[];
  /** Jobs of which the search for an order of events was given up: of those the other rules alone have judged. */
  readonly undecided: readonly string[];
}

/** Judges a history. Empty: every promise that it can show was kept. */
export function check(history: History): Violation[] {
  return examine(history).violations;
}

/** Judges a history, and says what could not be judged. `maxSteps`: for each job. */
export function examine(history: History, maxSteps: number = MAX_STEPS): Examination {
  const stories = gather(history);
  const violations = OF_ALL.flatMap((rule) => rule(stories));
  const undecided: string[] = [];
  const blamed = new Set<string>();
  for (const { events } of violations) {
    for (const event of events) if ('job' in event) blamed.add(event.job);
  }
  for (const story of stories.jobs.values()) {
    const found = OF_ONE_JOB.flatMap((rule) => rule(story, stories));
    // Where a rule can say what is wrong, there is no need to say that no order of events explains it.
    if (found.length === 0 && !blamed.has(story.job)) {
      const verdict = notLinearizable(story, stories, maxSteps);
      if (verdict === null) undecided.push(story.job);
      else found.push(...verdict);
    }
    violations.push(...found);
  }
  return { violations, undecided };
}
