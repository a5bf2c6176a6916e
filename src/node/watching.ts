import type { Clock, Timer } from '../base/clock.js';
import { GearmeshError } from '../core/errors.js';
import type { Core } from '../core/interface.js';
import type { JobEventKind, JobView } from '../core/types.js';
import type { JobEventKindForWatchers, JobWatcher, Watch } from './interface.js';
import { type LiveData, type LiveSink, REPLAY_AFTER_END_MS } from './live-data.js';

/** How long the end of a job waits for data chunks that are still on their way from the worker's node. */
const LATE_DATA_MS = 1_000;
/** Chunks that came before their attempt was applied here: at most so many calls and bytes are kept. */
const EARLY_MAX = 1_024;
const EARLY_BYTES_MAX = 1024 * 1024;

interface EarlyData {
  readonly token: number;
  readonly first: number;
  readonly chunks: readonly Uint8Array[];
}

interface Watched {
  readonly watchers: Set<JobWatcher>;
  token: number;
  attempt: number;
  /** Number of the next chunk of this attempt. */
  next: number;
  early: EarlyData[];
  earlyBytes: number;
  end: JobView | null;
  endTimer: Timer | null;
}

export interface WatchingParts {
  readonly core: Core;
  readonly clock: Clock;
  readonly liveData: LiveData;
}

/** Clients of this node that follow jobs. All watchers of one job share its place in the data. */
export class Watching implements LiveSink {
  readonly #parts: WatchingParts;
  readonly #watched = new Map<number, Watched>();

  constructor(parts: WatchingParts) {
    this.#parts = parts;
    parts.liveData.setSink(this);
  }

  get size(): number {
    return this.#watched.size;
  }

