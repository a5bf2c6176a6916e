import { isLossCode, maxAttemptsOf, mayBeAbandoned } from '../ending.js';
import type { Promises, Rule, Seen, Violation } from '../history.js';
import { isEnd, mayBe, type Sighting, type Stories, type Story, sameEnd } from '../story.js';
import { described, told, violation } from '../text.js';

interface SeenEnd extends Sighting {
  readonly seen: Seen;
}

function endsSeen(story: Story): SeenEnd[] {
  return story.sightings.filter((one): one is SeenEnd => one.seen !== null && isEnd(one.seen.state));
}

function distinct(ends: readonly SeenEnd[]): SeenEnd[] {
  const kept: SeenEnd[] = [];
  for (const one of ends) if (!kept.some((other) => sameEnd(one.seen, other.seen))) kept.push(one);
  return kept;
}

/** A job ends once: whoever looks, at whichever node, sees the same end, unless somebody decided to retry it. */
export function outcomeChanged(story: Story): Violation[] {
  const ends = endsSeen(story);
  if (ends.length === 0) return [];
  const kept = distinct(ends);
  const retries = story.changes.filter((one) => one.type === 'retry' && mayBe(one)).length;
  const accepted = story.settles.find((one) => one.outcome === 'complete' && one.fate === 'done');
  // What nobody reported is told as invented.
  const reported = (one: SeenEnd): boolean =>
    one.seen.state !== 'succeeded' ||
    story.settles.some((settle) => settle.outcome === 'complete' && settle.result === one.seen.result);
  if (accepted !== undefined) {
    const other = kept.find(
      (one) =>
        (one.seen.state === 'succeeded'
          ? one.seen.result !== accepted.result
          : retries === 0 || one.event.type === 'last') && reported(one),
    );
    if (other !== undefined) {
      const text = `${told(accepted)} was accepted and is the outcome of ${story.job} for good, yet it was seen as ${described(other.seen)}: ${told(other.event)}`;
      return [violation('outcome-changed', text, accepted, other.event)];
    }
  }
  const successes = kept.filter((one) => one.seen.state === 'succeeded');
  const clash = successes.length > 1 ? successes : kept.length > retries + 1 ? kept : [];
  const [first, second] = [clash[0], clash[1]];
  if (first === undefined || second === undefined) return [];
  // Nodes that differ at the end, and nothing else: another rule says so.
  if (ends.every((one) => one.event.type === 'last')) return [];
  const allowed = retries === 0 ? 'nobody retried it' : `only ${retries} retries may have been carried out`;
  const text = `${story.job} was seen to end in ${clash.length} ways, and ${allowed}: ${clash.map((one) => told(one.event)).join(', and ')}`;
  return [violation('outcome-changed', text, ...clash.map((one) => one.event))];
}

/** An end has a reason that somebody gave. */
export function outcomeInvented(story: Story, { promises }: Stories): Violation[] {
  return distinct(endsSeen(story)).flatMap((one) => {
    const lack = lackOf(story, one, promises);
    if (lack === null) return [];
    return [
      violation(
        lack.rule,
        `${story.job} was seen as ${described(one.seen)}, but ${lack.text}: ${told(one.event)}`,
        one.event,
      ),
    ];
  });
}

interface Lack {
  readonly rule: Rule;
  readonly text: string;
}

/** What is missing for the end to be explained; null: nothing. */
function lackOf(story: Story, { seen, at }: SeenEnd, promises: Promises): Lack | null {
  switch (seen.state) {
    case 'succeeded': {
      const said = story.settles.filter(
        (one) => one.outcome === 'complete' && one.result === seen.result && one.begin <= at,
      );
      if (said.some(mayBe)) return null;
      if (said.length > 0) return { rule: 'not-applied', text: 'whoever reported that result was refused' };
      return { rule: 'outcome-invented', text: 'no worker had reported that result by then' };
    }
    case 'failed':
      return lackOfFailure(story, seen, at, promises);
    case 'cancelled': {
      if (mayBeAbandoned(story)) return null;
      const cancels = story.changes.filter((one) => one.type === 'cancel' && one.begin <= at);
      if (cancels.some(mayBe)) return null;
      if (cancels.length > 0) return { rule: 'not-applied', text: 'whoever asked to cancel it was refused' };
      return { rule: 'outcome-invented', text: 'nobody had asked to cancel it by then' };
    }
    default: {
      if (story.unknownSpec && story.madeBy === '') return null;
      const deadlines = story.makers.map((one) => one.startDeadline).filter((one) => one > 0);
      if (deadlines.some((one) => one - promises.skewMs <= at)) return null;
      const text =
        deadlines.length === 0
          ? 'it had no start deadline'
          : `its start deadline is ${Math.min(...deadlines)} ms`;
      return { rule: 'outcome-invented', text };
    }
  }
}

function lackOfFailure(story: Story, seen: Seen, at: number, promises: Promises): Lack | null {
  const usedUp =
    story.unknownSpec || mayBeAbandoned(story) || seen.attempt >= fewestAttempts(story, promises);
  if (isLossCode(seen.errorCode) && usedUp) return null;
  const fails = story.settles.filter((one) => one.outcome === 'fail' && one.begin <= at);
  if (fails.some((one) => mayBe(one) && (usedUp || !one.retryable))) return null;
  if (fails.some(mayBe)) {
    return {
      rule: 'outcome-invented',
      text: `all reported failures allow another attempt, and it may have ${maxAttemptsOf(story, promises)}`,
    };
  }
  if (fails.length > 0) return { rule: 'not-applied', text: 'whoever reported a failure was refused' };
  return { rule: 'outcome-invented', text: 'no worker had reported a failure by then' };
}

/** The smallest number of attempts after which it may count as failed, among what it may have been submitted with. */
function fewestAttempts(story: Story, promises: Promises): number {
  return Math.min(
    ...story.makers.map((one) => (one.maxAttempts > 0 ? one.maxAttempts : promises.maxAttempts)),
  );
}
