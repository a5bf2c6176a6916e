import type { History, Read, Seen, Settle, Submit, SubmittedJob } from '../../../src/checker/index.js';
import { PROMISES } from './bed.js';
import { Cluster, GEARMAN, isOver, type Job, seenOf, type Watch, type Worker } from './cluster.js';
import { Timeline } from './timeline.js';

const FUNCTIONS = ['mail', 'resize'];
const NODES = ['n1', 'n2', 'n3'];
const BUSY_MS = 20_000;

/**
 * Clients and workers of a cluster that keeps its promises. What they see of it is noted with all that makes a history
 * hard to judge: calls that overlap, answers that get lost, leases that never arrive, and nodes that are behind.
 */
export class Reference {
  readonly #time: Timeline;
  readonly #cluster: Cluster;
  readonly #streams = new Map<string, { position: number; effect: number }>();

  constructor(seed: number) {
    this.#time = new Timeline(seed);
    this.#cluster = new Cluster(this.#time, (job, worker, token) => this.#deliver(job, worker, token));
  }

  /** The history of a life with so many submissions. */
  run(submissions: number): History {
    const time = this.#time;
    const { dice } = time;
    for (let i = 0; i < submissions; i++) time.at(dice.below(BUSY_MS), () => this.#client());
    for (let i = 0; i < submissions; i++) time.at(dice.below(BUSY_MS), () => this.#look());
    for (let i = 0; i < submissions / 3; i++) time.at(dice.below(BUSY_MS), () => this.#operator());
    for (let minute = 0; minute < 3; minute++) time.at(minute * 6_000, () => this.#schedule(minute));
    time.run(() => this.#cluster.match());
    time.now += 50;
    for (const job of this.#cluster.jobs.values()) {
      for (const node of NODES) {
        const seen = job.gone ? 'absent' : seenOf(job);
        time.note({ type: 'last', node, job: job.spec.job, at: time.now, seen, madeBy: job.madeBy });
      }
    }
    return { events: time.events(), promises: PROMISES };
  }

  #client(): void {
    const dice = this.#time.dice;
    const spec = this.#spec();
    const by = `client${dice.below(4)}`;
    const count = dice.chance(100) ? 3 : 1;
    const specs = [spec];
    for (let i = 1; i < count; i++) specs.push(this.#spec());
    this.#submit(by, specs, count > 1, 3);
  }

  #spec(): SubmittedJob {
    const dice = this.#time.dice;
    const job = `j${this.#time.name()}`;
    const gearman = dice.chance(150);
    return {
      job,
      namespace: 'default',
      function: gearman ? GEARMAN : dice.pick(FUNCTIONS),
      priority: dice.below(3) as 0 | 1 | 2,
      payload: `p${dice.below(1_000_000)}`,
      uniqueKey: dice.chance(200) ? `k${dice.below(5)}` : '',
      due: dice.chance(100) ? this.#time.now + dice.below(3_000) : 0,
      startDeadline: dice.chance(80) ? this.#time.now + dice.below(500) : 0,
      maxAttempts: dice.chance(300) ? dice.between(1, 4) : 0,
      retentionMs: dice.chance(100) ? dice.below(3_000) : -1,
      waits: dice.chance(50),
    };
  }

  #submit(by: string, specs: readonly SubmittedJob[], allOrNothing: boolean, tries: number): void {
    const name = `${by}-${this.#time.name()}`;
    const stream = this.#streams.get(by) ?? { position: 0, effect: 0 };
    this.#streams.set(by, stream);
    const positions = specs.map(() => ++stream.position);
    let effect = this.#time.now;
    const act = () => {
      const refused = this.#time.dice.chance(30);
      const answers = specs.map((spec) => (refused ? null : this.#cluster.accept(spec, '')));
      return { fate: refused ? ('not-applied' as const) : ('done' as const), answer: answers };
    };
    effect = Math.max(effect, stream.effect);
    stream.effect = effect + 30;
    this.#time.call(
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
          this.#time.note(event);
        });
        const again = said === null ? tries > 0 : this.#time.dice.chance(50);
        if (again)
          this.#time.at((end ?? this.#time.now) + 40, () => this.#submit(by, specs, allOrNothing, tries - 1));
      },
      effect,
    );
  }

  #schedule(minute: number): void {
    const spec = {
      ...this.#spec(),
      uniqueKey: '',
      due: 0,
      startDeadline: 0,
      maxAttempts: 0,
      waits: false,
      function: 'mail',
    };
    this.#cluster.accept(spec, `s/${minute}`);
  }

