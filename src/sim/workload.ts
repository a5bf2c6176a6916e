import { UlidSource } from '../base/ulid.js';
import type { FunctionSpec, JobSpec } from '../core/types.js';
import type { Assignment, JobWatcher, OutcomeBySession, SessionPort, WorkerSession } from '../node/index.js';
import type { SimCluster, SimNode } from './cluster.js';
import type { SeededRandom } from './random.js';
import { EPOCH_WALL_MS, type World } from './world.js';

export const NAMESPACE = 'default';
export const FUNCTIONS = ['resize', 'mail', 'index'];
const CALL_MS = 5_000;

/** What clients and workers saw: the checker's evidence. */
export class History {
  /** Job ids whose submission was acknowledged, with the number of acknowledgements. */
  readonly acknowledged = new Map<string, number>();
  /** Job ids a client ever tried to submit. */
  readonly tried = new Set<string>();
  /** Accepted outcomes by job id: token of each. */
  readonly completed = new Map<string, Set<number>>();
  /** Lease tokens seen by workers, by job id, in order of arrival. */
  readonly leases = new Map<string, number[]>();
  /** Watches that were opened at one life of a node. */
  readonly watches: { id: string; node: string; starts: number; ended: () => boolean }[] = [];
  /** Promises seen broken while it happened. */
  readonly broken: string[] = [];
  unknown = 0;
  reads = 0;
  watched = 0;
}

/** Fails after `ms`, as a client's deadline does. */
export function within<T>(world: World, ms: number, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = world.after(ms, () => reject(new Error('deadline')));
    work.then(resolve, reject).finally(() => timer.cancel());
  });
}

export class SimClient {
  readonly #cluster: SimCluster;
  readonly #history: History;
  readonly #random: SeededRandom;
  readonly #ulids: UlidSource;
  stopped = false;

  constructor(cluster: SimCluster, history: History) {
    this.#cluster = cluster;
    this.#history = history;
    this.#random = cluster.world.random.fork();
    this.#ulids = new UlidSource(this.#random);
  }

