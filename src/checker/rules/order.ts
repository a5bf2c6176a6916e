import type { HistoryEvent, Interrupted, Lease, Violation } from '../history.js';
import { endOf, mayBe, type Stories, type Story } from '../story.js';
import { ms, told, violation } from '../text.js';
import { firstSaid } from './leases.js';

/** A job in a queue, from the time at which it joined the tail to the lease that took it out again. */
interface Placed {
  readonly story: Story;
  readonly lease: Lease;
  /** It joined after this and before that; Infinity: nobody knows before when. */
  readonly from: number;
  readonly joined: number;
  /** The lease before, after which it came back; null: its first place of all. */
  readonly before: Lease | null;
}

/**
 * Jobs of one function and priority are given out in the order in which they joined the queue: when they were accepted,
 * when they were due, or when they came back. When they were given out is read from the tokens. A lease that never
 * reached its worker puts its job back to the tail as well: so a job counts as overtaken only where no lease can have
 * got lost since it joined.
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
    // What Gearman's workers have reserved comes back ahead of the others, and nobody sees that they had it.
    const places = placesOf(story, stories).filter(({ lease }) => !withoutTokens.has(lease.function));
    if (places.length === 0) continue;
    const { namespace, function: name, priority } = story.makers[0]!;
    const key = JSON.stringify([namespace, name, priority]);
    const queue = queues.get(key) ?? [];
    queue.push(...places);
    queues.set(key, queue);
  }
  const isInterrupted = interruptions(stories.interrupted);
  const certain = (one: Placed): boolean =>
    one.lease.attempt === (one.before?.attempt ?? 1) &&
    one.lease.at - one.from < patience &&
    !isInterrupted(one.from, one.lease.at);
  return [...queues.values()].flatMap((queue) => [
    ...overtaken(byTime(queue), certain),
    ...byStream(queue).flatMap((one) => overtaken(one, certain)),
  ]);
}

/** None where nothing is known of its places, or it was not given out. */
function placesOf(story: Story, stories: Stories): Placed[] {
  const { makers, leases } = story;
  const [maker] = makers;
  const [first] = leases;
  if (maker === undefined || first === undefined || first.token === 0) return [];
  if (makers.some((one) => one.priority !== maker.priority || one.function !== maker.function)) return [];
  if (story.changes.some((one) => one.type === 'retry' && mayBe(one))) return [];
  const accepted = Math.min(...makers.filter((one) => one.fate === 'done').map(endOf));
  const due = Math.min(...makers.map((one) => one.due)) - stories.promises.skewMs;
  const atOnce = makers.every((one) => one.due === 0);
  const from = Math.max(story.from, due);
  const places: Placed[] = [
    { story, lease: first, from, joined: atOnce ? accepted : Number.POSITIVE_INFINITY, before: null },
  ];
  for (let i = 1; i < leases.length; i++) {
    const [before, lease] = [leases[i - 1]!, leases[i]!];
    if (before.token < lease.token) places.push(backAfter(story, before, lease, stories));
  }
  return places;
}

/** Where it stood between two leases of it that were seen. */
function backAfter(story: Story, before: Lease, lease: Lease, { tokens }: Stories): Placed {
  const ends = story.settles.filter((one) => one.token === before.token && one.fate === 'done');
  // A failure joins after its pause, which nobody who looks knows.
  const handedBack = ends.filter((one) => one.outcome === 'release');
  return {
    story,
    lease,
    from: Math.max(tokens.grantedAfter(before.token), ...ends.map((one) => firstSaid(story, one))),
    joined: Math.min(...handedBack.map(endOf)),
    before,
  };
}

interface Step {
  /** Null: the earlier ones of the list up to here are before all that follow. */
  readonly one: Placed;
  readonly what: 'waits' | 'comes';
}

/** Who joined before whom, by time: `comes` where one may join, `waits` where it is known to have joined. */
function byTime(queue: readonly Placed[]): Step[] {
  const steps: { at: number; rank: number; step: Step }[] = [];
  for (const one of queue) {
    steps.push({ at: one.from, rank: 0, step: { one, what: 'comes' } });
    if (one.joined < Number.POSITIVE_INFINITY) {
      steps.push({ at: one.joined, rank: 1, step: { one, what: 'waits' } });
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
    if (one.before !== null || makers.length !== 1 || maker!.fate !== 'done' || maker!.due !== 0) continue;
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

/** Jobs that were given out before one that had joined before them. */
function overtaken(steps: readonly Step[], certain: (one: Placed) => boolean): Violation[] {
  const found: Violation[] = [];
  let last: Placed | null = null;
  for (const { one, what } of steps) {
    if (what === 'waits') {
      if (certain(one) && (last === null || one.lease.token > last.lease.token)) last = one;
    } else if (last !== null && one.lease.token < last.lease.token) {
      const text = `${last.story.job} ${how(last)} before ${one.story.job} ${how(one)}, of the same function and priority (${place(last)}, ${place(one)}), yet given out after it: ${told(one.lease)}, ${told(last.lease)}`;
      found.push(violation('order', text, reason(last), reason(one), one.lease, last.lease));
    }
  }
  return found;
}

function how({ before }: Placed): string {
  return before === null ? 'was accepted' : 'came back';
}

function place({ story, from, before }: Placed): string {
  if (before !== null) return `back after ${ms(from)} from the lease ${before.token}`;
  const maker = story.makers[0]!;
  return `position ${maker.position} of ${maker.stream} from ${ms(maker.begin)} to ${ms(endOf(maker))}`;
}

function reason({ story, before }: Placed): HistoryEvent {
  return before ?? story.makers[0]!;
}

/** Says whether one of a list that ascends reaches into the time between two others. */
function interruptions(list: readonly Interrupted[]): (from: number, to: number) => boolean {
  let latest = Number.NEGATIVE_INFINITY;
  // Of all up to each: until when the longest lasts.
  const until = list.map((one) => {
    latest = Math.max(latest, one.until ?? one.at);
    return latest;
  });
  return (from, to) => {
    let low = 0;
    let high = list.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (list[middle]!.at <= to) low = middle + 1;
      else high = middle;
    }
    return low > 0 && until[low - 1]! >= from;
  };
}
