import type { Seen, SeenState, Settle, Submit, SubmittedJob } from '../../../src/checker/index.js';
import { PROMISES } from './bed.js';
import type { Timeline } from './timeline.js';

/** The function whose workers show neither tokens nor attempts. */
export const GEARMAN = 'gearman';

export interface Job {
  readonly spec: SubmittedJob;
  readonly madeBy: string;
  state: SeenState;
  attempt: number;
  result: string;
  errorCode: string;
  token: number;
  holder: Worker | null;
  cancelling: boolean;
  deadline: number;
  /** The outcome that was carried out last. */
  settled: string;
  gone: boolean;
  /** What it was from a time on. */
  readonly past: { readonly at: number; readonly seen: Seen | 'absent' }[];
  readonly watches: Watch[];
}

export interface Worker {
  readonly name: string;
  readonly gearman: boolean;
  free: number;
}

export interface Watch {
  readonly name: string;
  readonly delay: number;
  over: boolean;
}

/** A cluster as it is promised, one thing after the other, by a clock that is off. */
export class Cluster {
  readonly jobs = new Map<string, Job>();
  readonly #time: Timeline;
  readonly #granted: (job: Job, worker: Worker, token: number) => void;
  readonly #aliases = new Map<string, string>();
  readonly #waiting: Job[] = [];
  readonly #workers: Worker[];
  readonly #offset: number;
  #token = 0;

  /** `granted`: a worker has got a job, and does not know it yet. */
  constructor(time: Timeline, granted: (job: Job, worker: Worker, token: number) => void) {
    this.#time = time;
    this.#granted = granted;
    this.#offset = time.dice.between(-PROMISES.skewMs, PROMISES.skewMs);
    this.#workers = [0, 1, 2, 3].map((i) => ({ name: `w${i}`, gearman: i === 3, free: 2 }));
  }

