import type { Violation } from '../history.js';
import { endOf, isEnd, type Stories, type Story } from '../story.js';
import { ms, violation } from '../text.js';
import type { TokenOrder } from '../tokens.js';

/** A job that holds its key: throughout the time from `from` to `to`, if that is not empty. */
interface Holder {
  readonly story: Story;
  readonly from: number;
  readonly to: number;
}

/** At most one job of a function, namespace and key is live at a time. */
export function uniqueKey({ jobs, tokens }: Stories): Violation[] {
  const byKey = new Map<string, Holder[]>();
  for (const story of jobs.values()) {
    const [first] = story.makers;
    if (first === undefined || first.uniqueKey === '' || story.knownAt === Number.POSITIVE_INFINITY) continue;
    const key = JSON.stringify([first.namespace, first.function, first.uniqueKey]);
    const same = (one: typeof first): boolean =>
      JSON.stringify([one.namespace, one.function, one.uniqueKey]) === key;
    if (!story.makers.every(same)) continue;
    const holders = byKey.get(key) ?? [];
    holders.push({ story, from: story.knownAt, to: liveUntil(story, tokens) });
    byKey.set(key, holders);
  }
  return [...byKey.values()].flatMap((holders) =>
    holders.length < 2 ? [] : [...overlapping(holders), ...createdBeside(holders)],
  );
}

/** The job cannot have ended before this, as far as anything shows that it still lived. */
function liveUntil(story: Story, tokens: TokenOrder): number {
  /** It lived at some moment between the two. */
  const lives: { readonly after: number; readonly before: number }[] = [];
  for (const read of story.reads) {
    const { answer } = read;
    if (read.consistency !== 'linearizable' || answer === null || answer === 'absent') continue;
    if (!isEnd(answer.state)) lives.push({ after: read.begin, before: endOf(read) });
  }
  for (const { seen, at } of story.lasts) {
    if (seen !== 'absent' && !isEnd(seen.state)) lives.push({ after: at, before: at });
  }
  for (const { token } of story.leases) {
    if (token > 0) lives.push({ after: tokens.grantedAfter(token), before: tokens.grantedBefore(token) });
  }
  for (const settle of story.settles) {
    const again = (one: typeof settle): boolean =>
      one !== settle && one.token === settle.token && one.outcome === settle.outcome;
    if (settle.fate !== 'done' || story.settles.some(again)) continue;
    lives.push({ after: settle.begin, before: endOf(settle) });
  }
  // What may have been after a retry does not show that it lived all the time.
  return Math.max(...lives.filter((one) => !story.retriedBefore(one.before)).map((one) => one.after));
}

/** Two that surely lived at one time. */
function overlapping(holders: readonly Holder[]): Violation[] {
  const sure = holders.filter((one) => one.from < one.to).sort((a, b) => a.from - b.from);
  const found: Violation[] = [];
  let longest = sure[0];
  for (const next of sure.slice(1)) {
    if (next.from < longest!.to) found.push(clash(longest!, next, 'both were live then'));
    if (next.to > longest!.to) longest = next;
  }
  return found;
}

/** One that was made while another one surely lived, whatever became of it. */
function createdBeside(holders: readonly Holder[]): Violation[] {
  const sure = holders.filter((one) => one.from < one.to).sort((a, b) => a.from - b.from);
  // What is too late as it is made ends at once, but joins the other before that.
  const made = [...holders].sort((a, b) => a.story.from - b.story.from);
  const found: Violation[] = [];
  let longest: Holder | undefined;
  let next = 0;
  for (const one of made) {
    while (next < sure.length && sure[next]!.from < one.story.from) {
      if (longest === undefined || sure[next]!.to > longest.to) longest = sure[next];
      next++;
    }
    // Both of the first kind are told by the other rule.
    if (longest === undefined || longest.to <= one.from || one.from < one.to) continue;
    found.push(clash(longest, one, `the second was made while the first lived`));
  }
  return found;
}

function clash(a: Holder, b: Holder, why: string): Violation {
  const maker = a.story.makers[0]!;
  const text = `${a.story.job} and ${b.story.job} of the function ${maker.function} have the same unique key "${maker.uniqueKey}", and ${why}: ${a.story.job} lived from ${ms(a.from)} to ${ms(a.to)} at least, ${b.story.job} was there by ${ms(b.from)}`;
  return violation('unique-key', text, maker, b.story.makers[0]!);
}
