import type {
  Fate,
  History,
  HistoryEvent,
  Read,
  Seen,
  SeenState,
  Settle,
  Submit,
  SubmittedJob,
} from '../../../src/checker/index.js';
import { PROMISES } from './bed.js';
import { Dice } from './dice.js';

/*
 * A cluster as it is promised, in a few hundred lines: one thing after the other, in one list of things to come. What
 * clients and workers see of it is noted with what makes a history hard to judge: calls that overlap, answers that get
 * lost, leases that never arrive, nodes that are behind, and a clock that is off.
 */

interface Job {
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

interface Worker {
  readonly name: string;
  readonly gearman: boolean;
  free: number;
}

interface Watch {
  readonly name: string;
  readonly delay: number;
  over: boolean;
}

const FUNCTIONS = ['mail', 'resize'];
const GEARMAN = 'gearman';
const NODES = ['n1', 'n2', 'n3'];
const BUSY_MS = 20_000;

export class Reference {
  readonly #dice: Dice;
  readonly #toCome: { readonly at: number; readonly order: number; readonly act: () => void }[] = [];
  readonly #events: { readonly at: number; readonly order: number; readonly event: HistoryEvent }[] = [];
  readonly #jobs = new Map<string, Job>();
  readonly #aliases = new Map<string, string>();
  readonly #waiting: Job[] = [];
  readonly #workers: Worker[];
  readonly #streams = new Map<string, { position: number; effect: number }>();
  readonly #offset: number;
  #now = 0;
  #order = 0;
  #token = 0;
  #names = 0;

  constructor(seed: number) {
    this.#dice = new Dice(seed);
    this.#offset = this.#dice.between(-PROMISES.skewMs, PROMISES.skewMs);
    this.#workers = [0, 1, 2, 3].map((i) => ({ name: `w${i}`, gearman: i === 3, free: 2 }));
  }

  /** The history of a life with so many submissions. */
  run(submissions: number): History {
    for (let i = 0; i < submissions; i++) this.#at(this.#dice.below(BUSY_MS), () => this.#client());
    for (let i = 0; i < submissions; i++) this.#at(this.#dice.below(BUSY_MS), () => this.#look());
    for (let i = 0; i < submissions / 3; i++) this.#at(this.#dice.below(BUSY_MS), () => this.#operator());
    for (let minute = 0; minute < 3; minute++) this.#at(minute * 6_000, () => this.#schedule(minute));
    while (this.#toCome.length > 0) {
      const next = this.#toCome.pop()!;
      this.#now = next.at;
      next.act();
      this.#match();
    }
    this.#now += 50;
    for (const job of [...this.#jobs.values()]) {
      for (const node of NODES) {
        const seen = job.gone ? 'absent' : seenOf(job);
        this.#note({ type: 'last', node, job: job.spec.job, at: this.#now, seen, madeBy: job.madeBy });
      }
    }
    this.#events.sort((a, b) => a.at - b.at || a.order - b.order);
    return { events: this.#events.map(({ event }) => event), promises: PROMISES };
  }

  #at(at: number, act: () => void): void {
    const entry = { at: Math.max(at, this.#now), order: ++this.#order, act };
    // Latest first.
    let i = this.#toCome.length;
    while (i > 0 && this.#toCome[i - 1]!.at <= entry.at) i--;
    this.#toCome.splice(i, 0, entry);
  }

  #after(delay: number, act: () => void): void {
    this.#at(this.#now + delay, act);
  }

  #note(event: HistoryEvent): void {
    const at = 'at' in event ? event.at : (event.end ?? event.begin + 5_000);
    this.#events.push({ at, order: ++this.#order, event });
  }

  /**
   * A call from now on: `act` is what it does at some moment, and returns its fate and answer; `note` notes it. Lost
   * ones are carried out or not, now or much later.
   */
  #call<T>(
    act: () => { fate: Fate; answer: T },
    note: (begin: number, end: number | null, said: { fate: Fate; answer: T } | null) => void,
    notBefore = 0,
  ): void {
    const dice = this.#dice;
    const begin = this.#now;
    if (dice.chance(40)) {
      note(begin, null, null);
      return;
    }
    const lost = dice.chance(120);
    const travel = lost && dice.chance(200) ? dice.below(2_000) : dice.below(30);
    this.#at(Math.max(begin + travel, notBefore), () => {
      const said = act();
      note(begin, lost ? null : this.#now + dice.below(30), lost ? null : said);
    });
  }

