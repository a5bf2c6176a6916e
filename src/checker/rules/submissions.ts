import { mayBeGone } from '../ending.js';
import type { Last, Read, Submit, Violation } from '../history.js';
import { endOf, type Stories, type Story } from '../story.js';
import { ms, told, violation } from '../text.js';

/** One id stands for one job: it is made once, and whoever submits it again is told of the same. */
export function sameId(story: Story, { jobs }: Stories): Violation[] {
  const { job } = story;
  const answered = story.submits.filter((one) => one.fate === 'done' && one.answer !== null);
  const found: Violation[] = [];
  const say = (text: string, ...events: Violation['events']): void => {
    found.push(violation('same-id', text, ...events));
  };
  const created = answered.filter((one) => one.answer!.disposition === 'created');
  const [first, second] = created;
  if (first !== undefined && second !== undefined) {
    say(`${job} was made twice: ${told(first)}, and ${told(second)}`, first, second);
  }
  const joined = answered.filter((one) => one.answer!.disposition === 'coalesced');
  for (const one of answered) {
    const { disposition, job: other } = one.answer!;
    if ((disposition === 'coalesced') === (other === job)) {
      say(`the answer names another job than "${disposition}" can mean: ${told(one)}`, one);
    }
  }
  const join = joined[0];
  if (join !== undefined) {
    const own = answered.find((one) => one.answer!.disposition !== 'coalesced');
    const elsewhere = joined.find((one) => one.answer!.job !== join.answer!.job);
    const [sighting] = story.sightings;
    if (own !== undefined)
      say(`${job} joined another job and is one of its own: ${told(join)}, and ${told(own)}`, join, own);
    if (elsewhere !== undefined)
      say(`${job} joined two jobs: ${told(join)}, and ${told(elsewhere)}`, join, elsewhere);
    if (sighting !== undefined && own === undefined) {
      say(
        `${job} joined another job, yet it is one of its own: ${told(join)}, and ${told(sighting.event)}`,
        join,
        sighting.event,
      );
    }
    const holder = jobs.get(join.answer!.job);
    if (join.uniqueKey === '')
      say(`a job without a unique key was said to join another one: ${told(join)}`, join);
    else if (
      holder !== undefined &&
      holder.makers.length > 0 &&
      !holder.makers.some((one) => sameKey(one, join))
    ) {
      say(`${job} joined a job of another function or unique key: ${told(join)}`, join, holder.makers[0]!);
    }
  }
  if (first !== undefined && second === undefined) {
    const before = answered.find(
      (one) => one !== first && one.answer!.job === job && endOf(one) < first.begin,
    );
    const sighting = story.sightings[0];
    if (before !== undefined)
      say(`${job} was there already and was made again: ${told(before)}, then ${told(first)}`, before, first);
    else if (sighting !== undefined && sighting.at < first.begin && story.from <= sighting.at) {
      say(
        `${job} was there already and was made again: ${told(sighting.event)}, then ${told(first)}`,
        sighting.event,
        first,
      );
    }
  }
  return found;
}

function sameKey(a: Submit, b: Submit): boolean {
  return a.namespace === b.namespace && a.function === b.function && a.uniqueKey === b.uniqueKey;
}

/** Jobs that were submitted all or none: what is known of one is true of the others. */
export function allOrNothing(stories: Stories): Violation[] {
  const calls = new Map<string, Submit[]>();
  for (const story of stories.jobs.values()) {
    for (const submit of story.submits) {
      if (!submit.allOrNothing) continue;
      const key = JSON.stringify([submit.by, submit.call, submit.begin]);
      const list = calls.get(key) ?? [];
      list.push(submit);
      calls.set(key, list);
    }
  }
  return [...calls.values()].flatMap((call) => (call.length < 2 ? [] : judgeCall(call, stories)));
}

function judgeCall(call: readonly Submit[], { jobs, promises }: Stories): Violation[] {
  const refused = call.find((one) => one.fate === 'not-applied');
  const done = call.find((one) => one.fate === 'done');
  if (refused !== undefined && done !== undefined) {
    const text = `jobs of one submission were to be accepted all or none, yet one was and one was not: ${told(done)}, and ${told(refused)}`;
    return [violation('all-or-nothing', text, done, refused)];
  }
  let since = Number.POSITIVE_INFINITY;
  let there: Submit | null = null;
  for (const one of call) {
    const story = jobs.get(one.job)!;
    const alone = story.makers.length === 1 && story.makers[0] === one && story.madeBy === '';
    const known = one.fate === 'done' ? endOf(one) : alone ? story.knownAt : Number.POSITIVE_INFINITY;
    if (known >= since) continue;
    since = known;
    there = one;
  }
  if (there === null) return [];
  for (const one of call) {
    // What may have joined another job has no record of its own. What was acknowledged is judged as lost.
    if (one.uniqueKey !== '' || one.fate !== 'unknown') continue;
    const story = jobs.get(one.job)!;
    if (story.knownAt < Number.POSITIVE_INFINITY) continue;
    const absent = firstAbsence(story, since, (time) => mayBeGone(story, promises, time));
    if (absent === null) continue;
    const text = `jobs of one submission were to be accepted all or none: ${there.job} was accepted by ${ms(since)}, yet ${one.job} was not: ${told(absent)}`;
    return [violation('all-or-nothing', text, there, one, absent)];
  }
  return [];
}

/** A reader or node that looked after `since` and must have seen the job if it had been accepted. */
function firstAbsence(story: Story, since: number, gone: (time: number) => boolean): Read | Last | null {
  for (const read of story.reads) {
    const strict = read.consistency === 'linearizable' && read.fate === 'done';
    if (strict && read.answer === 'absent' && read.begin > since && !gone(endOf(read))) return read;
  }
  for (const last of story.lasts) {
    if (last.seen === 'absent' && last.at > since && !gone(last.at)) return last;
  }
  return null;
}