  /** Submits frames of jobs until stopped; a frame is repeated with the same ids until its outcome is known. */
  async run(): Promise<void> {
    const { world } = this.#cluster;
    while (!this.stopped) {
      const specs: JobSpec[] = [];
      for (let i = this.#random.below(6); i >= 0; i--) specs.push(this.#spec());
      for (const spec of specs) this.#history.tried.add(spec.id);
      await this.#submit(specs);
      await world.sleep(this.#random.between(1, 60));
    }
  }

  async #submit(specs: readonly JobSpec[]): Promise<void> {
    const { world } = this.#cluster;
    for (;;) {
      const target = this.#random.pick(this.#cluster.nodes);
      try {
        const results = await within(
          world,
          CALL_MS,
          target.attached((node) => node.submit(NAMESPACE, specs, { allOrNothing: false })),
        );
        results.forEach((result, i) => {
          const { id } = specs[i]!;
          if (result.error === null) {
            this.#history.acknowledged.set(id, (this.#history.acknowledged.get(id) ?? 0) + 1);
          } else {
            world.note(`client refused ${result.error.code}`);
          }
        });
        const accepted = specs.filter((_, i) => results[i]!.error === null);
        if (accepted.length > 0 && this.#random.chance(300)) await this.#read(this.#random.pick(accepted).id);
        if (accepted.length > 0 && this.#random.chance(100)) void this.#watch(this.#random.pick(accepted).id);
        return;
      } catch {
        this.#history.unknown += 1;
        await world.sleep(this.#random.between(5, 200));
      }
    }
  }

  /** What was acknowledged is there for every reader that asks from now on, at whichever node; and so is its end. */
  async #read(id: string): Promise<void> {
    const { world } = this.#cluster;
    const ended = this.#history.completed.has(id);
    const target = this.#random.pick(this.#cluster.nodes);
    const read = { consistency: 'linearizable', minRevision: 0 } as const;
    try {
      const job = await within(
        world,
        CALL_MS,
        target.attached((node) => node.getJob(NAMESPACE, id, read)),
      );
      this.#history.reads += 1;
      if (ended && job.state !== 'succeeded')
        this.#broken(`${target.name} read ${id} as ${job.state} after its end`);
    } catch (error) {
      if ((error as { code?: string }).code === 'NOT_FOUND') {
        this.#broken(`${target.name} did not find ${id} after its acknowledgement`);
      }
    }
  }

  /** Follows a job: one end, and nothing behind it. */
  async #watch(id: string): Promise<void> {
    const target = this.#random.pick(this.#cluster.nodes);
    let ends = 0;
    const end = (): void => {
      ends += 1;
      this.#history.watched += 1;
      if (ends > 1) this.#broken(`the watch of ${id} at ${target.name} ended twice`);
    };
    const watcher: JobWatcher = {
      state: (kind, job) => {
        if (ends > 0) this.#broken(`the watch of ${id} at ${target.name} says ${kind} after its end`);
        const over = job.state !== 'queued' && job.state !== 'running' && job.state !== 'scheduled';
        if (kind === 'ended' && !over) this.#broken(`the watch of ${id} ended while it is ${job.state}`);
        if (kind === 'ended') end();
      },
      progress: () => {},
      data: () => {},
      dataGap: () => {},
      failed: end,
    };
    const { starts } = target;
    const opened = await target
      .attached((node) =>
        node.watchJob(NAMESPACE, id, watcher, { consistency: 'linearizable', minRevision: 0 }),
      )
      .catch(() => null);
    if (opened !== null) this.#history.watches.push({ id, node: target.name, starts, ended: () => ends > 0 });
  }

  #broken(what: string): void {
    this.#history.broken.push(what);
  }

  #spec(): JobSpec {
    const random = this.#random;
    const id = this.#ulids.next(EPOCH_WALL_MS + Math.floor(this.#cluster.world.now));
    return jobSpec(random, id, random.pick(FUNCTIONS), 3_000);
  }
}

/** A job with a payload by chance, and now and then a delay below `delayMs`. */
export function jobSpec(random: SeededRandom, id: string, fn: string, delayMs: number): JobSpec {
  return {
    id,
    function: fn,
    payload: random.bytes(random.below(200)),
    payloadBlob: null,
    contentType: 'application/octet-stream',
    metadata: [],
    priority: random.below(3) as 0 | 1 | 2,
    runAtWall: 0,
    delayMs: delayMs > 0 && random.chance(100) ? random.below(delayMs) : 0,
    uniqueKey: '',
    retry: null,
    runTimeoutMs: random.chance(50) ? 5_000 : 0,
    startDeadlineWall: 0,
    retentionMs: -1,
    traceparent: '',
    foreground: false,
    seed: random.u32(),
  };
}

export class SimWorker {
  readonly #cluster: SimCluster;
  readonly #history: History;
  readonly #random: SeededRandom;
  readonly #name: string;
  readonly #functions: readonly FunctionSpec[];
  readonly #concurrency = 8;
  readonly #held = new Map<number, string>();
  readonly #unanswered = new Map<number, OutcomeBySession>();
  stopped = false;

  constructor(cluster: SimCluster, history: History, name: string) {
    this.#cluster = cluster;
    this.#history = history;
    this.#random = cluster.world.random.fork();
    this.#name = name;
    this.#functions = FUNCTIONS.map((fn) => ({ name: fn, concurrency: 0, runTimeoutMs: 0 }));
  }

