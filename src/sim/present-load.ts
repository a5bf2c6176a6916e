import type { HistoryEvent, Recorder } from '../checker/index.js';
import type { Core } from '../core/interface.js';
import type { SimCluster } from './cluster.js';
import { judgeSchedules, madeBySchedule, ScheduleHistory, SimScheduler } from './schedules.js';
import { History, NAMESPACE, SimClient, SimWorker } from './workload.js';

/** The load that there is so far, behind the face of a `Workload`; it keeps its own history and judges it itself. */
export class PresentLoad {
  readonly #cluster: SimCluster;
  readonly #history = new History();
  readonly #schedules = new ScheduleHistory();
  readonly #clients: SimClient[];
  readonly #workers: SimWorker[];
  readonly #scheduler: SimScheduler;
  readonly broken: string[] = [];

  constructor(
    cluster: SimCluster,
    _recorder: Recorder,
    options: { readonly clients: number; readonly workers: number },
  ) {
    this.#cluster = cluster;
    this.#clients = Array.from({ length: options.clients }, () => new SimClient(cluster, this.#history));
    this.#workers = Array.from(
      { length: options.workers },
      (_, i) => new SimWorker(cluster, this.#history, `w${i}`),
    );
    this.#scheduler = new SimScheduler(cluster, this.#schedules);
  }

  get operations(): number {
    return this.#history.acknowledged.size + this.#history.completed.size + this.#history.reads;
  }

  get acknowledged(): number {
    return this.#history.acknowledged.size;
  }

  start(): void {
    for (const one of [...this.#clients, ...this.#workers, this.#scheduler]) {
      void one.run().catch((error: unknown) => this.broken.push(String(error)));
    }
  }

  quiesce(): void {
    for (const client of [...this.#clients, this.#scheduler]) client.stopped = true;
  }

  stop(): void {
    for (const worker of this.#workers) worker.stopped = true;
  }

  unfinished(): string | null {
    for (const node of this.#cluster.nodes) {
      const core = node.node?.parts?.core;
      if (core === undefined) return `${node.name} is down`;
      for (const id of this.#history.acknowledged.keys()) {
        const seq = core.seqOf(NAMESPACE, id);
        const state = seq === 0 ? null : core.stateOf(seq);
        if (state === 'queued' || state === 'running' || state === 'scheduled')
          return `${id} is ${state} at ${node.name}`;
      }
    }
    return null;
  }

  /** Judges what it saw itself: its history is no checker's. */
  observe(): void {
    const outcomes = new Map<string, string>();
    for (const node of this.#cluster.nodes) {
      const core = node.node?.parts?.core;
      if (core !== undefined) this.#judge(node.name, core, outcomes);
    }
    this.broken.push(...this.#history.broken);
    for (const watch of this.#history.watches) {
      const node = this.#cluster.nodes.find((one) => one.name === watch.node)!;
      if (node.starts === watch.starts && !watch.ended())
        this.broken.push(`the watch of ${watch.id} at ${watch.node} never ended`);
    }
  }

  #judge(name: string, core: Core, outcomes: Map<string, string>): void {
    for (const id of this.#history.acknowledged.keys()) {
      const job = core.findJob(NAMESPACE, id);
      if (job === null) {
        this.broken.push(`acknowledged job ${id} is unknown to ${name}`);
        continue;
      }
      const outcome = `${job.state} ${Buffer.from(job.result).toString()} ${job.finishedWall}`;
      const before = outcomes.get(id);
      if (before !== undefined && before !== outcome)
        this.broken.push(`${id} is "${outcome}" at ${name} and "${before}" elsewhere`);
      outcomes.set(id, outcome);
    }
    for (const [id, tokens] of this.#history.completed) {
      const job = core.findJob(NAMESPACE, id);
      if (job?.state !== 'succeeded')
        this.broken.push(`completion of ${id} was accepted, it is ${job?.state ?? 'unknown'} at ${name}`);
      if (tokens.size > 1) this.broken.push(`${id} was completed under ${tokens.size} leases`);
    }
    const seen = core.listJobs({
      namespace: NAMESPACE,
      function: '',
      states: [],
      uniqueKey: '',
      pageSize: 1_000_000,
      after: 0,
      budget: 10_000_000,
    });
    const others = seen.jobs.filter((job) => !this.#history.tried.has(job.id));
    for (const job of others.filter((one) => !madeBySchedule(this.#schedules, one)))
      this.broken.push(`${name} has ${job.id}, which nobody submitted`);
    judgeSchedules(name, core, this.#schedules, others, this.broken);
  }
}

/** Submitted jobs that were acknowledged. */
export function acknowledgedIn(events: readonly HistoryEvent[]): number {
  return events.filter((event) => event.type === 'submit' && event.fate === 'done').length;
}
