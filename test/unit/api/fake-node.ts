import { parseCalendar } from '../../../src/base/calendar.js';
import { GearmeshError } from '../../../src/core/errors.js';
import {
  type BlobRef,
  DEFAULT_SETTINGS,
  type JobSpec,
  type JobView,
  type QueueView,
  type ScheduleSpec,
  type ScheduleView,
  type SessionView,
} from '../../../src/core/types.js';
import type {
  Assignment,
  BlobWriter,
  CallOptions,
  ClusterView,
  JobWatcher,
  NodeApi,
  OutcomeBySession,
  OutcomeResult,
  ScheduleResult,
  SessionPort,
  SubmitResult,
  WorkerSession,
} from '../../../src/node/interface.js';
import { FakeBlobs } from './fake-blobs.js';

export const JOB_ID = '01ARZ3NDEKTSV4RRFFQ69G5FAV';
export const OTHER_ID = '01ARZ3NDEKTSV4RRFFQ69G5FAW';

export function jobView(over: Partial<JobView> = {}): JobView {
  return {
    seq: 42,
    id: JOB_ID,
    namespace: 'default',
    function: 'resize',
    state: 'queued',
    priority: 1,
    payload: Buffer.from('payload'),
    payloadBlob: null,
    contentType: 'text/plain',
    metadata: [['k', 'v']],
    maxAttempts: 5,
    traceparent: '',
    uniqueKey: '',
    foreground: false,
    waiters: 0,
    retry: {
      maxAttempts: 5,
      initialBackoffMs: 1_000,
      maxBackoffMs: 300_000,
      multiplierPermille: 2_000,
      jitterPermille: 200,
    },
    runTimeoutMs: 0,
    startDeadlineWall: 0,
    retentionMs: -1,
    attempt: 0,
    attempts: [],
    token: 0,
    session: 0,
    createdWall: 1_700_000_000_123,
    createdUs: 1,
    dueWall: 0,
    startedWall: 0,
    startedUs: 0,
    finishedWall: 0,
    progress: { numerator: 0, denominator: 0, message: '' },
    cancelRequested: false,
    cancelReason: '',
    result: Buffer.alloc(0),
    resultBlob: null,
    resultContentType: '',
    error: null,
    dataCount: 0,
    revision: 100,
    ...over,
  };
}

/** 6:30 on the first of each month. */
export function scheduleView(over: Partial<ScheduleView> = {}): ScheduleView {
  const fields = { minute: '30', hour: '6', dayOfMonth: '1', month: '*', dayOfWeek: '' };
  return {
    seq: 43,
    id: JOB_ID,
    namespace: 'default',
    calendar: parseCalendar(fields, () => {})!,
    function: 'resize',
    priority: 2,
    payload: Buffer.from('payload'),
    contentType: 'text/plain',
    metadata: [['k', 'v']],
    traceparent: '',
    uniqueKey: 'u',
    retry: null,
    runTimeoutMs: 1_500,
    retentionMs: -1,
    createdWall: 1_700_000_000_123,
    nextWall: 1_701_412_200_000,
    lastWall: 0,
    fired: 3,
    coalesced: 2,
    skipped: 1,
    skippedBy: 'jobsPerFunctionMax',
    revision: 100,
    ...over,
  };
}

export function queueView(fn: string, over: Partial<QueueView> = {}): QueueView {
  return {
    namespace: 'default',
    function: fn,
    waiting: [1, 2, 3],
    scheduled: 4,
    running: 5,
    succeeded: 6,
    failed: 7,
    cancelled: 8,
    expired: 9,
    oldestWaitingWall: 1_700_000_000_000,
    workers: 10,
    credits: 11,
    paused: false,
    jobsMax: [0, 0, 0],
    totals: {
      submitted: 1,
      coalesced: 0,
      started: 1,
      succeeded: 1,
      failedAttempts: 0,
      failed: 0,
      retried: 0,
      cancelled: 0,
      expired: 0,
      leasesLost: 0,
    },
    ...over,
  };
}

