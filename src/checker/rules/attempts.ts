import { maxAttemptsOf } from '../ending.js';
import type { Lease, Violation } from '../history.js';
import type { Stories, Story } from '../story.js';
import { told, violation } from '../text.js';

/**
 * Attempts count up from lease to lease, by one for each grant at most, and never past those that the job may have. A
 * lease that was handed back, or never reached its worker, does not count, so the same number may come again.
 */
export function attempts(story: Story, { promises }: Stories): Violation[] {
  return [...tooMany(story, maxAttemptsOf(story, promises)), ...wrongSteps(story)];
}

function tooMany(story: Story, most: number): Violation[] {
  const found = story.sightings.find(({ event, seen }) => attemptOf(event, seen?.attempt) > most);
  if (found === undefined) return [];
  const text = `${story.job} may have ${most} attempts, yet ${told(found.event)} shows attempt ${attemptOf(found.event, found.seen?.attempt)}`;
  return [violation('attempts', text, found.event)];
}

function attemptOf(event: { readonly type: string }, seen: number | undefined): number {
  return event.type === 'lease' ? (event as Lease).attempt : (seen ?? 0);
}

function wrongSteps(story: Story): Violation[] {
  const known = story.leases.filter((one) => one.token > 0 && one.attempt > 0);
  const found: Violation[] = [];
  for (let i = 1; i < known.length; i++) {
    const [before, next] = [known[i - 1]!, known[i]!];
    if (before.token === next.token) {
      if (before.attempt !== next.attempt) {
        const text = `one lease of ${story.job} is of two attempts: ${told(before)}, and ${told(next)}`;
        found.push(violation('attempts', text, before, next));
      }
      continue;
    }
    if (story.retriedBefore(next.at)) continue;
    const step = next.attempt - before.attempt;
    const failed = story.settles.find(
      (one) => one.token === before.token && one.outcome === 'fail' && one.fate === 'done',
    );
    if (step > next.token - before.token) {
      const text = `${story.job} went on from attempt ${before.attempt} to ${next.attempt} with fewer leases in between than that: ${told(before)}, then ${told(next)}`;
      found.push(violation('attempts', text, before, next));
    } else if (step < 0) {
      const text = `attempts of ${story.job} went back without a retry: ${told(before)}, then ${told(next)}`;
      found.push(violation('attempts', text, before, next));
    } else if (step === 0 && failed !== undefined) {
      const text = `attempt ${before.attempt} of ${story.job} failed and counts, yet the lease after it is of the same attempt: ${told(failed)}, then ${told(next)}`;
      found.push(violation('attempts', text, before, failed, next));
    }
  }
  return found;
}
