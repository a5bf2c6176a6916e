import { expect } from 'vitest';
import { type Core, JOB_STATES, type JobView } from '../../../src/core/index.js';

const ENDED = new Set(['succeeded', 'failed', 'cancelled', 'expired']);

/** Looks at a core from outside after each entry and checks what it promises. Knows only views and effects. */
export class Judge {
  readonly #core: Core;
  /** Jobs that were accepted and whose end was not told yet. */
  readonly #open = new Set<number>();
  readonly #ends = new Map<number, string>();
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
    this.#uniqueKeys(jobs);
    this.#queues(jobs);
    this.#blobsAreThoseOfJobs(jobs);
    const { settings } = this.#core;
    const live = jobs.filter(({ state }) => !ENDED.has(state)).length;
    expect(live).toBeLessThanOrEqual(settings.jobsMax);
    expect(this.#core.counts().sessions).toBeLessThanOrEqual(settings.sessionsMax);
    expect(this.#core.counts().functions).toBeLessThanOrEqual(settings.functionsMax);
  }

  #note(line: string): void {
    const accepted = /^job (\d+) accepted$/.exec(line);
    if (accepted !== null) this.#open.add(Number(accepted[1]));
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
    expect(page.jobs.length + other.jobs.length).toBe(this.#core.counts().jobs);
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

  #leases(jobs: readonly JobView[]): void {
    const running = jobs.filter(({ state }) => state === 'running');
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
    expect(held.size).toBe(running.length);
    for (const job of running) expect(held.get(job.token)).toBe(job.seq);
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
      if (!sweeping && !queue.paused && queue.waiting.some((n) => n > 0)) {
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
