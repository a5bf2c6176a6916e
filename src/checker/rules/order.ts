import type { Interrupted, Lease, Violation } from '../history.js';
import { endOf, mayBe, type Stories, type Story } from '../story.js';
import { ms, told, violation } from '../text.js';

interface Placed {
  readonly story: Story;
  /** Its first lease of all. */
  readonly lease: Lease;
  /** It was accepted after this and before that. */
  readonly from: number;
  readonly accepted: number;
}

/**
 * Jobs of one function and priority are given out in the order in which they were accepted. When they were given out is
 * read from the tokens. It counts the first lease of a job, and a lease that never reached its worker comes back to the
 * tail of the queue: so only jobs are judged of which no earlier lease can have got lost.
 */
export function order(stories: Stories): Violation[] {
  const patience = stories.promises.unseenLeaseMs ?? 0;
  if (patience <= 0) return [];
  const withoutTokens = new Set<string>();
  for (const story of stories.jobs.values()) {
    for (const lease of story.leases) if (lease.token === 0) withoutTokens.add(lease.function);
  }
  const queues = new Map<string, Placed[]>();
  for (const story of stories.jobs.values()) {
    const placed = placeOf(story);
    // What Gearman's workers have reserved comes back ahead of the others, and nobody sees that they had it.
    if (placed === null || withoutTokens.has(placed.lease.function)) continue;
    const { namespace, function: name, priority } = story.makers[0]!;
    const key = JSON.stringify([namespace, name, priority]);
    const queue = queues.get(key) ?? [];
    queue.push(placed);
    queues.set(key, queue);
  }
  const certain = (one: Placed): boolean =>
    one.lease.attempt === 1 &&
    one.lease.at - one.from < patience &&
    !anyBetween(stories.interrupted, one.from, one.lease.at);
  return [...queues.values()].flatMap((queue) => [
    ...overtaken(byTime(queue), certain),
    ...byStream(queue).flatMap((one) => overtaken(one, certain)),
  ]);
}

/** Null: its place in the queue is not known, or it was not given out. */
function placeOf(story: Story): Placed | null {
  const { makers } = story;
  const [first] = makers;
  const lease = story.leases[0];
  if (first === undefined || lease === undefined || lease.token === 0) return null;
  if (
    makers.some((one) => one.due !== 0 || one.priority !== first.priority || one.function !== first.function)
  ) {
    return null;
  }
  if (story.changes.some((one) => one.type === 'retry' && mayBe(one))) return null;
  const accepted = Math.min(...makers.filter((one) => one.fate === 'done').map(endOf));
  return { story, lease, from: story.from, accepted };
}

interface Step {
  /** Null: the earlier ones of the list up to here are before all that follow. */
  readonly one: Placed;
  readonly what: 'waits' | 'comes';
}

/** Who was accepted before whom, by time: `comes` where one begins to be submitted, `waits` where it is accepted. */
function byTime(queue: readonly Placed[]): Step[] {
  const steps: { at: number; rank: number; step: Step }[] = [];
  for (const one of queue) {
    steps.push({ at: one.from, rank: 0, step: { one, what: 'comes' } });
    if (one.accepted < Number.POSITIVE_INFINITY) {
      steps.push({ at: one.accepted, rank: 1, step: { one, what: 'waits' } });
    }
  }
  steps.sort((a, b) => a.at - b.at || a.rank - b.rank);
  return steps.map(({ step }) => step);
}

/** Who was accepted before whom, by the place in a stream, of those that were submitted in it alone. */
function byStream(queue: readonly Placed[]): Step[][] {
  const streams = new Map<string, Placed[]>();
  for (const one of queue) {
    const { makers } = one.story;
    const [maker] = makers;
    if (makers.length !== 1 || maker!.fate !== 'done') continue;
    const list = streams.get(maker!.stream) ?? [];
    list.push(one);
    streams.set(maker!.stream, list);
  }
  return [...streams.values()].map((list) =>
    list
      .sort((a, b) => a.story.makers[0]!.position - b.story.makers[0]!.position)
      .flatMap((one): Step[] => [
        { one, what: 'comes' },
        { one, what: 'waits' },
      ]),
  );
}

/** Jobs that were given out before one that was accepted before them. */
function overtaken(steps: readonly Step[], certain: (one: Placed) => boolean): Violation[] {
  const found: Violation[] = [];
  let last: Placed | null = null;
  for (const { one, what } of steps) {
    if (what === 'waits') {
      if (certain(one) && (last === null || one.lease.token > last.lease.token)) last = one;
    } else if (last !== null && one.lease.token < last.lease.token) {
      const text = `${last.story.job} was accepted before ${one.story.job}, of the same function and priority (${place(last)}, ${place(one)}), yet given out after it: ${told(one.lease)}, ${told(last.lease)}`;
      found.push(
        violation('order', text, last.story.makers[0]!, one.story.makers[0]!, one.lease, last.lease),
      );
    }
  }
  return found;
}

function place({ story }: Placed): string {
  const maker = story.makers[0]!;
  return `position ${maker.position} of ${maker.stream} from ${ms(maker.begin)} to ${ms(endOf(maker))}`;
}

/** Whether one of a list that ascends lies between the two times. */
function anyBetween(list: readonly Interrupted[], from: number, to: number): boolean {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (list[middle]!.at < from) low = middle + 1;
    else high = middle;
  }
  return low < list.length && list[low]!.at <= to;
}
