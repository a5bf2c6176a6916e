import type { Seen, SeenState, Violation, Watched } from '../history.js';
import { isEnd, type Stories, type Story } from '../story.js';
import { described, told, violation } from '../text.js';

const STATES: Readonly<Record<Exclude<Watched['event'], 'accepted' | 'broken'>, readonly SeenState[]>> = {
  queued: ['queued', 'scheduled'],
  started: ['running'],
  'attempt-failed': ['queued', 'scheduled'],
  cancelling: ['running'],
  ended: ['succeeded', 'failed', 'cancelled', 'expired'],
};

/** A watch begins with the job as it stands, tells what can follow, ends once and then says no more. */
export function watch({ jobs }: Stories): Violation[] {
  const found: Violation[] = [];
  for (const story of jobs.values()) {
    const watches = new Map<string, Watched[]>();
    for (const event of story.watched) {
      const list = watches.get(event.watch) ?? [];
      list.push(event);
      watches.set(event.watch, list);
    }
    for (const events of watches.values()) {
      const wrong = judge(story, events);
      if (wrong !== null) found.push(wrong);
    }
  }
  return found;
}

function judge(story: Story, events: readonly Watched[]): Violation | null {
  const [first] = events;
  if (first!.event !== 'accepted' && first!.event !== 'broken') {
    return violation(
      'watch',
      `a watch is to begin with the job as it stands, yet the first it told was ${told(first!)}`,
      first!,
    );
  }
  let started: Watched | null = null;
  for (let i = 0; i < events.length; i++) {
    const event = events[i]!;
    const before = events[i - 1];
    if (before !== undefined && (before.event === 'ended' || before.event === 'broken')) {
      return violation(
        'watch',
        `a watch said something after its end: ${told(event)} came after ${told(before)}`,
        before,
        event,
      );
    }
    if (event.event === 'accepted' && before !== undefined) {
      return violation(
        'watch',
        `a watch told twice that the job was accepted: ${told(event)}`,
        first!,
        event,
      );
    }
    if (event.event !== 'accepted' && event.event !== 'broken' && !fits(event.event, event.seen)) {
      return violation('watch', `a watch told what cannot be: ${told(event)}`, event);
    }
    if (event.event !== 'started') continue;
    if (started !== null && !story.retriedBefore(event.at) && event.seen!.attempt < started.seen!.attempt) {
      return violation(
        'watch',
        `a watch told of attempts out of order: ${told(started)}, then ${told(event)}`,
        started,
        event,
      );
    }
    started = event;
  }
  return unended(story, events.at(-1)!);
}

function fits(event: keyof typeof STATES, seen: Seen | null): boolean {
  return seen !== null && STATES[event].includes(seen.state);
}

/** Once everything is at rest a watch whose node lived has ended, as its job has. */
function unended(story: Story, last: Watched): Violation | null {
  if (last.event === 'ended' || last.event === 'broken') return null;
  const [end] = story.lasts;
  if (end === undefined || story.lasts.some((one) => one.seen !== 'absent' && !isEnd(one.seen.state)))
    return null;
  const text = `the watch ${last.watch} of ${story.job} at ${last.node} neither ended nor broke, although the job is over (${described(end.seen)}); its last word was ${told(last)}`;
  return violation('watch', text, last, end);
}
