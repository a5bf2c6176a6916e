import { isLossCode } from '../ending.js';
import type { Seen, SeenState } from '../history.js';
import { isEnd } from '../story.js';
import type { Model, Operation } from './linearize.js';

/**
 * A job as a machine whose cluster also moves it by itself: from scheduled to queued, from queued to running, back when
 * a lease is lost, to its end when attempts are used up. Those moves are not calls, so each call may find that any of
 * them happened before it. They are not enumerated: a state stands for all that can come of it, and a call picks what it
 * saw.
 *
 * Attempts: a grant adds one; a lease that was handed back, or never reached its worker, takes it back; one that
 * failed or was lost with its worker keeps it.
 */
export type JobState =
  | { readonly phase: 'absent' }
  | {
      readonly phase: 'live';
      readonly kind: 'scheduled' | 'queued' | 'running';
      readonly attempt: number;
      /** Of the lease under which it runs; 0: none, or one that nobody saw. */
      readonly token: number;
      /** The largest token of all that were seen granted. */
      readonly granted: number;
      readonly cancelling: boolean;
      /** The outcome that was carried out last, which may be said again; '' none. */
      readonly settled: string;
    }
  | {
      readonly phase: 'ended';
      readonly state: SeenState;
      readonly result: string;
      /** Null: not known yet. */
      readonly errorCode: string | null;
      /** Null: not known yet. */
      readonly attempt: number | null;
      readonly granted: number;
      readonly settled: string;
    }
  | { readonly phase: 'gone'; readonly settled: string };

type Live = Extract<JobState, { phase: 'live' }>;

export interface JobCall extends Operation {
  readonly call:
    | { readonly kind: 'submit'; readonly delayed: boolean; readonly answer: 'created' | 'same-id' | 'none' }
    /** Another submission joined it, so it was live. */
    | { readonly kind: 'joined' }
    /** `mayBeGone`: its retention may have been over, or it may have been deleted. */
    | { readonly kind: 'seen'; readonly seen: Seen | 'absent'; readonly mayBeGone: boolean }
    | { readonly kind: 'granted'; readonly token: number; readonly attempt: number }
    | {
        readonly kind: 'settle';
        readonly token: number;
        readonly outcome: 'complete' | 'fail' | 'release';
        readonly result: string;
        readonly retryable: boolean;
      }
    | { readonly kind: 'cancel' | 'retry' | 'delete' };
}

/** What the job was submitted with, as far as it decides what may become of it. */
export interface JobTraits {
  /** Infinity: not known. */
  readonly maxAttempts: number;
  /** The fewest after which it may count as used up. */
  readonly fewestAttempts: number;
  readonly mayExpire: boolean;
  readonly mayBeAbandoned: boolean;
  /** It may be there without a submission: a schedule makes it. */
  readonly scheduled: boolean;
}

export class JobModel implements Model<JobState, JobCall> {
  readonly #traits: JobTraits;
  readonly initial: readonly JobState[];

  constructor(traits: JobTraits) {
    this.#traits = traits;
    this.initial = [traits.scheduled ? fresh('queued') : { phase: 'absent' }];
  }

  key(state: JobState): string {
    switch (state.phase) {
      case 'absent':
        return 'absent';
      case 'live': {
        const { kind, attempt, token, granted, cancelling, settled } = state;
        return `${kind} ${attempt} ${token} ${granted}${cancelling ? ' cancelling' : ''} ${settled}`;
      }
      case 'ended':
        return `${state.state} ${state.result} ${state.errorCode} ${state.attempt} ${state.granted} ${state.settled}`;
      case 'gone':
        return `gone ${state.settled}`;
    }
  }

  step(state: JobState, { call, end }: JobCall): readonly JobState[] {
    switch (call.kind) {
      case 'submit':
        return submitted(state, call);
      case 'joined':
        return state.phase === 'live' ? [state] : [];
      case 'seen':
        return this.#seen(state, call.seen, call.mayBeGone);
      case 'granted':
        return this.#granted(state, call.token, call.attempt);
      case 'settle':
        return this.#settled(state, call);
      default: {
        const after = this.#changed(state, call.kind);
        // Refused: without an answer that may have been so.
        return after.length === 0 && end === Number.POSITIVE_INFINITY ? [state] : after;
      }
    }
  }