  #client(): void {
    const dice = this.#dice;
    const spec = this.#spec();
    const by = `client${dice.below(4)}`;
    const count = dice.chance(100) ? 3 : 1;
    const specs = [spec];
    for (let i = 1; i < count; i++) specs.push(this.#spec());
    this.#submit(by, specs, count > 1, 3);
  }

  #spec(): SubmittedJob {
    const dice = this.#dice;
    const job = `j${++this.#names}`;
    const gearman = dice.chance(150);
    return {
      job,
      namespace: 'default',
      function: gearman ? GEARMAN : dice.pick(FUNCTIONS),
      priority: dice.below(3) as 0 | 1 | 2,
      payload: `p${dice.below(1_000_000)}`,
      uniqueKey: dice.chance(200) ? `k${dice.below(5)}` : '',
      due: dice.chance(100) ? this.#now + dice.below(3_000) : 0,
      startDeadline: dice.chance(80) ? this.#now + dice.below(500) : 0,
      maxAttempts: dice.chance(300) ? dice.between(1, 4) : 0,
      retentionMs: dice.chance(100) ? dice.below(3_000) : -1,
      waits: false,
    };
  }

  #submit(by: string, specs: readonly SubmittedJob[], allOrNothing: boolean, tries: number): void {
    const name = `${by}-${++this.#names}`;
    const stream = this.#streams.get(by) ?? { position: 0, effect: 0 };
    this.#streams.set(by, stream);
    const positions = specs.map(() => ++stream.position);
    let effect = this.#now;
    const act = () => {
      const refused = this.#dice.chance(30);
      const answers = specs.map((spec) => (refused ? null : this.#accept(spec, '')));
      return { fate: refused ? ('not-applied' as const) : ('done' as const), answer: answers };
    };
    effect = Math.max(effect, stream.effect);
    stream.effect = effect + 30;
    this.#call(
      act,
      (begin, end, said) => {
        specs.forEach((spec, i) => {
          const event: Submit = {
            type: 'submit',
            by,
            node: 'n1',
            begin,
            end,
            fate: said?.fate ?? 'unknown',
            error: said?.fate === 'not-applied' ? 'LIMIT_REACHED' : '',
            ...spec,
            stream: by,
            position: positions[i]!,
            call: name,
            allOrNothing,
            answer: said?.answer[i] ?? null,
          };
          this.#note(event);
        });
        const again = said === null ? tries > 0 : this.#dice.chance(50);
        if (again) this.#at((end ?? this.#now) + 40, () => this.#submit(by, specs, allOrNothing, tries - 1));
      },
      effect,
    );
  }

