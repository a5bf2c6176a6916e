import { isUlid, ULID_BYTES, ulidToBytes } from '../base/ulid.js';
import { applyEntry, begin } from './apply.js';
import { findGone, findJob } from './commands/job-id.js';
import { uniqueHolder } from './commands/submit.js';
import type {
  Core,
  JobPage,
  JobQuery,
  NextDue,
  Restorer,
  SchedulePage,
  ScheduleQuery,
  SnapshotCursor,
} from './interface.js';
import { listSchedules, scheduleView } from './schedules/views.js';
import { withDefaults } from './settings.js';
import { beginSnapshot } from './snapshot/cursor.js';
import { beginRestore } from './snapshot/restore.js';
import { type JobId, State } from './state.js';
import { nextDue } from './timers.js';
import type {
  AssignedJob,
  BlobRef,
  Effects,
  JobState,
  JobView,
  NodeView,
  PayloadStore,
  QueueView,
  ScheduleView,
  SessionView,
  Settings,
  SpillOptions,
} from './types.js';
import {
  assignedJob,
  endedView,
  jobState,
  jobView,
  leaseEndWall,
  listJobs,
  queueView,
  queueViews,
  sessionView,
  waitedUs,
} from './views.js';

export interface CoreOptions {
  readonly payloads: PayloadStore;
  /** Absent: all jobs stay in memory. */
  readonly spill?: SpillOptions | undefined;
  /** Initial settings, part of the state: must be the same on all nodes of a cluster at its formation. */
  readonly settings?: Partial<Settings>;
  /** Part of the state: a snapshot of another cluster is refused. */
  readonly clusterName: string;
}

const idBytes = Buffer.alloc(ULID_BYTES);

function jobId(ulid: string): JobId {
  ulidToBytes(ulid, idBytes);
  return {
    a: idBytes.readUInt32LE(0),
    b: idBytes.readUInt32LE(4),
    c: idBytes.readUInt32LE(8),
    d: idBytes.readUInt32LE(12),
  };
}

class StateMachine implements Core {
  readonly #options: CoreOptions;
  #state: State;
  #snapshot: SnapshotCursor | null = null;

  constructor(options: CoreOptions) {
    this.#options = options;
    this.#state = this.#fresh();
    this.#state.start();
  }

  get appliedIndex(): number {
    return this.#state.index;
  }

  get elapsedUs(): number {
    return this.#state.elapsedUs;
  }

  get wall(): number {
    return this.#state.wall;
  }

  get settings(): Settings {
    return this.#state.settings;
  }

  get members(): Uint8Array {
    return this.#state.members;
  }