export function assignment(token: number, payload = 'p'): Assignment {
  const job = jobView({ token, state: 'running', attempt: 1, payload: Buffer.from(payload) });
  return {
    token,
    attempt: 1,
    deadlineWall: 1_700_000_100_000,
    job,
  };
}

/** One that the worker has not begun. */
export function reservation(token: number, payload = 'p'): Assignment {
  const job = jobView({ token, state: 'queued', attempt: 0, payload: Buffer.from(payload) });
  return { token, attempt: 0, deadlineWall: 0, job };
}

/** Remembers what it was told, in order; answers when the test says so. */
export class FakeSession implements WorkerSession {
  readonly id = 7;
  readonly epoch = 1;
  readonly secret = Buffer.from('secret');
  readonly graceMs = 10_000;
  lostTokens: readonly number[] = [];
  readonly said: unknown[][] = [];
  answer: (outcomes: readonly OutcomeBySession[]) => Promise<OutcomeResult[]> = async (outcomes) =>
    outcomes.map(({ token }) => ({ token, revision: 200, error: null }));

  constructor(readonly note: () => void) {}

  #say(...what: unknown[]): void {
    this.said.push(what);
    this.note();
  }
  settle(outcomes: readonly OutcomeBySession[], credit: number, begins = false): Promise<OutcomeResult[]> {
    const said = outcomes.map((o) => `${o.kind} ${o.token}`);
    this.#say('settle', said, credit, ...(begins ? ['begins'] : []));
    return this.answer(outcomes);
  }
  credit(total: number): void {
    this.#say('credit', total);
  }
  ack(tokens: readonly number[]): void {
    this.#say('ack', [...tokens]);
  }
  start(token: number): void {
    this.#say('start', token);
  }
  progress(...what: [number, number, number, string]): void {
    this.#say('progress', ...what);
  }
  data(token: number, first: number, chunks: readonly Uint8Array[]): void {
    this.#say('data', token, first, chunks.map(String));
  }
  async changeFunctions(functions: readonly { readonly name: string }[]): Promise<void> {
    this.#say(
      'functions',
      functions.map(({ name }) => name),
    );
  }
  detach(): void {
    this.#say('detach');
  }
  async close(): Promise<void> {
    this.#say('close');
  }
}

const clusterView: ClusterView = {
  id: 'cid',
  name: 'test',
  leader: 'n1',
  term: 3,
  members: [
    {
      name: 'n1',
      diskId: 'd1',
      role: 'leader',
      reachable: true,
      reachableSince: 1_700_000_000_000,
      grpc: 'h:1',
      http: 'h:2',
      peer: 'h:3',
      version: '1',
      appliedIndex: 9,
      commitIndex: 9,
      logBytes: 100,
      stateHash: 'ab',
      stateHashIndex: 8,
    },
  ],
  nodes: [{ name: 'n1', incarnation: 1, up: true, stalled: false, grpc: 'h:1', http: 'h:2', version: '1' }],
  hashDisagreement: null,
};

/** The edge of this room: a node that a test programs by replacing its methods. */
export class FakeNode implements NodeApi {
  readonly name = 'n1';
  readonly clusterName = 'test';
  readonly clusterId = 'cid';
  readonly version = '1';
  phase: NodeApi['phase'] = 'ready';
  readonly calls: unknown[][] = [];
  readonly submitted: JobSpec[][] = [];
  readonly watchers: JobWatcher[] = [];
  readonly ports: SessionPort[] = [];
  readonly sessions: FakeSession[] = [];
  readonly settingsNow = { ...DEFAULT_SETTINGS };
  clusterNow = clusterView;
  queues = [queueView('a'), queueView('b')];
  watchesClosed = 0;
  #queueListeners = new Set<() => void>();
  #changed: (() => void)[] = [];