  /** Holds a session somewhere until stopped: resumes it on another node where it can, opens a new one where not. */
  async run(): Promise<void> {
    const { world } = this.#cluster;
    let session: WorkerSession | null = null;
    while (!this.stopped) {
      const target = this.#random.pick(this.#cluster.nodes);
      try {
        session = await this.#serve(target, session);
      } catch (error) {
        if ((error as { code?: string }).code === 'SESSION_UNKNOWN') session = null;
      }
      if (session === null) {
        this.#held.clear();
        this.#unanswered.clear();
      }
      await world.sleep(this.#random.between(10, 150));
    }
  }

  /** Until the connection ends. Returns the session to resume, null when it is over. */
  async #serve(target: SimNode, before: WorkerSession | null): Promise<WorkerSession | null> {
    const { world } = this.#cluster;
    const link = new Link();
    const early: Assignment[] = [];
    let live: WorkerSession | null = null;
    let granted = 0;
    const port: SessionPort = {
      assigned: (jobs) => {
        const copies = jobs.map((one) => ({
          ...one,
          job: { ...one.job, payload: Buffer.from(one.job.payload) },
        }));
        if (live === null) early.push(...copies);
        else for (const one of copies) void work(live, one).catch(() => {});
      },
      leasesLost: (lost) => {
        for (const { token } of lost) this.#held.delete(token);
      },
      cancelRequested: () => {},
      redirect: () => link.end(),
      drain: () => link.end(),
      closed: () => link.end(),
    };
    const work = async (session: WorkerSession, one: Assignment): Promise<void> => {
      this.#held.set(one.token, one.job.id);
      const seen = this.#history.leases.get(one.job.id) ?? [];
      seen.push(one.token);
      this.#history.leases.set(one.job.id, seen);
      session.ack([one.token]);
      await world.sleep(this.#random.between(0, 40));
      // A worker that hangs on a job: it is not named at the next attach, which frees it.
      if (this.#random.chance(2)) this.#held.delete(one.token);
      if (!this.#held.has(one.token)) return;
      const outcome: OutcomeBySession = this.#random.chance(30)
        ? {
            kind: 'fail',
            jobId: one.job.id,
            token: one.token,
            error: { code: 'E', message: 'by chance', details: new Uint8Array(0) },
            retryable: true,
            retryAfterMs: 0,
            dataCount: 0,
          }
        : {
            kind: 'complete',
            jobId: one.job.id,
            token: one.token,
            result: Buffer.from(one.job.id),
            resultBlob: null,
            resultContentType: 'text/plain',
            dataCount: 0,
          };
      this.#unanswered.set(one.token, outcome);
      granted += 1;
      await this.#settle(session, outcome, granted);
    };
    const session = await within(
      world,
      CALL_MS,
      target.attached((node) =>
        before === null
          ? node.openSession(
              {
                namespace: NAMESPACE,
                name: this.#name,
                functions: this.#functions,
                resumable: true,
                credit: 0,
              },
              port,
            )
          : node.attachSession(
              { session: before.id, secret: before.secret, heldTokens: [...this.#held.keys()] },
              port,
            ),
      ),
    );
    live = session;
    for (const token of session.lostTokens) this.#held.delete(token);
    granted = Math.max(0, this.#concurrency - this.#held.size);
    session.credit(granted);
    for (const one of early) void work(session, one).catch(() => {});
    // Outcomes whose answer was lost are said again, also those of leases that are over: they may have counted.
    for (const outcome of [...this.#unanswered.values()]) {
      if (this.#held.has(outcome.token)) granted += 1;
      void this.#settle(session, outcome, granted).catch(() => {});
    }
    const lifetime = world.after(this.#random.between(2_000, 30_000), () => link.end());
    await target.attached(() => link.ended).catch(() => {});
    lifetime.cancel();
    if (target.up) session.detach();
    return session;
  }

  async #settle(session: WorkerSession, outcome: OutcomeBySession, credit: number): Promise<void> {
    const [answer] = await session.settle([outcome], credit);
    this.#held.delete(outcome.token);
    this.#unanswered.delete(outcome.token);
    if (answer?.error !== null || outcome.kind !== 'complete') return;
    const tokens = this.#history.completed.get(outcome.jobId) ?? new Set();
    tokens.add(outcome.token);
    this.#history.completed.set(outcome.jobId, tokens);
  }
}

class Link {
  #end: () => void = () => {};
  readonly ended: Promise<void>;

  constructor() {
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  end(): void {
    this.#end();
  }
}