  apply(index: number, entry: Uint8Array, effects: Effects): void {
    applyEntry(this.#state, index, entry, effects);
  }

  skip(index: number): void {
    begin(this.#state, index);
  }

  setMembers(index: number, members: Uint8Array | null): void {
    begin(this.#state, index);
    this.#state.configuration = index;
    if (members !== null) this.#state.members = Buffer.from(members);
  }

  get configuration(): number {
    return this.#state.configuration;
  }

  blobs(): Iterable<BlobRef> {
    return this.#state.blobs.all();
  }

  blob(id: string): BlobRef | null {
    return this.#state.blobs.get(id);
  }

  get isCrowded(): boolean {
    return this.#state.relief.isOver;
  }

  relieve(): boolean {
    return this.#state.relief.relieve();
  }

  nextDue(): NextDue {
    return nextDue(this.#state);
  }

  lastBatch(incarnation: number): number {
    return this.#state.nodes.live(incarnation)?.lastBatch ?? -1;
  }

  findJob(namespace: string, id: string): JobView | null {
    return jobView(this.#state, this.seqOf(namespace, id));
  }

  job(seq: number): JobView | null {
    return jobView(this.#state, seq);
  }

  assignedJob(seq: number): AssignedJob | null {
    return assignedJob(this.#state, seq);
  }

  ended(seq: number): { readonly id: string; readonly state: JobState; readonly revision: number } | null {
    return endedView(this.#state, seq);
  }

  seqOf(namespace: string, id: string): number {
    return isUlid(id) ? findJob(this.#state, namespace, jobId(id)) : 0;
  }

  seqOfToken(token: number): number {
    return this.#state.tokens.get(token);
  }

  seqToSettle(namespace: string, id: string, token: number): number {
    const seq = this.seqOfToken(token) || this.seqOf(namespace, id);
    return seq !== 0 || !isUlid(id) ? seq : findGone(this.#state, jobId(id));
  }

  seqOfUnique(namespace: string, uniqueKey: string): number {
    for (const fn of this.#state.functions.all()) {
      if (fn.namespace !== namespace || fn.live === 0) continue;
      const seq = uniqueHolder(this.#state, fn, uniqueKey);
      if (seq !== 0) return seq;
    }
    return 0;
  }

  stateOf(seq: number): JobState | null {
    return jobState(this.#state, seq);
  }

  waitedUs(token: number): number {
    const seq = this.#state.tokens.get(token);
    return seq === 0 ? 0 : waitedUs(this.#state, seq);
  }

  leaseEndWall(token: number): number {
    const state = this.#state;
    const seq = state.tokens.get(token);
    return seq === 0 ? 0 : leaseEndWall(state, seq);
  }

  listJobs(query: JobQuery): JobPage {
    return listJobs(this.#state, query);
  }

  queue(namespace: string, fn: string): QueueView | null {
    const found = this.#state.functions.find(namespace, fn);
    return found === null ? null : queueView(this.#state, found);
  }

  queues(namespace: string | null): readonly QueueView[] {
    return queueViews(this.#state, namespace);
  }

  schedule(seq: number): ScheduleView | null {
    const schedule = this.#state.schedules.get(seq);
    return schedule === null ? null : scheduleView(this.#state, schedule);
  }

  findSchedule(namespace: string, id: string): ScheduleView | null {
    const schedule = isUlid(id) ? this.#state.schedules.byId(jobId(id)) : null;
    return schedule?.content.namespace === namespace ? scheduleView(this.#state, schedule) : null;
  }

  listSchedules(query: ScheduleQuery): SchedulePage {
    return listSchedules(this.#state, query);
  }

  session(id: number): SessionView | null {
    const session = this.#state.sessions.get(id);
    return session === null ? null : sessionView(session);
  }

  sessions(namespace: string): readonly SessionView[] {
    const views: SessionView[] = [];
    this.#state.sessions.visit(0, (session) => {
      if (session.namespace === namespace) views.push(sessionView(session));
      return true;
    });
    return views;
  }

  heldTokens(id: number): readonly number[] {
    const session = this.#state.sessions.get(id);
    if (session === null) return [];
    const { jobs } = this.#state;
    const tokens: number[] = [];
    for (let seq = session.held.head; seq !== 0; seq = jobs.next(session.held, seq)) {
      const page = jobs.pageOf(seq);
      tokens.push(jobs.token(page, page.row(seq)));
    }
    return tokens;
  }

  nodes(): readonly NodeView[] {
    return this.#state.nodes.all().map(({ name, incarnation, up, stalled, grpc, http, version }) => ({
      name,
      incarnation,
      up,
      stalled,
      grpc,
      http,
      version,
    }));
  }

  counts(): ReturnType<Core['counts']> {
    const state = this.#state;
    return {
      jobs: state.jobs.size,
      waiting: state.byState[1]!,
      running: state.byState[2]!,
      sessions: state.sessions.size,
      functions: state.functions.size,
      dedupeEntries: state.dedupe.count,
      payloadBytes: state.payloads.bytes,
      spilledJobs: state.jobs.spill.jobs,
      spillLoads: state.jobs.spill.loads,
      schedules: state.schedules.size,
      firings: {
        created: state.firingsCreated,
        coalesced: state.firingsCoalesced,
        skipped: state.firingsSkipped,
      },
      blobs: state.blobs.size,
      blobBytes: state.blobs.bytes,
    };
  }

  stateHash(): string {
    return this.#state.pages.stateHash();
  }

  pageHashes(): ReadonlyMap<string, string> {
    return this.#state.pages.pageHashes();
  }

  beginSnapshot(): SnapshotCursor {
    this.#snapshot = beginSnapshot(this.#state);
    return this.#snapshot;
  }

  beginRestore(): Restorer {
    this.#snapshot?.cancel();
    this.#snapshot = null;
    this.#state.jobs.releaseAll();
    this.#state.schedules.releaseAll();
    const state = this.#fresh();
    // Until the restorer is done there is no state to look at.
    this.#state = this.#fresh();
    this.#state.start();
    return beginRestore(state, () => {
      this.#state = state;
    });
  }

  #fresh(): State {
    const { payloads, settings, clusterName, spill } = this.#options;
    return new State(payloads, withDefaults(settings ?? {}), clusterName, spill);
  }
}

export function createCore(options: CoreOptions): Core {
  return new StateMachine(options);
}