  /** Resolves once `condition` holds; looked at whenever the node is told something. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#changed.push(resolve));
  }
  note(...what: unknown[]): void {
    if (what.length > 0) this.calls.push(what);
    for (const fn of this.#changed.splice(0)) fn();
  }

  wallMs() {
    return 1_700_000_000_500;
  }
  settings() {
    return this.settingsNow;
  }
  newJobId() {
    return OTHER_ID;
  }
  u32() {
    return 5;
  }
  submitAnswer: (specs: readonly JobSpec[]) => Promise<SubmitResult[]> = async (specs) =>
    specs.map((spec) => ({
      jobId: spec.id,
      seq: 42,
      disposition: 'created',
      state: 'queued',
      revision: 100,
      error: null,
    }));
  submit(namespace: string, specs: readonly JobSpec[], options: { allOrNothing: boolean }) {
    this.submitted.push([...specs]);
    this.note('submit', namespace, specs.length, options.allOrNothing);
    return this.submitAnswer(specs);
  }
  readonly left: number[] = [];
  unwait(seq: number) {
    this.left.push(seq);
    this.note();
  }
  job: (id: string) => JobView = (id) => jobView({ id });
  async getJob(namespace: string, id: string, read: { consistency: string; minRevision: number }) {
    this.note('getJob', namespace, id, read.consistency, read.minRevision);
    return this.job(id);
  }
  async findJob(namespace: string, by: Parameters<NodeApi['findJob']>[1]) {
    this.note('findJob', namespace, by);
    return this.jobs[0] ?? null;
  }
  jobs = [jobView()];
  nextSeq = 0;
  async listJobs(query: Parameters<NodeApi['listJobs']>[0]) {
    this.note('listJobs', query);
    return { jobs: this.jobs, next: this.nextSeq };
  }
  async cancelJob(namespace: string, id: string, reason: string, graceMs: number) {
    this.note('cancelJob', namespace, id, reason, graceMs);
    return { revision: 101, value: 0 };
  }
  async retryJob(namespace: string, id: string) {
    this.note('retryJob', namespace, id);
    return { revision: 102, value: 0 };
  }
  async deleteJob(namespace: string, id: string) {
    this.note('deleteJob', namespace, id);
    return { revision: 103, value: 0 };
  }
  async watchJob(namespace: string, id: string, watcher: JobWatcher, read: { consistency: string }) {
    this.watchers.push(watcher);
    this.note('watchJob', namespace, id, read.consistency);
    return {
      close: () => {
        this.watchesClosed++;
        this.note();
      },
    };
  }
  async listQueues(namespace: string | null, read: { consistency: string; minRevision: number }) {
    this.note('listQueues', namespace, read.consistency, read.minRevision);
    return this.queues;
  }
  async getQueue(namespace: string, fn: string) {
    this.note('getQueue', namespace, fn);
    return queueView(fn);
  }
  async pauseQueue(namespace: string, fn: string, paused: boolean) {
    this.note('pauseQueue', namespace, fn, paused);
    return { revision: 104, value: 0 };
  }
  async purgeQueue(namespace: string, fn: string, states: readonly string[]) {
    this.note('purgeQueue', namespace, fn, [...states]);
    return { revision: 105, value: 17 };
  }
  async limitQueue(namespace: string, fn: string, jobsMax: readonly [number, number, number]) {
    this.note('limitQueue', namespace, fn, [...jobsMax]);
    return { revision: 108, value: 0 };
  }
  async createQueue(namespace: string, fn: string) {
    this.note('createQueue', namespace, fn);
    return { revision: 109, value: 0 };
  }
  async dropQueue(namespace: string, fn: string) {
    this.note('dropQueue', namespace, fn);
    return { revision: 110, value: 3 };
  }
  sessionViews: SessionView[] = [];
  async listSessions(namespace: string) {
    this.note('listSessions', namespace);
    return this.sessionViews;
  }
  onQueuesChanged(listener: () => void) {
    this.#queueListeners.add(listener);
    return () => {
      this.#queueListeners.delete(listener);
      this.note('queues unwatched');
    };
  }
  queuesChanged() {
    for (const fn of this.#queueListeners) fn();
  }
  openAnswer: (() => Promise<void>) | null = null;
  async openSession(o: Parameters<NodeApi['openSession']>[0], port: SessionPort) {
    this.note('openSession', o.namespace, o.name, o.functions, o.resumable, o.credit);
    return this.#session(port);
  }
  async attachSession(o: Parameters<NodeApi['attachSession']>[0], port: SessionPort) {
    this.note('attachSession', o.session, String(o.secret), [...o.heldTokens]);
    return this.#session(port, [9]);
  }
  async #session(port: SessionPort, lost: readonly number[] = []) {
    await this.openAnswer?.();
    const session = new FakeSession(() => this.note());
    session.lostTokens = lost;
    this.ports.push(port);
    this.sessions.push(session);
    this.note();
    return session;
  }
  leasing: ((signal: AbortSignal | undefined) => Promise<void>) | null = null;
  async leaseJobs(o: Parameters<NodeApi['leaseJobs']>[0], call: Parameters<NodeApi['leaseJobs']>[1]) {
    this.note('leaseJobs', o);
    await this.leasing?.(call.signal);
    if (this.leasing !== null) this.note('leased');
    return [assignment(11)];
  }
  async extendLeases(tokens: readonly number[], durationMs: number) {
    this.note('extendLeases', [...tokens], durationMs);
    const ends = tokens.map((token) => (token === 1 ? 1_700_000_009_000 : new GearmeshError('LEASE_LOST')));
    return { ends, revision: 110 };
  }
  settleAnswer: OutcomeResult = { token: 11, revision: 106, error: null };
  async settle(namespace: string, jobId: string, outcome: Parameters<NodeApi['settle']>[2]) {
    this.note('settle', namespace, jobId, outcome);
    return this.settleAnswer;
  }
  async reportProgress(token: number, numerator: number, denominator: number, message: string) {
    this.note('reportProgress', token, numerator, denominator, message);
  }
  async sendData(token: number, first: number, chunks: readonly Uint8Array[]) {
    this.note('sendData', token, first, chunks.map(String));
  }
  async cluster(_read: Parameters<NodeApi['cluster']>[0]) {
    return this.clusterNow;
  }
  async transferLeadership(to: string) {
    this.note('transferLeadership', to);
    return { leader: 'n2', term: 4, revision: 108 };
  }
  async replaceNode(name: string, _call: { signal?: AbortSignal }, progress: (line: string) => void) {
    progress(`removed ${name}`);
    progress(`added ${name}`);
    return { revision: 109 };
  }
  async changeSettings(changes: object) {
    this.note('changeSettings', changes);
    return { revision: 107, value: 0 };
  }
  async readSettings(read: { consistency: string; minRevision: number }) {
    this.note('readSettings', read.consistency, read.minRevision);
    return this.settingsNow;
  }
  scheduleAnswer: (spec: ScheduleSpec) => Promise<ScheduleResult> = async (spec) => ({
    id: spec.job.id,
    seq: 43,
    disposition: 'created',
    revision: 108,
  });
  readonly scheduled: ScheduleSpec[] = [];
  createSchedule(namespace: string, spec: ScheduleSpec) {
    this.scheduled.push(spec);
    this.note('createSchedule', namespace, spec.job.function);
    return this.scheduleAnswer(spec);
  }
  schedules = [scheduleView()];
  nextSchedule = 0;
  async getSchedule(namespace: string, id: string, read: { consistency: string; minRevision: number }) {
    this.note('getSchedule', namespace, id, read.consistency, read.minRevision);
    return scheduleView({ id });
  }
  async findSchedule(namespace: string, seq: number) {
    this.note('findSchedule', namespace, seq);
    return this.schedules.find((schedule) => schedule.seq === seq) ?? null;
  }
  async listSchedules(query: Parameters<NodeApi['listSchedules']>[0]) {
    this.note('listSchedules', query);
    return { schedules: this.schedules, next: this.nextSchedule };
  }
  async deleteSchedule(namespace: string, id: string) {
    this.note('deleteSchedule', namespace, id);
    return { revision: 109, value: 1 };
  }
  readonly blobs = new FakeBlobs(() => this.note());
  createBlob(size: number, call: CallOptions): Promise<BlobWriter> {
    this.note('createBlob', size);
    return this.blobs.create(size, call);
  }
  readBlob(ref: BlobRef, offset: number, call: CallOptions): AsyncIterable<Uint8Array> {
    this.note('readBlob', ref.id, offset);
    return this.blobs.read(ref, offset, call);
  }
}
