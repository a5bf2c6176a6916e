import { endedBy, mayBeGone } from '../ending.js';
import type { Violation } from '../history.js';
import { endOf, isEnd, type Stories, type Story } from '../story.js';
import { ms, span, told, violation } from '../text.js';

/** What is known to have been accepted is known to every node at the end, unless it was deleted or its time is over. */
export function lost(story: Story, { promises }: Stories): Violation[] {
  const { job, lasts, knownAt } = story;
  return lasts
    .filter((last) => last.seen === 'absent' && knownAt <= last.at && !mayBeGone(story, promises, last.at))
    .map((last) =>
      violation(
        'lost',
        `${job} was accepted by ${ms(knownAt)}, was not deleted and its retention cannot be over, yet ${last.node} does not have it at the end, ${ms(last.at)}`,
        ...accepted(story),
        last,
      ),
    );
}

/** The event that shows that the job was accepted. */
function accepted(story: Story) {
  const answered = [...story.makers, ...story.joined].find(
    (one) => one.fate === 'done' && endOf(one) === story.knownAt,
  );
  const event = answered ?? story.sightings[0]?.event;
  return event === undefined ? [] : [event];
}

/** A job that is seen was submitted before by somebody, or by a schedule. */
export function invented(story: Story): Violation[] {
  const { job, submits, makers, joined, sightings, from } = story;
  if (story.madeBy !== '') return [];
  const seen = sightings.find((one) => one.at < from);
  const answered = joined.find((one) => endOf(one) < from);
  const event = seen?.event ?? answered;
  if (event === undefined) return [];
  // Refused, or joined to another job: other rules say so.
  if (makers.length === 0 && submits.length > 0) return [];
  const why =
    makers.length === 0
      ? 'nobody submitted it and no schedule is known to have made it'
      : `nobody had begun to submit it before ${ms(from)}`;
  return [violation('invented', `${job} was seen although ${why}: ${told(event)}`, event)];
}

/** What was refused for good never happens: all submissions of the job were refused, and yet it is there. */
export function refusedSubmission(story: Story): Violation[] {
  const { job, submits, makers, joined, sightings } = story;
  if (story.madeBy !== '' || makers.length > 0 || submits.length === 0) return [];
  if (submits.some((one) => one.fate !== 'not-applied')) return [];
  const event = sightings[0]?.event ?? joined[0];
  if (event === undefined) return [];
  const text = `${job} was refused each time that it was submitted, so nothing may have been changed, yet it is there: ${told(event)}`;
  return [violation('not-applied', text, submits[0]!, event)];
}

/** An ended job stays for its retention, for every reader. */
export function retention(story: Story, { promises }: Stories): Violation[] {
  const { job } = story;
  const ended = endedBy(story);
  return story.reads
    .filter(
      (read) =>
        read.answer === 'absent' &&
        read.fate === 'done' &&
        read.consistency === 'linearizable' &&
        ended < read.begin &&
        !mayBeGone(story, promises, endOf(read)),
    )
    .map((read) =>
      violation(
        'retention',
        `${job} had ended by ${ms(ended)}, was not deleted and its retention cannot be over, yet ${read.by} was told ${span(read)} that there is none`,
        read,
      ),
    );
}

/** Whatever was accepted has ended once the faults are over and everything is at rest. */
export function unfinished(story: Story, { promises }: Stories): Violation[] {
  if (story.unknownSpec) return [];
  const due = Math.max(...story.makers.map((one) => one.due));
  for (const last of story.lasts) {
    if (last.seen === 'absent' || isEnd(last.seen.state)) continue;
    if (due + promises.skewMs >= last.at && due > 0) continue;
    const text = `${story.job} was accepted and is still ${last.seen.state} at ${last.node} at the end, ${ms(last.at)}`;
    return [violation('unfinished', text, last)];
  }
  return [];
}
