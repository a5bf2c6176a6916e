import type {
  History,
  HistoryEvent,
  Last,
  Lease,
  Read,
  Seen,
  Settle,
  Submit,
  Watched,
} from '../../../src/checker/index.js';
import type { Dice } from './dice.js';

/**
 * Changes one event, or a few, of a history that was right, as a cluster that broke a promise would have shown it. Null:
 * there is nothing in it that could be changed so.
 */
type Mutation = (events: readonly HistoryEvent[], dice: Dice) => HistoryEvent[] | null;

type Of<T extends HistoryEvent['type']> = Extract<HistoryEvent, { type: T }>;

function of<T extends HistoryEvent['type']>(events: readonly HistoryEvent[], type: T): Of<T>[] {
  return events.filter((one): one is Of<T> => one.type === type);
}

function replace(
  events: readonly HistoryEvent[],
  ...changed: [HistoryEvent, HistoryEvent | null][]
): HistoryEvent[] {
  const by = new Map(changed);
  return events.flatMap((one) => {
    const other = by.get(one);
    return other === undefined ? [one] : other === null ? [] : [other];
  });
}

function one<T>(dice: Dice, list: readonly T[]): T | null {
  return list.length === 0 ? null : dice.pick(list);
}

function acknowledged(events: readonly HistoryEvent[]): Set<string> {
  return new Set(of(events, 'submit').flatMap((each) => (each.answer === null ? [] : [each.answer.job])));
}

