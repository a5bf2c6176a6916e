import { maxAttemptsOf, mayBeAbandoned, mayBeGone } from '../ending.js';
import type { HistoryEvent, Promises, Seen, Violation } from '../history.js';
import { endOf, isEnd, mayBe, type Stories, type Story, sameEnd } from '../story.js';
import { told, violation } from '../text.js';
import type { TokenOrder } from '../tokens.js';
import { type JobCall, JobModel, type JobState } from './job-model.js';
import { linearize } from './linearize.js';

/** A call of the model and the event that stands behind it. */
interface Evidence extends JobCall {
  readonly event: HistoryEvent;
}

/** Judges one job. Null: the search was given up after `maxSteps`. */
export function notLinearizable(story: Story, stories: Stories, maxSteps: number): Violation[] | null {
  const { promises } = stories;
  const maxAttempts = maxAttemptsOf(story, promises);
  const model = new JobModel({
    maxAttempts,
    fewestAttempts: story.unknownSpec ? 0 : fewest(story, promises),
    mayExpire: story.makers.some((one) => one.startDeadline !== 0),
    mayBeAbandoned: mayBeAbandoned(story),
    scheduled: story.madeBy !== '',
  });
  const evidence = evidenceOf(story, stories);
  const verdict = linearize<JobState, Evidence>(model, evidence, maxSteps);
  if (verdict.kind === 'undecided') return null;
  if (verdict.kind === 'linearizable') return [];
  const { at } = verdict;
  const before = evidence
    .filter((one) => one !== at && one.begin <= at.end)
    .sort((a, b) => a.end - b.end)
    .map((one) => one.event);
  const states = verdict.states.slice(0, 3).join('; or ');
  const text = `no order of what happened to ${story.job} explains ${told(at.event)}: by all that was answered before, it was [${states}], or what can have come of that by itself`;
  return [violation('not-linearizable', text, ...new Set([...before, at.event]))];
}

function fewest(story: Story, promises: Promises): number {
  return Math.min(
    ...story.makers.map((one) => (one.maxAttempts > 0 ? one.maxAttempts : promises.maxAttempts)),
  );
}

function evidenceOf(story: Story, { jobs, promises, tokens }: Stories): Evidence[] {
  return [
    ...submissions(story, jobs),
    ...reads(story, promises),
    ...leases(story, tokens),
    ...settles(story),
    ...changes(story),
    ...ends(story),
  ];
}

function submissions(story: Story, jobs: Stories['jobs']): Evidence[] {
  const list: Evidence[] = [];
  for (const event of story.makers) {
    const answer = event.answer?.disposition;
    const delayed = event.due !== 0;
    list.push({
      begin: event.begin,
      end: event.fate === 'done' ? endOf(event) : Number.POSITIVE_INFINITY,
      twin: `submit ${delayed}`,
      call: {
        kind: 'submit',
        delayed,
        answer: answer === 'created' || answer === 'same-id' ? answer : 'none',
      },
      event,
    });
  }
  for (const event of story.joined) {
    // Said again, an id gets the answer of its first time, also when the job that it joined is over.
    const once = jobs.get(event.job)!.submits.filter(mayBe).length === 1;
    if (!once || event.fate !== 'done' || event.answer!.disposition !== 'coalesced') continue;
    list.push({ begin: event.begin, end: endOf(event), call: { kind: 'joined' }, event });
  }
  return list;
}

function reads(story: Story, promises: Promises): Evidence[] {
  const list: Evidence[] = [];
  for (const event of story.reads) {
    const { answer } = event;
    if (event.fate !== 'done' || answer === null || event.consistency !== 'linearizable') continue;
    const gone = answer === 'absent' && mayBeGone(story, promises, endOf(event));
    list.push({
      begin: event.begin,
      end: endOf(event),
      call: { kind: 'seen', seen: answer, mayBeGone: gone },
      event,
    });
  }
  return list;
}

/** A lease was granted at some time before it was seen. */
function leases(story: Story, tokens: TokenOrder): Evidence[] {
  const list: Evidence[] = [];
  let before = 0;
  for (const event of story.leases) {
    const { token, attempt } = event;
    if (token === 0 || attempt === 0 || token === before) continue;
    before = token;
    const begin = Math.max(story.from, tokens.grantedAfter(token));
    const end = Math.max(begin, tokens.grantedBefore(token));
    list.push({ begin, end, call: { kind: 'granted', token, attempt }, event });
  }
  return list;
}

function settles(story: Story): Evidence[] {
  return story.settles.filter(mayBe).map((event) => {
    const { token, outcome, result, retryable } = event;
    return {
      begin: event.begin,
      end: event.fate === 'done' ? endOf(event) : Number.POSITIVE_INFINITY,
      twin: `${token} ${outcome} ${result} ${retryable}`,
      call: { kind: 'settle', token, outcome, result, retryable },
      event,
    };
  });
}

function changes(story: Story): Evidence[] {
  return story.changes.filter(mayBe).map((event) => ({
    begin: event.begin,
    end: event.fate === 'done' ? endOf(event) : Number.POSITIVE_INFINITY,
    twin: event.type,
    call: { kind: event.type },
    event,
  }));
}

/** Ends that a watch or a read of one node's told: they may be told late, but were so before. */
function ends(story: Story): Evidence[] {
  const kept: Seen[] = [];
  const list: Evidence[] = [];
  for (const { event, seen, at } of story.sightings) {
    const strict = event.type === 'read' && event.consistency === 'linearizable';
    if (strict || seen === null || !isEnd(seen.state) || kept.some((one) => sameEnd(one, seen))) continue;
    kept.push(seen);
    list.push({
      begin: Math.min(story.from, at),
      end: at,
      call: { kind: 'seen', seen, mayBeGone: false },
      event,
    });
  }
  return list;
}
