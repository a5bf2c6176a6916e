import { expect } from 'vitest';
import { type Core, JOB_STATES, type JobView } from '../../../src/core/index.js';

const ENDED = new Set(['succeeded', 'failed', 'cancelled', 'expired']);

/** Looks at a core from outside after each entry and checks what it promises. Knows only views and effects. */
export class Judge {
  readonly #core: Core;
  /** Jobs that were accepted and whose end was not told yet. */
  readonly #open = new Set<number>();
  readonly #ends = new Map<number, string>();
  readonly #ids = new Set<string>();
  #lastToken = 0;
  /** Blobs that were taken and not released, with their sizes. */
  readonly #blobs = new Map<string, number>();

  constructor(core: Core) {
    this.#core = core;
  }

  /** Ids of all sessions, ascending. */
  sessions(): number[] {
    const ids: number[] = [];
    for (let id = 1; id < 1000 && ids.length < this.#core.counts().sessions; id++) {
      if (this.#core.session(id) !== null) ids.push(id);
    }
    return ids;
  }

  look(lines: readonly string[]): void {
    for (const line of lines) this.#note(line);
    const jobs = this.#jobs();
    this.#everyJobIsSomewhere(jobs);
    this.#leases(jobs);
    this.#assigned(jobs);
    this.#uniqueKeys(jobs);
    this.#queues(jobs);
    this.#blobsAreThoseOfJobs(jobs);
    const { settings } = this.#core;
    const live = jobs.filter(({ state }) => !ENDED.has(state)).length;
    expect(live).toBeLessThanOrEqual(settings.jobsMax);
    expect(this.#core.counts().sessions).toBeLessThanOrEqual(settings.sessionsMax);
    expect(this.#core.counts().functions).toBeLessThanOrEqual(settings.functionsMax);
    expect(this.#core.counts().schedules).toBeLessThanOrEqual(settings.schedulesMax);
  }

  #note(line: string): void {
    const accepted = /^job (\d+) accepted$/.exec(line);
    if (accepted !== null) {
      this.#underLimit(Number(accepted[1]));
      this.#open.add(Number(accepted[1]));
      // Also what schedules make: the id says for which minute of which schedule.
      const id = this.#core.job(Number(accepted[1]))?.id;
      if (id !== undefined) {
        expect(this.#ids.has(id), `${id} was accepted once`).toBe(false);
        this.#ids.add(id);
      }
    }
    const ended = /^job (\d+) ended$/.exec(line);
    if (ended !== null) {
      expect(this.#open.delete(Number(ended[1])), `${line}: it was live`).toBe(true);
    }
    const queued = /^job (\d+) queued$/.exec(line);
    if (queued !== null && !this.#open.has(Number(queued[1]))) {
      // `retry` of an ended job.
      this.#open.add(Number(queued[1]));
      this.#ends.delete(Number(queued[1]));
    }
    const taken = /^blob taken (\w+) (\d+)$/.exec(line);
    if (taken !== null) {
      expect(this.#blobs.has(taken[1]!), `${line}: by one job`).toBe(false);
      this.#blobs.set(taken[1]!, Number(taken[2]));
    }
    const released = /^blob released (\w+)$/.exec(line);
    if (released !== null) expect(this.#blobs.delete(released[1]!), `${line}: it was taken`).toBe(true);
    const token = /^assigned .* token (\d+)$/.exec(line);
    if (token !== null) {
      expect(Number(token[1]), 'tokens ascend').toBeGreaterThan(this.#lastToken);
      this.#lastToken = Number(token[1]);
    }
  }

  /** All live jobs of the function, in the order of what was said, against the limit of the priority submitted. */
  #underLimit(seq: number): void {
    const job = this.#core.job(seq);
    if (job === null) return;
    const limit = this.#core.queue(job.namespace, job.function)?.jobsMax[job.priority] ?? 0;
    if (limit === 0) return;
    let live = 0;
    for (const other of this.#open) {
      const { namespace, function: fn } = this.#core.job(other) ?? {};
      if (namespace === job.namespace && fn === job.function) live++;
    }
    expect(live, `job ${seq}: the limit of its queue`).toBeLessThan(limit);
  }

  #jobs(): readonly JobView[] {
    const page = this.#core.listJobs({
      namespace: 'default',
      function: '',
      states: [],
      uniqueKey: '',
      pageSize: 10_000,
      after: 0,
      budget: 1_000_000,
    });
    const other = this.#core.listJobs({
      namespace: 'other',
      function: '',
      states: [],
      uniqueKey: '',
      pageSize: 10_000,
      after: 0,
      budget: 1_000_000,
    });
    expect(page.next).toBe(0);
    // Those of dropped functions are seen no more, and go little by little.
    const seen = page.jobs.length + other.jobs.length;
    expect(seen).toBeLessThanOrEqual(this.#core.counts().jobs);
    if (!this.#core.nextDue().sweeping) expect(seen).toBe(this.#core.counts().jobs);
    return [...page.jobs, ...other.jobs];
  }

  #everyJobIsSomewhere(jobs: readonly JobView[]): void {
    const live = jobs.filter(({ state }) => !ENDED.has(state)).map(({ seq }) => seq);
    expect(live.sort((a, b) => a - b)).toEqual(Array.from(this.#open).sort((a, b) => a - b));
    for (const job of jobs) {
      if (!ENDED.has(job.state)) continue;
      const before = this.#ends.get(job.seq);
      const now = `${job.state} ${job.finishedWall} ${job.result.length} ${job.error?.code}`;
      if (before !== undefined) expect(now, 'an outcome does not change').toBe(before);
      this.#ends.set(job.seq, now);
    }
    expect(jobs.filter(({ state }) => ENDED.has(state)).length).toBeLessThanOrEqual(
      this.#core.settings.retainedJobsMax + (this.#core.nextDue().sweeping ? 100 : 0),
    );
  }

  /** What its worker is told is what everybody else may read. */
  #assigned(jobs: readonly JobView[]): void {
    for (const job of jobs) {
      if (job.token === 0) continue;
      const { maxAttempts, ...told } = this.#core.assignedJob(job.seq)!;
      expect(job).toMatchObject(told);
      expect(maxAttempts).toBe(job.retry.maxAttempts);
    }
  }

  #leases(jobs: readonly JobView[]): void {
    const running = jobs.filter(({ state }) => state === 'running');
    const reserved = jobs.filter(({ state, token }) => state === 'queued' && token !== 0);
    expect(jobs.filter(({ token }) => token !== 0)).toHaveLength(running.length + reserved.length);
    const held = new Map<number, number>();
    for (const id of this.sessions()) {
      const session = this.#core.session(id)!;
      const tokens = this.#core.heldTokens(id);
      expect(tokens.length).toBe(session.held);
      expect([...tokens].sort((a, b) => a - b)).toEqual(tokens);
      const perFunction = new Map<string, number>();
      for (const token of tokens) {
        expect(held.has(token), 'one session holds a lease').toBe(false);
        const seq = this.#core.seqOfToken(token);
        held.set(token, seq);
        const fn = this.#core.job(seq)!.function;
        perFunction.set(fn, (perFunction.get(fn) ?? 0) + 1);
      }
      expect(session.credit).toBeGreaterThanOrEqual(0);
    }
    expect(held.size).toBe(running.length + reserved.length);
    for (const job of [...running, ...reserved]) expect(held.get(job.token)).toBe(job.seq);
    for (const job of reserved) expect(this.#core.session(job.session)!.reserves).toBe(true);
    expect(running.length).toBe(this.#core.counts().running);
  }

  #blobsAreThoseOfJobs(jobs: readonly JobView[]): void {
    const named = jobs.flatMap(({ payloadBlob, resultBlob }) =>
      [payloadBlob, resultBlob].flatMap((ref) => (ref === null ? [] : [ref.id])),
    );
    expect(named.sort()).toEqual([...this.#blobs.keys()].sort());
    const bytes = [...this.#blobs.values()].reduce((a, b) => a + b, 0);
    expect(this.#core.counts()).toMatchObject({ blobs: this.#blobs.size, blobBytes: bytes });
    expect(bytes).toBeLessThanOrEqual(this.#core.settings.blobsTotalBytesMax);
  }

  #uniqueKeys(jobs: readonly JobView[]): void {
    const seen = new Set<string>();
    for (const job of jobs) {
      if (job.uniqueKey === '' || ENDED.has(job.state)) continue;
      const key = `${job.namespace}/${job.function}/${job.uniqueKey}`;
      expect(seen.has(key), `one live job for ${key}`).toBe(false);
      seen.add(key);
    }
  }

  #queues(jobs: readonly JobView[]): void {
    const { sweeping } = this.#core.nextDue();
    for (const queue of this.#core.queues(null)) {
      const mine = jobs.filter((job) => job.namespace === queue.namespace && job.function === queue.function);
      for (const state of JOB_STATES) {
        const count = mine.filter((job) => job.state === state).length;
        const told = state === 'queued' ? queue.waiting.reduce((a, b) => a + b) : queue[state];
        expect(told, `${queue.function}: ${state}`).toBe(count);
      }
      for (const priority of [0, 1, 2]) {
        const waiting = mine.filter((job) => job.state === 'queued' && job.priority === priority).length;
        expect(queue.waiting[priority]).toBe(waiting);
      }
      const { totals } = queue;
      expect(totals.submitted).toBeGreaterThanOrEqual(mine.length);
      // Nobody waits for a job while a job waits for somebody, but for limits of sessions on a function.
      const unheld = mine.some(({ state, token }) => state === 'queued' && token === 0);
      if (!sweeping && !queue.paused && unheld) {
        const free = this.sessions()
          .map((id) => this.#core.session(id)!)
          .filter((session) => session.credit > 0 && session.namespace === queue.namespace)
          .filter((session) => {
            const spec = session.functions.find(({ name }) => name === queue.function);
            if (spec === undefined) return false;
            if (spec.concurrency === 0) return true;
            const runs = this.#core
              .heldTokens(session.id)
              .filter((token) => this.#core.job(this.#core.seqOfToken(token))!.function === queue.function);
            return runs.length < spec.concurrency;
          });
        expect(free.map(({ id }) => id)).toEqual([]);
      }
    }
  }
}