/** Each mutation by name, with the least share of its histories that must be rejected, in percent. */
export const MUTATIONS: Readonly<Record<string, { readonly mutate: Mutation; readonly atLeast: number }>> = {
  'a job that is there at the end is nowhere': {
    atLeast: 90,
    mutate: (events, dice) => {
      const known = acknowledged(events);
      const job = one(
        dice,
        of(events, 'last').filter((each) => each.seen !== 'absent' && known.has(each.job)),
      )?.job;
      if (job === undefined) return null;
      return events.map((each) =>
        each.type === 'last' && each.job === job ? { ...each, seen: 'absent' } : each,
      );
    },
  },
  'a job that is there at the end is not at one node': {
    atLeast: 80,
    mutate: (events, dice) => {
      const last = one(
        dice,
        of(events, 'last').filter((each) => each.seen !== 'absent'),
      );
      return last === null ? null : replace(events, [last, { ...last, seen: 'absent' }]);
    },
  },
  'a node has another result': {
    atLeast: 100,
    mutate: (events, dice) => {
      const last = one(dice, endsWith(of(events, 'last'), 'succeeded'));
      return last === null
        ? null
        : replace(events, [last, { ...last, seen: { ...last.seen, result: 'other' } }]);
    },
  },
  'results of two jobs are swapped for a reader': {
    atLeast: 100,
    mutate: (events, dice) => {
      const reads = readsOf(events, 'succeeded');
      const first = one(dice, reads);
      const second = one(
        dice,
        reads.filter((each) => each.job !== first?.job),
      );
      if (first === null || second === null) return null;
      return replace(
        events,
        [first, { ...first, answer: { ...first.answer, result: second.answer.result } }],
        [second, { ...second, answer: { ...second.answer, result: first.answer.result } }],
      );
    },
  },
  'one lease goes to two workers': {
    atLeast: 100,
    mutate: (events, dice) => {
      const lease = one(dice, tokened(events));
      return lease === null ? null : [...events, { ...lease, worker: 'another', at: lease.at + 1 }];
    },
  },
  'a token is given twice': {
    atLeast: 100,
    mutate: (events, dice) => {
      const lease = one(dice, tokened(events));
      const other = one(
        dice,
        tokened(events).filter((each) => each.job !== lease?.job),
      );
      return lease === null || other === null
        ? null
        : replace(events, [lease, { ...lease, token: other.token }]);
    },
  },
  'a job is given out again after its end': {
    atLeast: 100,
    mutate: (events, dice) => {
      const settle = one(dice, accepted(events));
      const lease = of(events, 'lease').find((each) => each.token === settle?.token);
      if (settle === null || lease === undefined) return null;
      const token = 1 + Math.max(...of(events, 'lease').map((each) => each.token));
      return [...events, { ...lease, token, at: settle.end! + 100, attempt: lease.attempt + 1 }];
    },
  },
  'an outcome that came too late counts': {
    atLeast: 75,
    mutate: (events, dice) => {
      const late = one(
        dice,
        of(events, 'settle').filter((each) => each.fate === 'not-applied' && each.token > 0),
      );
      return late === null ? null : replace(events, [late, { ...late, fate: 'done', error: '' }]);
    },
  },
  'an outcome that was accepted was not applied': {
    atLeast: 90,
    mutate: (events, dice) => {
      const settle = one(dice, accepted(events));
      const seen = sightedEnds(events, settle?.job);
      if (settle === null || !seen) return null;
      return events.map((each) =>
        each.type === 'settle' && each.job === settle.job
          ? { ...each, fate: 'not-applied', error: 'LEASE_LOST' }
          : each,
      );
    },
  },
  'a worker gets another payload': {
    atLeast: 95,
    mutate: (events, dice) => {
      const known = acknowledged(events);
      const lease = one(
        dice,
        of(events, 'lease').filter((each) => known.has(each.job)),
      );
      return lease === null ? null : replace(events, [lease, { ...lease, payload: 'other' }]);
    },
  },
  'a reader sees two states in the wrong order': {
    atLeast: 85,
    mutate: (events, dice) => {
      const reads = of(events, 'read').filter(
        (each) => each.consistency === 'linearizable' && each.answer !== null,
      );
      const later = (first: Read): Read[] =>
        reads.filter((each) => each.job === first.job && each.begin > first.end! && rank(each) > rank(first));
      const first = one(
        dice,
        reads.filter((each) => later(each).length > 0),
      );
      if (first === null) return null;
      const second = dice.pick(later(first));
      return replace(
        events,
        [first, { ...first, answer: second.answer }],
        [second, { ...second, answer: first.answer }],
      );
    },
  },
  'a reader does not find an accepted job': {
    atLeast: 85,
    mutate: (events, dice) => {
      const submits = of(events, 'submit').filter((each) => each.answer?.disposition === 'created');
      const read = one(
        dice,
        of(events, 'read').filter(
          (each) =>
            each.consistency === 'linearizable' &&
            each.answer !== null &&
            each.answer !== 'absent' &&
            submits.some((submit) => submit.job === each.job && submit.end! < each.begin),
        ),
      );
      return read === null ? null : replace(events, [read, { ...read, answer: 'absent' }]);
    },
  },
  'an id is made twice': {
    atLeast: 100,
    mutate: (events, dice) => {
      const submits = of(events, 'submit');
      const again = one(
        dice,
        submits.filter(
          (each) =>
            each.answer?.disposition === 'same-id' &&
            submits.some((other) => other.job === each.job && other.answer?.disposition === 'created'),
        ),
      );
      if (again === null) return null;
      return replace(events, [again, { ...again, answer: { job: again.job, disposition: 'created' } }]);
    },
  },
  'a job is refused and there': {
    atLeast: 100,
    mutate: (events, dice) => {
      const known = new Set(of(events, 'lease').map((each) => each.job));
      const submits = of(events, 'submit');
      const submit = one(
        dice,
        submits.filter((each) => known.has(each.job)),
      );
      if (submit === null) return null;
      return events.map((each) => (each.type === 'submit' && each.job === submit.job ? refuse(each) : each));
    },
  },
  'nobody had submitted a job': {
    atLeast: 100,
    mutate: (events, dice) => {
      const known = new Set(of(events, 'lease').map((each) => each.job));
      const submit = one(
        dice,
        of(events, 'submit').filter((each) => known.has(each.job)),
      );
      if (submit === null) return null;
      return events.filter((each) => each.type !== 'submit' || each.job !== submit.job);
    },
  },
  'a watch does not begin, ends twice or goes on': {
    atLeast: 100,
    mutate: (events, dice) => {
      const watched = of(events, 'watched');
      const accepting = one(
        dice,
        watched.filter((each) => each.event === 'accepted' && follows(watched, each)),
      );
      const ended = one(
        dice,
        watched.filter((each) => each.event === 'ended'),
      );
      if (accepting === null || ended === null) return null;
      return dice.chance(500)
        ? replace(events, [accepting, null])
        : [...events, { ...ended, at: ended.at + 1 }];
    },
  },
  'a watch hangs': {
    atLeast: 90,
    mutate: (events, dice) => {
      const ended = one(
        dice,
        of(events, 'watched').filter((each) => each.event === 'ended'),
      );
      return ended === null ? null : replace(events, [ended, null]);
    },
  },
  'a delayed job starts early': {
    atLeast: 95,
    mutate: (events, dice) => {
      const due = new Map(of(events, 'submit').map((each) => [each.job, each.due]));
      const lease = one(
        dice,
        of(events, 'lease').filter((each) => (due.get(each.job) ?? 0) > 1_000),
      );
      return lease === null ? null : replace(events, [lease, { ...lease, at: due.get(lease.job)! - 200 }]);
    },
  },
  'a job has more attempts than it may': {
    atLeast: 100,
    mutate: (events, dice) => {
      const submitted = new Set(of(events, 'submit').map((each) => each.job));
      const lease = one(
        dice,
        tokened(events).filter((each) => submitted.has(each.job)),
      );
      return lease === null ? null : replace(events, [lease, { ...lease, attempt: 9 }]);
    },
  },
  'a job does not end': {
    atLeast: 95,
    mutate: (events, dice) => {
      const submitted = new Set(of(events, 'submit').map((each) => each.job));
      const last = one(
        dice,
        of(events, 'last').filter((each) => each.seen !== 'absent' && submitted.has(each.job)),
      );
      if (last === null || last.seen === 'absent') return null;
      const seen = { ...last.seen, state: 'queued' as const, result: '' };
      return events.map((each) => (each.type === 'last' && each.job === last.job ? { ...each, seen } : each));
    },
  },
  'jobs of one queue are given out in another order': {
    atLeast: 80,
    mutate: (events, dice) => {
      const made = new Map(of(events, 'submit').map((each) => [each.job, each]));
      const leases = tokened(events).filter(
        (each) => each.attempt === 1 && made.get(each.job)?.fate === 'done',
      );
      const first = one(dice, leases);
      const second = leases.find(
        (each) => first !== null && sameQueue(made, first, each) && each.token > first.token,
      );
      if (first === null || second === undefined) return null;
      return swapTokens(events, first.token, second.token);
    },
  },
};

