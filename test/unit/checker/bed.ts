import { expect } from 'vitest';
import {
  type Change,
  check,
  type HistoryEvent,
  type Interrupted,
  type Last,
  type Lease,
  type LeaseLost,
  type Promises,
  type Read,
  type Rule,
  type Seen,
  type SeenState,
  type Settle,
  type Submit,
  type Violation,
  type Watched,
} from '../../../src/checker/index.js';

/*
 * Events for histories written by hand: each builder fills in what a test does not care about. Times of a call are
 * `[begin, end]`; an end of null stands for no answer, and the call is unknown then.
 */

export const PROMISES: Promises = {
  skewMs: 100,
  maxAttempts: 3,
  retentionMs: 10_000,
  failedRetentionMs: 20_000,
  dedupeWindowMs: 60_000,
  unseenLeaseMs: 5_000,
};

type Span = readonly [begin: number, end: number | null];

function call([begin, end]: Span, by: string) {
  const fate = end === null ? ('unknown' as const) : ('done' as const);
  return { by, node: 'n1', begin, end, fate, error: '' };
}

let positions = 0;

export function submit(job: string, span: Span, more: Partial<Submit> = {}): Submit {
  const made: Submit = {
    type: 'submit',
    ...call(span, 'client'),
    job,
    namespace: 'default',
    function: 'mail',
    priority: 1,
    payload: `payload of ${job}`,
    uniqueKey: '',
    due: 0,
    startDeadline: 0,
    maxAttempts: 0,
    retentionMs: -1,
    waits: false,
    stream: `stream ${job}`,
    position: ++positions,
    call: `call ${job}`,
    allOrNothing: false,
    answer: span[1] === null ? null : { job, disposition: 'created' },
    ...more,
  };
  return made.fate === 'done' ? made : { ...made, answer: null };
}

/** What a reader sees of a job; the payload is that of its submission. */
export function seen(job: string, state: SeenState, attempt = 0, more: Partial<Seen> = {}): Seen {
  return { state, attempt, payload: `payload of ${job}`, result: '', errorCode: '', ...more };
}

export function read(job: string, span: Span, answer: Read['answer'], more: Partial<Read> = {}): Read {
  return {
    type: 'read',
    ...call(span, 'reader'),
    job,
    consistency: 'linearizable',
    answer: span[1] === null ? null : answer,
    ...more,
  };
}

export function local(job: string, span: Span, answer: Read['answer'], node = 'n1'): Read {
  return read(job, span, answer, { consistency: 'local', node });
}

export function change(type: Change['type'], job: string, span: Span, more: Partial<Change> = {}): Change {
  return { type, ...call(span, 'operator'), job, ...more };
}

export function lease(job: string, at: number, token: number, more: Partial<Lease> = {}): Lease {
  return {
    type: 'lease',
    at,
    worker: 'w1',
    node: 'n1',
    job,
    token,
    attempt: 1,
    function: 'mail',
    payload: `payload of ${job}`,
    ...more,
  };
}

export function leaseLost(worker: string, at: number, token: number): LeaseLost {
  return { type: 'lease-lost', at, worker, token };
}

export function interrupted(worker: string, at: number, until = at): Interrupted {
  return { type: 'interrupted', at, until, worker, node: 'n1' };
}

export function complete(job: string, span: Span, token: number, more: Partial<Settle> = {}): Settle {
  return {
    type: 'settle',
    ...call(span, 'w1'),
    job,
    token,
    outcome: 'complete',
    result: `result of ${job}`,
    retryable: false,
    ...more,
  };
}

export function fail(job: string, span: Span, token: number, more: Partial<Settle> = {}): Settle {
  return complete(job, span, token, { outcome: 'fail', result: '', retryable: true, ...more });
}

export function release(job: string, span: Span, token: number): Settle {
  return complete(job, span, token, { outcome: 'release', result: '' });
}

export function watched(
  watch: string,
  job: string,
  at: number,
  event: Watched['event'],
  what: Seen | null,
): Watched {
  return { type: 'watched', at, watch, node: 'n1', job, event, seen: what };
}

export function last(job: string, at: number, what: Last['seen'], more: Partial<Last> = {}): Last {
  return { type: 'last', node: 'n1', job, at, seen: what, madeBy: '', ...more };
}

/** The job as it is after `complete`. */
export function succeeded(job: string, attempt = 1, more: Partial<Seen> = {}): Seen {
  return seen(job, 'succeeded', attempt, { result: `result of ${job}`, ...more });
}

/** The refused form of a call. */
export function refused<T extends { fate: string }>(one: T, error = 'WRONG_STATE'): T {
  return { ...one, fate: 'not-applied', error, ...('answer' in one ? { answer: null } : {}) };
}

/** Judges events, noted in the order of their ends, as those who look note them. */
function judge(events: readonly HistoryEvent[], promises: Partial<Promises> = {}): Violation[] {
  return check({ events, promises: { ...PROMISES, ...promises } });
}

/** Exactly this rule is named, once or more; returns the texts. */
export function rejects(
  rule: Rule,
  events: readonly HistoryEvent[],
  promises: Partial<Promises> = {},
): string[] {
  const violations = judge(events, promises);
  expect(
    [...new Set(violations.map((one) => one.rule))],
    violations.map((one) => one.text).join('\n'),
  ).toEqual([rule]);
  for (const { text, events: shown } of violations) {
    expect(text.length).toBeGreaterThan(30);
    expect(shown.length).toBeGreaterThan(0);
  }
  return violations.map((one) => one.text);
}

export function accepts(events: readonly HistoryEvent[], promises: Partial<Promises> = {}): void {
  expect(judge(events, promises).map((one) => `${one.rule}: ${one.text}`)).toEqual([]);
}