  #accept(spec: SubmittedJob, madeBy: string): NonNullable<Submit['answer']> {
    const alias = this.#aliases.get(spec.job);
    if (alias !== undefined) return { job: alias, disposition: 'coalesced' };
    if (this.#jobs.has(spec.job)) return { job: spec.job, disposition: 'same-id' };
    const holder =
      spec.uniqueKey === ''
        ? undefined
        : [...this.#jobs.values()].find(
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
    this.#jobs.set(spec.job, job);
    const wall = this.#now + this.#offset;
    if (job.deadline !== 0 && job.deadline <= wall) this.#end(job, 'expired', '', 'EXPIRED');
    else if (spec.due !== 0 && spec.due > wall) this.#wait(job, spec.due - wall);
    else this.#queue(job);
    if (job.deadline > wall) {
      this.#after(job.deadline - wall, () => {
        const waits = job.state === 'queued' || job.state === 'scheduled';
        if (waits && job.attempt === 0 && job.deadline !== 0) this.#end(job, 'expired', '', 'EXPIRED');
      });
    }
    return { job: spec.job, disposition: 'created' };
  }

  #schedule(minute: number): void {
    const spec = {
      ...this.#spec(),
      uniqueKey: '',
      due: 0,
      startDeadline: 0,
      maxAttempts: 0,
      function: 'mail',
    };
    this.#accept(spec, `s/${minute}`);
  }

  #enter(
    job: Job,
    state: SeenState,
    event: 'queued' | 'started' | 'attempt-failed' | 'ended' | 'cancelling' | null,
  ): void {
    job.state = state;
    const seen = seenOf(job);
    job.past.push({ at: this.#now, seen });
    if (event === null) return;
    for (const watch of job.watches) {
      if (watch.over) continue;
      this.#note({
        type: 'watched',
        at: this.#now + watch.delay,
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
    this.#after(delay, () => {
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
    this.#after(retention, () => {
      if (past.length === length) this.#drop(job);
    });
  }

  #drop(job: Job): void {
    job.gone = true;
    job.past.push({ at: this.#now, seen: 'absent' });
  }

  #match(): void {
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
      this.#deliver(job, worker, job.token);
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
        if (able.length > 0) return { job, worker: this.#dice.pick(able) };
      }
    }
    return null;
  }

  #deliver(job: Job, worker: Worker, token: number): void {
    const dice = this.#dice;
    const lose = (act: () => void) => {
      if (job.token === token) act();
    };
    if (dice.chance(40)) {
      // Lost on its way: the worker is cut off, comes back without it, and nothing is counted.
      this.#after(dice.below(200), () => {
        this.#note({ type: 'interrupted', at: this.#now, worker: worker.name, node: 'n1' });
        lose(() => this.#putBack(job));
      });
      return;
    }
    if (dice.chance(15)) {
      this.#after(PROMISES.unseenLeaseMs!, () => lose(() => this.#putBack(job)));
      return;
    }
    const { attempt, spec } = job;
    this.#after(dice.chance(50) ? dice.below(1_000) : dice.below(20), () => {
      const gearman = worker.gearman;
      this.#note({
        type: 'lease',
        at: this.#now,
        worker: worker.name,
        node: 'n1',
        job: spec.job,
        token: gearman ? 0 : token,
        attempt: gearman ? 0 : attempt,
        function: spec.function,
        payload: spec.payload,
      });
      if (dice.chance(60)) {
        this.#after(dice.below(500), () => {
          if (job.token === token && dice.chance(500)) {
            this.#note({
              type: 'lease-lost',
              at: this.#now + dice.below(50),
              worker: worker.name,
              token: gearman ? 0 : token,
            });
          }
          lose(() => this.#failed(job, true, dice.pick(['WORKER_LOST', 'TIMEOUT']), 0));
        });
        // A worker that hangs may speak up all the same.
        if (dice.chance(500)) return;
      }
      this.#after(dice.below(300), () => this.#work(job, worker, token));
    });
  }

  #work(job: Job, worker: Worker, token: number): void {
    const dice = this.#dice;
    const outcome = dice.chance(150) ? 'fail' : dice.chance(60) ? 'release' : 'complete';
    const said: Settle = {
      type: 'settle',
      by: worker.name,
      node: 'n1',
      begin: 0,
      end: null,
      fate: 'unknown',
      error: '',
      job: job.spec.job,
      token: worker.gearman ? 0 : token,
      outcome,
      result: outcome === 'complete' ? `r${dice.below(1_000_000)}` : '',
      retryable: outcome === 'fail' && dice.chance(800),
    };
    this.#settle(job, token, said, 3);
  }

  #settle(job: Job, token: number, said: Settle, tries: number): void {
    this.#call(
      () => ({
        fate: this.#carryOut(job, token, said) ? ('done' as const) : ('not-applied' as const),
        answer: null,
      }),
      (begin, end, answer) => {
        const fate =
          said.token === 0 && answer?.fate !== 'not-applied' ? 'unknown' : (answer?.fate ?? 'unknown');
        this.#note({ ...said, begin, end, fate, error: fate === 'not-applied' ? 'LEASE_LOST' : '' });
        const again = answer === null ? tries > 0 : this.#dice.chance(30);
        if (again) this.#at((end ?? this.#now) + 40, () => this.#settle(job, token, said, tries - 1));
      },
    );
  }

  #carryOut(job: Job, token: number, { outcome, result, retryable }: Settle): boolean {
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
      this.#putBack(job);
    } else {
      this.#failed(job, retryable, 'E', this.#dice.below(300));
    }
    return true;
  }

  #free(job: Job): void {
    job.token = 0;
    if (job.holder !== null) job.holder.free++;
    job.holder = null;
  }

  #putBack(job: Job): void {
    this.#free(job);
    if (job.cancelling) {
      this.#end(job, 'cancelled', '', 'CANCELLED');
      return;
    }
    job.attempt--;
    if (job.deadline !== 0 && job.attempt === 0 && job.deadline <= this.#now + this.#offset) {
      this.#end(job, 'expired', '', 'EXPIRED');
    } else this.#queue(job);
  }

  #failed(job: Job, retryable: boolean, code: string, pause: number): void {
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

  #some(): Job | null {
    const all = [...this.#jobs.values()];
    return all.length === 0 ? null : this.#dice.pick(this.#dice.chance(700) ? all.slice(-6) : all);
  }

  #look(): void {
    const dice = this.#dice;
    const job = this.#some();
    if (job === null) return;
    if (dice.chance(150)) {
      this.#watch(job);
      return;
    }
    const strict = dice.chance(700);
    this.#call<Read['answer']>(
      () => ({ fate: 'done', answer: this.#view(job, strict ? 0 : dice.below(400)) }),
      (begin, end, said) => {
        const consistency = strict ? 'linearizable' : 'local';
        const fate = said?.fate ?? 'unknown';
        const by = `reader${dice.below(3)}`;
        const answer = said?.answer ?? null;
        this.#note({
          type: 'read',
          by,
          node: dice.pick(NODES),
          begin,
          end,
          fate,
          error: '',
          job: job.spec.job,
          consistency,
          answer,
        });
      },
    );
  }

  /** The job as it was so long ago. */
  #view(job: Job, ago: number): Seen | 'absent' {
    let seen: Seen | 'absent' = 'absent';
    for (const one of job.past)
      if (one.at <= this.#now - ago || (ago === 0 && one.at <= this.#now)) seen = one.seen;
    return seen;
  }

  #watch(job: Job): void {
    if (job.gone) return;
    const dice = this.#dice;
    const watch: Watch = { name: `watch${++this.#names}`, delay: dice.below(200), over: false };
    const tell = (event: 'accepted' | 'started' | 'ended' | 'broken', seen: Seen | null) =>
      this.#note({
        type: 'watched',
        at: this.#now + watch.delay,
        watch: watch.name,
        node: 'n1',
        job: job.spec.job,
        event,
        seen,
      });
    tell('accepted', seenOf(job));
    if (isOver(job)) {
      tell('ended', seenOf(job));
      return;
    }
    if (job.state === 'running') tell('started', seenOf(job));
    job.watches.push(watch);
    if (dice.chance(300)) {
      this.#after(dice.below(500), () => {
        if (!watch.over) tell('broken', null);
        watch.over = true;
      });
    }
  }

  #operator(): void {
    const job = this.#some();
    if (job === null) return;
    const type = this.#dice.pick(['cancel', 'cancel', 'retry', 'delete'] as const);
    this.#call(
      () => ({ fate: this.#change(job, type) ? ('done' as const) : ('not-applied' as const), answer: null }),
      (begin, end, said) => {
        const fate = said?.fate ?? 'unknown';
        const error = fate === 'not-applied' ? 'WRONG_STATE' : '';
        this.#note({ type, by: 'operator', node: 'n1', begin, end, fate, error, job: job.spec.job });
      },
    );
  }

  #change(job: Job, type: 'cancel' | 'retry' | 'delete'): boolean {
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
    this.#after(400, () => {
      if (job.token === token && job.cancelling) this.#putBack(job);
    });
    return true;
  }

  #retry(job: Job): boolean {
    const { function: name, uniqueKey } = job.spec;
    const held = [...this.#jobs.values()].some(
      (one) =>
        uniqueKey !== '' && !isOver(one) && one.spec.function === name && one.spec.uniqueKey === uniqueKey,
    );
    if (!isOver(job) || job.state === 'succeeded' || held) return false;
    Object.assign(job, { attempt: 0, errorCode: '', result: '', cancelling: false, deadline: 0 });
    this.#queue(job);
    return true;
  }
}

function isOver({ state }: Job): boolean {
  return state === 'succeeded' || state === 'failed' || state === 'cancelled' || state === 'expired';
}

function seenOf({ state, attempt, spec, result, errorCode }: Job): Seen {
  return { state, attempt, payload: spec.payload, result, errorCode };
}