  /** Starts with the job as it stands. An ended job is told at once and not kept. */
  add(job: JobView, watcher: JobWatcher): Watch {
    watcher.state('accepted', job);
    const ended = isEnded(job);
    for (const failed of failures(job, ended)) watcher.state('attempt-failed', failed);
    const recent = this.#parts.core.wall - job.finishedWall < REPLAY_AFTER_END_MS;
    if (ended && (job.dataCount === 0 || !recent || this.#watched.has(job.seq))) {
      // Chunks of the past are gone: say so before the end, so that nobody waits for them.
      if (job.dataCount > 0) watcher.dataGap(job.attempt, 0, job.dataCount - 1);
      watcher.state('ended', job);
      return { close: () => {} };
    }
    if (job.state === 'running') watcher.state('started', job);
    if (job.progress.denominator > 0) {
      watcher.progress(job.progress.numerator, job.progress.denominator, job.progress.message);
    }
    let entry = this.#watched.get(job.seq);
    if (entry === undefined) {
      entry = {
        watchers: new Set([watcher]),
        token: job.token,
        attempt: job.attempt,
        next: 0,
        early: [],
        earlyBytes: 0,
        end: null,
        endTimer: null,
      };
      this.#watched.set(job.seq, entry);
      const mine = entry;
      // It ended a moment ago: its worker's node still has its last chunks.
      if (ended) this.#awaitData(job.seq, mine, job);
      this.#parts.liveData.watch(job.seq, () => ({ token: mine.token, next: mine.next }));
    } else {
      if (entry.next > 0) watcher.dataGap(entry.attempt, 0, entry.next - 1);
      entry.watchers.add(watcher);
    }
    const seq = job.seq;
    const joined = entry;
    return {
      close: () => {
        joined.watchers.delete(watcher);
        if (joined.watchers.size === 0 && this.#watched.get(seq) === joined) this.#drop(seq, joined);
      },
    };
  }

  /** Called while entries are applied. */
  job(seq: number, kind: JobEventKind): void {
    if (this.#watched.size === 0) return;
    const entry = this.#watched.get(seq);
    if (entry === undefined) return;
    if (entry.end !== null) {
      // It had ended, and late data is not waited for any longer.
      this.#end(seq, entry, entry.end);
      return;
    }
    if (kind === 'deleted') {
      this.#fail(seq, entry, new GearmeshError('NOT_FOUND', { message: 'the job was deleted' }));
      return;
    }
    if (kind === 'progress') return; // told directly by the worker's node
    const job = this.#parts.core.job(seq);
    if (job === null) return;
    if (kind === 'started') {
      entry.token = job.token;
      entry.attempt = job.attempt;
      entry.next = 0;
      this.#tell(entry, 'started', job);
      const early = entry.early;
      entry.early = [];
      entry.earlyBytes = 0;
      for (const one of early) this.data(seq, one.token, one.first, one.chunks);
      return;
    }
    if (kind !== 'ended') {
      this.#tell(entry, kind, job);
      return;
    }
    if (entry.next >= job.dataCount || job.state !== 'succeeded') {
      this.#end(seq, entry, job);
      return;
    }
    this.#awaitData(seq, entry, job);
  }

  data(seq: number, token: number, first: number, chunks: readonly Uint8Array[]): void {
    const entry = this.#watched.get(seq);
    if (entry === undefined || token < entry.token) return;
    // An ended job shows no lease any more: what is replayed is its last one's.
    if (entry.token === 0 && entry.end !== null) entry.token = token;
    if (token > entry.token) {
      const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
      if (entry.early.length >= EARLY_MAX || entry.earlyBytes + bytes > EARLY_BYTES_MAX) return;
      entry.early.push({ token, first, chunks });
      entry.earlyBytes += bytes;
      return;
    }
    const known = entry.next - first;
    if (known >= chunks.length) return;
    if (known < 0)
      for (const watcher of entry.watchers) watcher.dataGap(entry.attempt, entry.next, first - 1);
    const fresh = known > 0 ? chunks.slice(known) : chunks;
    const from = known > 0 ? entry.next : first;
    entry.next = from + fresh.length;
    for (const watcher of entry.watchers) watcher.data(entry.attempt, from, fresh);
    if (entry.end !== null && entry.next >= entry.end.dataCount) this.#end(seq, entry, entry.end);
  }

  progress(seq: number, token: number, numerator: number, denominator: number, message: string): void {
    const entry = this.#watched.get(seq);
    if (entry === undefined || token < entry.token) return;
    for (const watcher of entry.watchers) watcher.progress(numerator, denominator, message);
  }

  /** After log was skipped: each job is looked at anew. */
  resync(): void {
    for (const [seq, entry] of [...this.#watched]) {
      const job = this.#parts.core.job(seq);
      if (entry.end !== null) continue; // its end is about to be told
      if (job === null) {
        this.#fail(seq, entry, new GearmeshError('NOT_FOUND', { message: 'the job is no longer kept' }));
      } else if (isEnded(job)) {
        this.#end(seq, entry, job);
      } else if (job.token !== entry.token && job.state === 'running') {
        this.job(seq, 'started');
      } else if (job.state !== 'running' && entry.token !== 0) {
        this.#tell(entry, 'queued', job);
      }
    }
    this.#parts.liveData.sweep((seq) => {
      const state = this.#parts.core.stateOf(seq);
      return state !== 'queued' && state !== 'running' && state !== 'scheduled';
    });
  }

  failAll(error: GearmeshError): void {
    for (const [seq, entry] of [...this.#watched]) this.#fail(seq, entry, error);
  }

  /** Keeps the end (a copy: the job's bytes may go) until its data is whole, for a while. */
  #awaitData(seq: number, entry: Watched, job: JobView): void {
    const end = { ...job, payload: Buffer.from(job.payload), result: Buffer.from(job.result) };
    entry.end = end;
    entry.endTimer = this.#parts.clock.setTimer(LATE_DATA_MS, () => this.#end(seq, entry, end));
  }

  #tell(entry: Watched, kind: JobEventKindForWatchers, job: JobView): void {
    for (const watcher of entry.watchers) watcher.state(kind, job);
  }

  #end(seq: number, entry: Watched, job: JobView): void {
    if (this.#watched.get(seq) !== entry) return;
    this.#drop(seq, entry);
    for (const watcher of entry.watchers) {
      if (entry.next < job.dataCount) watcher.dataGap(entry.attempt, entry.next, job.dataCount - 1);
      watcher.state('ended', job);
    }
  }

  #fail(seq: number, entry: Watched, error: GearmeshError): void {
    this.#drop(seq, entry);
    for (const watcher of entry.watchers) watcher.failed(error);
  }

  #drop(seq: number, entry: Watched): void {
    entry.endTimer?.cancel();
    entry.endTimer = null;
    this.#watched.delete(seq);
    this.#parts.liveData.unwatch(seq);
  }
}

/** The job as it stood after each attempt that failed and was followed by another, as far as its record remembers. */
function failures(job: JobView, ended: boolean): JobView[] {
  const views: JobView[] = [];
  job.attempts.forEach(({ number, error }, i) => {
    if (error === null) return;
    const isLast = number === job.attempt;
    if (isLast && ended) return; // told by the end
    // When an attempt of the past was tried again is not remembered.
    const past = isLast ? {} : { attempt: number, state: 'queued' as const };
    views.push({ ...job, ...past, attempts: job.attempts.slice(0, i + 1), error });
  });
  return views;
}

function isEnded(job: JobView): boolean {
  return (
    job.state === 'succeeded' ||
    job.state === 'failed' ||
    job.state === 'cancelled' ||
    job.state === 'expired'
  );
}