function refuse(submit: Submit): Submit {
  return { ...submit, fate: 'not-applied', end: submit.end ?? submit.begin + 10, answer: null };
}

function tokened(events: readonly HistoryEvent[]): Lease[] {
  return of(events, 'lease').filter((each) => each.token > 0);
}

function accepted(events: readonly HistoryEvent[]): Settle[] {
  return of(events, 'settle').filter(
    (each) => each.fate === 'done' && each.outcome === 'complete' && each.token > 0,
  );
}

type SeenRead = Omit<Read, 'answer'> & { readonly answer: Seen };

function readsOf(events: readonly HistoryEvent[], state: string): SeenRead[] {
  return of(events, 'read').filter(
    (each): each is SeenRead =>
      each.answer !== null && each.answer !== 'absent' && each.answer.state === state,
  );
}

type PresentLast = Omit<Last, 'seen'> & { readonly seen: Seen };

function endsWith(lasts: readonly Last[], state: string): PresentLast[] {
  return lasts.filter((each): each is PresentLast => each.seen !== 'absent' && each.seen.state === state);
}

/** Somebody saw the job succeed. */
function sightedEnds(events: readonly HistoryEvent[], job: string | undefined): boolean {
  return (
    readsOf(events, 'succeeded').some((each) => each.job === job) ||
    endsWith(of(events, 'last'), 'succeeded').some((each) => each.job === job)
  );
}

function follows(watched: readonly Watched[], { watch }: Watched): boolean {
  return watched.some((each) => each.watch === watch && each.event !== 'accepted' && each.event !== 'broken');
}

/** How far a job has come. */
function rank({ answer }: Read): number {
  if (answer === null || answer === 'absent') return 0;
  return ['scheduled', 'queued', 'running'].indexOf(answer.state) < 0 ? 10 : 1 + answer.attempt;
}

function sameQueue(made: ReadonlyMap<string, Submit>, a: Lease, b: Lease): boolean {
  const [one, other] = [made.get(a.job)!, made.get(b.job)!];
  return (
    one.function === other.function && one.priority === other.priority && other.begin > (one.end ?? Infinity)
  );
}

function swapTokens(events: readonly HistoryEvent[], a: number, b: number): HistoryEvent[] {
  const other = (token: number): number => (token === a ? b : token === b ? a : token);
  return events.map((each) => ('token' in each ? { ...each, token: other(each.token) } : each));
}

/** The history after the mutation; null where it has nothing to change. */
export function mutated(history: History, mutation: Mutation, dice: Dice): History | null {
  const events = mutation(history.events, dice);
  return events === null ? null : { ...history, events };
}