  #seen(state: JobState, seen: Seen | 'absent', mayBeGone: boolean): readonly JobState[] {
    if (seen === 'absent') {
      if (state.phase === 'absent' || state.phase === 'gone') return [state];
      if (!mayBeGone) return [];
      return [{ phase: 'gone', settled: state.settled }];
    }
    if (state.phase === 'live')
      return isEnd(seen.state) ? this.#endedBySelf(state, seen) : this.#reached(state, seen);
    if (state.phase !== 'ended' || state.state !== seen.state || state.result !== seen.result) return [];
    if (state.errorCode !== null && state.errorCode !== seen.errorCode) return [];
    if (state.attempt !== null && state.attempt !== seen.attempt) return [];
    return [{ ...state, errorCode: seen.errorCode, attempt: seen.attempt }];
  }

  /** The live state that was seen, if the cluster can have brought the job there by itself. */
  #reached(from: Live, { state, attempt }: Seen): readonly JobState[] {
    if (attempt > this.#traits.maxAttempts) return [];
    const { kind, attempt: before } = from;
    if (from.cancelling) {
      // It runs until its worker lets go, and is not given out again.
      const same = from.token === 0 ? attempt >= before : attempt === before;
      return state === 'running' && same ? [{ ...from, attempt }] : [];
    }
    const elsewhere: Live = { ...from, kind: state as Live['kind'], attempt, token: 0 };
    if (state === kind && attempt === before) {
      return kind === 'running' && from.token !== 0 ? [from, elsewhere] : [from];
    }
    return attempt >= least(from, elsewhere.kind) ? [elsewhere] : [];
  }

  /** The end that was seen, if it needs nobody's word. */
  #endedBySelf(from: Live, { state, result, errorCode, attempt }: Seen): readonly JobState[] {
    const { maxAttempts, fewestAttempts, mayBeAbandoned, mayExpire } = this.#traits;
    const end = {
      phase: 'ended',
      state,
      result,
      errorCode,
      attempt,
      granted: from.granted,
      settled: from.settled,
    } as const;
    if (attempt > maxAttempts) return [];
    switch (state) {
      case 'failed': {
        const usedUp = mayBeAbandoned || attempt >= fewestAttempts;
        return !from.cancelling && isLossCode(errorCode) && usedUp && attempt >= least(from, 'running')
          ? [end]
          : [];
      }
      case 'cancelled':
        return from.cancelling || mayBeAbandoned ? [end] : [];
      case 'expired':
        return !from.cancelling && mayExpire && least(from, 'queued') === 0 ? [end] : [];
      default:
        return [];
    }
  }

  #granted(state: JobState, token: number, attempt: number): readonly JobState[] {
    if (state.phase !== 'live' || state.cancelling || token <= state.granted) return [];
    if (attempt > this.#traits.maxAttempts || attempt - 1 < least(state, 'queued')) return [];
    return [{ ...state, kind: 'running', attempt, token, granted: token }];
  }

  #settled(state: JobState, call: Extract<JobCall['call'], { kind: 'settle' }>): readonly JobState[] {
    const { token, outcome, result } = call;
    const said = `${token} ${outcome} ${result}`;
    const again = token !== 0 && 'settled' in state && state.settled === said ? [state] : [];
    if (state.phase !== 'live') return again;
    if (token !== 0 && (state.kind !== 'running' || state.token !== token)) return again;
    // Without a token it is not known which lease it was: the fewest attempts stand for all.
    const attempt = token === 0 ? least(state, 'running') : state.attempt;
    const { granted } = state;
    const end = (as: SeenState, results = ''): JobState => ({
      phase: 'ended',
      state: as,
      result: results,
      errorCode: as === 'succeeded' ? '' : null,
      attempt: null,
      granted,
      settled: said,
    });
    const waiting = (kind: 'queued' | 'scheduled', attempts: number): JobState => ({
      ...state,
      kind,
      attempt: attempts,
      token: 0,
      settled: said,
    });
    if (outcome === 'complete') return [end('succeeded', result)];
    if (state.cancelling) return [end('cancelled')];
    const { maxAttempts, fewestAttempts, mayBeAbandoned } = this.#traits;
    if (outcome === 'release') {
      const back = waiting('queued', Math.max(0, attempt - 1));
      return mayBeAbandoned ? [back, end('cancelled')] : [back];
    }
    const after: JobState[] = [];
    if (call.retryable && attempt < maxAttempts) after.push(waiting('scheduled', attempt));
    const usedUp =
      mayBeAbandoned || token === 0 || attempt >= fewestAttempts || maxAttempts === Number.POSITIVE_INFINITY;
    if (!call.retryable || usedUp) after.push(end('failed'));
    return after;
  }

  #changed(state: JobState, kind: 'cancel' | 'retry' | 'delete'): readonly JobState[] {
    if (kind === 'cancel') return this.#cancelled(state);
    if (state.phase === 'live') {
      // It may have ended by itself before, and waits for nobody's word.
      const settled = { phase: 'gone', settled: state.settled } as const;
      return kind === 'delete' ? [settled] : [retried(state)];
    }
    if (state.phase !== 'ended') return [];
    if (kind === 'delete') return [{ phase: 'gone', settled: state.settled }];
    return state.state === 'succeeded' ? [] : [retried(state)];
  }

  #cancelled(state: JobState): readonly JobState[] {
    if (state.phase === 'ended') return state.state === 'cancelled' ? [state] : [];
    if (state.phase !== 'live') return [];
    const { granted, settled } = state;
    const ended = {
      phase: 'ended',
      state: 'cancelled',
      result: '',
      errorCode: null,
      attempt: null,
      granted,
      settled,
    } as const;
    if (state.cancelling) return [state, ended];
    const stopping: JobState = {
      ...state,
      kind: 'running',
      attempt: least(state, 'running'),
      token: 0,
      cancelling: true,
    };
    const own: JobState[] =
      state.kind === 'running' && state.token !== 0 ? [{ ...state, cancelling: true }] : [];
    return [...own, stopping, ended];
  }
}

function fresh(kind: 'scheduled' | 'queued'): Live {
  return { phase: 'live', kind, attempt: 0, token: 0, granted: 0, cancelling: false, settled: '' };
}

function submitted(
  state: JobState,
  { delayed, answer }: Extract<JobCall['call'], { kind: 'submit' }>,
): readonly JobState[] {
  if (state.phase === 'absent') return [fresh(delayed ? 'scheduled' : 'queued')];
  return answer === 'created' ? [] : [state];
}

function retried({ granted, settled }: { readonly granted: number; readonly settled: string }): Live {
  return { ...fresh('queued'), granted, settled };
}

/** The fewest attempts with which the job can be of this kind, the cluster moving it by itself. */
function least({ kind: from, attempt }: Live, kind: Live['kind']): number {
  switch (from) {
    case 'running':
      return kind === 'queued' ? attempt - 1 : attempt;
    case 'queued':
      return kind === 'queued' ? attempt : attempt + 1;
    case 'scheduled':
      return kind === 'running' ? attempt + 1 : attempt;
  }
}