  accept(spec: SubmittedJob, madeBy: string): NonNullable<Submit['answer']> {
    const alias = this.#aliases.get(spec.job);
    if (alias !== undefined) return { job: alias, disposition: 'coalesced' };
    if (this.jobs.has(spec.job)) return { job: spec.job, disposition: 'same-id' };
    const holder =
      spec.uniqueKey === ''
        ? undefined
        : [...this.jobs.values()].find(
            (one) =>
              !isOver(one) && one.spec.function === spec.function && one.spec.uniqueKey === spec.uniqueKey,
          );
    if (holder !== undefined) {
      this.#aliases.set(spec.job, holder.spec.job);
      return { job: holder.spec.job, disposition: 'coalesced' };
    }
    const job: Job = {
      spec,
      madeBy,
      state: 'queued',
      attempt: 0,
      result: '',
      errorCode: '',
      token: 0,
      holder: null,
      cancelling: false,
      deadline: spec.startDeadline,
      settled: '',
      gone: false,
      past: [],
      watches: [],
    };
    this.jobs.set(spec.job, job);
    const wall = this.#time.now + this.#offset;
    if (job.deadline !== 0 && job.deadline <= wall) this.#end(job, 'expired', '', 'EXPIRED');
    else if (spec.due !== 0 && spec.due > wall) this.#wait(job, spec.due - wall);
    else this.#queue(job);
    if (job.deadline > wall) {
      this.#time.after(job.deadline - wall, () => {
        const waits = job.state === 'queued' || job.state === 'scheduled';
        if (waits && job.attempt === 0 && job.deadline !== 0) this.#end(job, 'expired', '', 'EXPIRED');
      });
    }
    if (spec.waits) {
      // Whoever waits for it leaves: one that does not run is dropped.
      this.#time.after(this.#time.dice.below(2_000), () => {
        if (job.state !== 'running' && !isOver(job)) this.#end(job, 'cancelled', '', 'CANCELLED');
      });
    }
    return { job: spec.job, disposition: 'created' };
  }

  #enter(
    job: Job,
    state: SeenState,
    event: 'queued' | 'started' | 'attempt-failed' | 'ended' | 'cancelling' | null,
  ): void {
    job.state = state;
    const seen = seenOf(job);
    job.past.push({ at: this.#time.now, seen });
    if (event === null) return;
    for (const watch of job.watches) {
      if (watch.over) continue;
      this.#time.note({
        type: 'watched',
        at: this.#time.now + watch.delay,
        watch: watch.name,
        node: 'n1',
        job: job.spec.job,
        event,
        seen,
      });
      if (event === 'ended') watch.over = true;
    }
  }

  #queue(job: Job, event: 'queued' | 'attempt-failed' = 'queued'): void {
    this.#enter(job, 'queued', event);
    this.#waiting.push(job);
  }

  #wait(job: Job, delay: number, event: 'attempt-failed' | null = null): void {
    this.#enter(job, 'scheduled', event);
    const { attempt } = job;
    this.#time.after(delay, () => {
      if (job.state === 'scheduled' && job.attempt === attempt) this.#queue(job);
    });
  }

  #end(job: Job, state: SeenState, result: string, errorCode: string): void {
    const at = this.#waiting.indexOf(job);
    if (at >= 0) this.#waiting.splice(at, 1);
    job.result = result;
    job.errorCode = errorCode;
    this.#enter(job, state, 'ended');
    const { past } = job;
    const length = past.length;
    const own = job.spec.retentionMs;
    const retention = own >= 0 ? own : state === 'failed' ? PROMISES.failedRetentionMs : PROMISES.retentionMs;
    const drop = () => {
      if (past.length === length) this.#drop(job);
    };
    this.#time.at(this.#time.now + retention, drop, false);
  }

  #drop(job: Job): void {
    job.gone = true;
    job.past.push({ at: this.#time.now, seen: 'absent' });
  }

  match(): void {
    for (;;) {
      const best = this.#best();
      if (best === null) return;
      const { job, worker } = best;
      this.#waiting.splice(this.#waiting.indexOf(job), 1);
      worker.free--;
      job.token = ++this.#token;
      job.holder = worker;
      job.attempt++;
      this.#enter(job, 'running', 'started');
      this.#granted(job, worker, job.token);
    }
  }

  #best(): { job: Job; worker: Worker } | null {
    const seen = new Set<string>();
    for (const priority of [0, 1, 2]) {
      for (const job of this.#waiting) {
        if (job.spec.priority !== priority || seen.has(job.spec.function)) continue;
        seen.add(job.spec.function);
        const able = this.#workers.filter(
          (one) => one.free > 0 && one.gearman === (job.spec.function === GEARMAN),
        );
        if (able.length > 0) return { job, worker: this.#time.dice.pick(able) };
      }
    }
    return null;
  }

  carryOut(job: Job, token: number, { outcome, result, retryable }: Settle): boolean {
    const words = `${token} ${outcome} ${result}`;
    if (job.token !== token) return job.settled === words;
    job.settled = words;
    if (outcome === 'complete') {
      this.#free(job);
      this.#end(job, 'succeeded', result, '');
    } else if (job.cancelling) {
      this.#free(job);
      this.#end(job, 'cancelled', '', 'CANCELLED');
    } else if (outcome === 'release') {
      this.putBack(job);
    } else {
      this.failed(job, retryable, 'E', this.#time.dice.below(300));
    }
    return true;
  }

  #free(job: Job): void {
    job.token = 0;
    if (job.holder !== null) job.holder.free++;
    job.holder = null;
  }

  putBack(job: Job): void {
    this.#free(job);
    if (job.cancelling) {
      this.#end(job, 'cancelled', '', 'CANCELLED');
      return;
    }
    job.attempt--;
    if (job.deadline !== 0 && job.attempt === 0 && job.deadline <= this.#time.now + this.#offset) {
      this.#end(job, 'expired', '', 'EXPIRED');
    } else this.#queue(job);
  }

  failed(job: Job, retryable: boolean, code: string, pause: number): void {
    this.#free(job);
    const most = job.spec.maxAttempts || PROMISES.maxAttempts;
    if (job.cancelling) this.#end(job, 'cancelled', '', 'CANCELLED');
    else if (!retryable || job.attempt >= most) this.#end(job, 'failed', '', code);
    else {
      job.errorCode = code;
      if (pause > 0) this.#wait(job, pause, 'attempt-failed');
      else this.#queue(job, 'attempt-failed');
    }
  }

  some(): Job | null {
    const all = [...this.jobs.values()];
    return all.length === 0 ? null : this.#time.dice.pick(this.#time.dice.chance(700) ? all.slice(-6) : all);
  }

  /** The job as it was so long ago. */
  view(job: Job, ago: number): Seen | 'absent' {
    let seen: Seen | 'absent' = 'absent';
    for (const one of job.past)
      if (one.at <= this.#time.now - ago || (ago === 0 && one.at <= this.#time.now)) seen = one.seen;
    return seen;
  }

  change(job: Job, type: 'cancel' | 'retry' | 'delete'): boolean {
    if (job.gone) return false;
    if (type === 'delete') {
      if (!isOver(job)) return false;
      this.#drop(job);
      return true;
    }
    if (type === 'retry') return this.#retry(job);
    if (job.state === 'cancelled') return true;
    if (isOver(job)) return false;
    if (job.state !== 'running') {
      this.#end(job, 'cancelled', '', 'CANCELLED');
      return true;
    }
    job.cancelling = true;
    this.#enter(job, 'running', 'cancelling');
    const { token } = job;
    this.#time.after(400, () => {
      if (job.token === token && job.cancelling) this.putBack(job);
    });
    return true;
  }

  #retry(job: Job): boolean {
    const { function: name, uniqueKey } = job.spec;
    const held = [...this.jobs.values()].some(
      (one) =>
        uniqueKey !== '' && !isOver(one) && one.spec.function === name && one.spec.uniqueKey === uniqueKey,
    );
    if (!isOver(job) || job.state === 'succeeded' || held) return false;
    Object.assign(job, { attempt: 0, errorCode: '', result: '', cancelling: false, deadline: 0 });
    this.#queue(job);
    return true;
  }
}

export function isOver({ state }: Job): boolean {
  return state === 'succeeded' || state === 'failed' || state === 'cancelled' || state === 'expired';
}

export function seenOf({ state, attempt, spec, result, errorCode }: Job): Seen {
  return { state, attempt, payload: spec.payload, result, errorCode };
}