  #deliver(job: Job, worker: Worker, token: number): void {
    const dice = this.#time.dice;
    const lose = (act: () => void) => {
      if (job.token === token) act();
    };
    if (dice.chance(40)) {
      // Lost on its way: the worker is cut off, comes back without it, and nothing is counted.
      this.#time.after(dice.below(200), () => {
        this.#time.note({ type: 'interrupted', at: this.#time.now, worker: worker.name, node: 'n1' });
        lose(() => this.#cluster.putBack(job));
      });
      return;
    }
    if (dice.chance(15)) {
      this.#time.after(PROMISES.unseenLeaseMs!, () => lose(() => this.#cluster.putBack(job)));
      return;
    }
    const { attempt, spec } = job;
    this.#time.after(dice.chance(50) ? dice.below(1_000) : dice.below(20), () => {
      const gearman = worker.gearman;
      this.#time.note({
        type: 'lease',
        at: this.#time.now,
        worker: worker.name,
        node: 'n1',
        job: spec.job,
        token: gearman ? 0 : token,
        attempt: gearman ? 0 : attempt,
        function: spec.function,
        payload: spec.payload,
      });
      if (dice.chance(60)) {
        this.#time.after(dice.below(500), () => {
          if (job.token === token && dice.chance(500)) {
            this.#time.note({
              type: 'lease-lost',
              at: this.#time.now + dice.below(50),
              worker: worker.name,
              token: gearman ? 0 : token,
            });
          }
          lose(() => this.#cluster.failed(job, true, dice.pick(['WORKER_LOST', 'TIMEOUT']), 0));
        });
        // A worker that hangs may speak up all the same.
        if (dice.chance(500)) return;
      }
      this.#time.after(dice.below(300), () => this.#work(job, worker, token));
    });
  }

  #work(job: Job, worker: Worker, token: number): void {
    const dice = this.#time.dice;
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
    this.#time.call(
      () => ({
        fate: this.#cluster.carryOut(job, token, said) ? ('done' as const) : ('not-applied' as const),
        answer: null,
      }),
      (begin, end, answer) => {
        const fate =
          said.token === 0 && answer?.fate !== 'not-applied' ? 'unknown' : (answer?.fate ?? 'unknown');
        this.#time.note({ ...said, begin, end, fate, error: fate === 'not-applied' ? 'LEASE_LOST' : '' });
        const again = answer === null ? tries > 0 : this.#time.dice.chance(30);
        if (again)
          this.#time.at((end ?? this.#time.now) + 40, () => this.#settle(job, token, said, tries - 1));
      },
    );
  }

  /** Somebody looks at a job, and perhaps again a little later. */
  #look(again: Job | null = null): void {
    const dice = this.#time.dice;
    const job = again ?? this.#cluster.some();
    if (job === null) return;
    if (dice.chance(500)) this.#time.after(dice.below(300), () => this.#look(job));
    if (dice.chance(150)) {
      this.#watch(job);
      return;
    }
    const strict = dice.chance(700);
    this.#time.call<Read['answer']>(
      () => ({ fate: 'done', answer: this.#cluster.view(job, strict ? 0 : dice.below(400)) }),
      (begin, end, said) => {
        const consistency = strict ? 'linearizable' : 'local';
        const fate = said?.fate ?? 'unknown';
        const by = `reader${dice.below(3)}`;
        const answer = said?.answer ?? null;
        this.#time.note({
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

  #watch(job: Job): void {
    if (job.gone) return;
    const dice = this.#time.dice;
    const watch: Watch = { name: `watch${this.#time.name()}`, delay: dice.below(200), over: false };
    const tell = (event: 'accepted' | 'started' | 'ended' | 'broken', seen: Seen | null) =>
      this.#time.note({
        type: 'watched',
        at: this.#time.now + watch.delay,
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
      this.#time.after(dice.below(500), () => {
        if (!watch.over) tell('broken', null);
        watch.over = true;
      });
    }
  }

  #operator(): void {
    const job = this.#cluster.some();
    if (job === null) return;
    const type = this.#time.dice.pick(['cancel', 'cancel', 'retry', 'delete'] as const);
    this.#time.call(
      () => ({
        fate: this.#cluster.change(job, type) ? ('done' as const) : ('not-applied' as const),
        answer: null,
      }),
      (begin, end, said) => {
        const fate = said?.fate ?? 'unknown';
        const error = fate === 'not-applied' ? 'WRONG_STATE' : '';
        this.#time.note({ type, by: 'operator', node: 'n1', begin, end, fate, error, job: job.spec.job });
      },
    );
  }
}
