import type { Violation } from '../history.js';
import type { Stories, Story } from '../story.js';
import { ms, told, violation } from '../text.js';

/** A delayed job does not start before its time, as far as clocks may be wrong. */
export function early(story: Story, { promises, tokens }: Stories): Violation[] {
  if (story.unknownSpec) return [];
  const due = Math.min(...story.makers.map((one) => one.due));
  if (due === 0) return [];
  const soonest = due - promises.skewMs;
  const promised = `it is due at ${ms(due)} and clocks may be off by ${ms(promises.skewMs)}`;
  const before = tokens.largestBefore(soonest);
  for (const { event, at, seen } of story.sightings) {
    // A retry starts it at once.
    if (story.retriedBefore(at)) break;
    const started =
      event.type === 'lease' || (seen !== null && (seen.attempt > 0 || seen.state === 'running'));
    if (!started) continue;
    if (at < soonest) {
      return [
        violation(
          'early',
          `${story.job} was started early, ${promised}: ${told(event)}`,
          story.makers[0]!,
          event,
        ),
      ];
    }
    if (event.type === 'lease' && event.token > 0 && before !== null && event.token < before.token) {
      const text = `${story.job} was started early, ${promised}: ${told(event)} was granted before a larger token that was seen early enough, ${told(before)}`;
      return [violation('early', text, story.makers[0]!, before, event)];
    }
  }
  return [];
}

/** A job with a start deadline is not begun after it, as far as clocks may be wrong. */
export function lateStart(story: Story, { promises, tokens }: Stories): Violation[] {
  if (story.unknownSpec || story.makers.some((one) => one.startDeadline === 0)) return [];
  const deadline = Math.max(...story.makers.map((one) => one.startDeadline));
  const latest = deadline + promises.skewMs;
  for (const lease of story.leases) {
    if (lease.token === 0 || lease.attempt !== 1 || story.retriedBefore(lease.at)) continue;
    const after = tokens.grantedAfter(lease.token);
    if (after <= latest) continue;
    const text = `${story.job} was to be started by ${ms(deadline)} or not at all, clocks may be off by ${ms(promises.skewMs)}, and its first attempt was given out after ${ms(after)}, when a job with a smaller token was not even submitted: ${told(lease)}`;
    return [violation('late-start', text, story.makers[0]!, lease)];
  }
  return [];
}
