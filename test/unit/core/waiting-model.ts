import { expect } from 'vitest';
import type { Core } from '../../../src/core/index.js';
import { NOBODY_WAITS } from '../../../src/core/jobs/waiters.js';

interface Waited {
  readonly counts: Map<number, number>;
  droppable: boolean;
}

const sum = ({ counts }: Waited): number => Array.from(counts.values()).reduce((a, b) => a + b, 0);

/** Who waits for which job, as it should be by what was said and asked: compared with what the core shows. */
export class WaitingModel {
  readonly #core: Core;
  readonly #graceUs: number;
  readonly #live = new Map<number, Waited>();
  readonly #departed = new Map<number, number>();
  /** By schedule, how many of its firings have joined a job that was there. */
  readonly #joined = new Map<number, number>();
  /** Jobs dropped because nobody waited. */
  dropped = 0;

  constructor(core: Core, graceMs: number) {
    this.#core = core;
    this.#graceUs = graceMs * 1000;
  }

  /** Seqs of live jobs that somebody waits for, or has. */
  get seqs(): number[] {
    return Array.from(this.#live.keys());
  }

  /**
   * One entry: its lines, by position which submissions wait, the node that spoke, and the changes it asked for by
   * seq (in an entry without submissions).
   */
  entry(
    lines: readonly string[],
    waits: readonly boolean[],
    incarnation: number,
    changes: ReadonlyMap<number, number> = new Map(),
  ): void {
    const ended: [number, Waited][] = [];
    this.#joinedBySchedules();
    for (const line of lines) {
      const [what, first, second, third] = line.split(' ');
      if (what === 'submitted')
        this.#submitted(waits[Number(first)] ?? false, second!, Number(third), incarnation);
      if (what === 'retired') this.#departed.set(Number(first), this.#core.elapsedUs + this.#graceUs);
      if (what !== 'job') continue;
      const seq = Number(first);
      const waited = this.#live.get(seq);
      if ((second === 'queued' || second === 'accepted') && waited === undefined)
        this.#live.set(seq, { counts: new Map(), droppable: false });
      if (second === 'ended') {
        this.#live.delete(seq);
        ended.push([seq, waited!]);
      }
    }
    const before = new Map([...this.#live, ...ended]);
    for (const [seq, change] of changes) {
      const waited = before.get(seq);
      if (waited === undefined) continue;
      // What has ended before the batch, by a sweep, gains nobody; what has ended by it has lost somebody.
      if (change < 0 || this.#live.has(seq)) count(waited, incarnation, change);
    }
    for (const [gone, dueUs] of this.#departed) {
      if (dueUs <= this.#core.elapsedUs) for (const waited of before.values()) waited.counts.delete(gone);
    }
    for (const [seq, waited] of ended) this.#justly(seq, waited);
    if (!this.#core.nextDue().sweeping) this.#compare();
  }

  /** Nobody waits for what a schedule submits: a job that it joined stays. Firings come before the entry's batches. */
  #joinedBySchedules(): void {
    const query = { namespace: null, pageSize: 1_000, after: 0, budget: 1_000 };
    for (const { seq, namespace, function: fn, uniqueKey, coalesced } of this.#core.listSchedules(query)
      .schedules) {
      if (coalesced === (this.#joined.get(seq) ?? 0)) continue;
      this.#joined.set(seq, coalesced);
      for (const [live, waited] of this.#live) {
        const job = this.#core.job(live);
        if (job === null || job.namespace !== namespace || job.function !== fn) continue;
        if (job.uniqueKey === uniqueKey) waited.droppable = false;
      }
    }
  }

  #submitted(waits: boolean, disposition: string, seq: number, incarnation: number): void {
    if (seq === 0) return;
    if (disposition === 'created') this.#live.set(seq, { counts: new Map(), droppable: waits });
    const waited = this.#live.get(seq);
    if (waited === undefined) return;
    if (waits) count(waited, incarnation, 1);
    else waited.droppable = false;
  }

  #justly(seq: number, waited: Waited): void {
    const job = this.#core.job(seq);
    if (job === null || job.cancelReason !== NOBODY_WAITS) return;
    this.dropped++;
    expect(job.state).toBe('cancelled');
    expect(waited.droppable, `job ${seq} may be dropped`).toBe(true);
    expect(sum(waited), `job ${seq}: nobody waits`).toBe(0);
  }

  #compare(): void {
    for (const [seq, waited] of this.#live) {
      const job = this.#core.job(seq)!;
      expect(job.waiters, `waiters of job ${seq}`).toBe(sum(waited));
      if (waited.droppable && sum(waited) === 0) expect(job.state, `job ${seq}`).toBe('running');
    }
  }
}

function count({ counts }: Waited, incarnation: number, change: number): void {
  const total = (counts.get(incarnation) ?? 0) + change;
  if (total > 0) counts.set(incarnation, total);
  else counts.delete(incarnation);
}
