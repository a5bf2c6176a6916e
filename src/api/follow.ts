import { JobState as ProtoState } from '../../proto/gen/gearmesh/v1/common.js';
import {
  Disposition,
  type JobEvent,
  JobEventKind,
  type RunJobRequest,
  type WatchJobRequest,
} from '../../proto/gen/gearmesh/v1/job.js';
import type { GearmeshError } from '../core/errors.js';
import type { JobView } from '../core/types.js';
import type { JobEventKindForWatchers, JobWatcher, ReadOptions } from '../node/interface.js';
import { type Outlet, shuttingDown } from './call.js';
import { DISPOSITIONS, hasProgress, STATES, toBlob, toJobError } from './convert.js';
import type { Deps } from './deps.js';
import { readOptions } from './read.js';
import { toRevision } from './revision.js';
import { submitOne } from './submit.js';
import { toTimestamp, toTimestampIfSet } from './time.js';
import { Checker } from './validate.js';

export async function runJob(deps: Deps, request: RunJobRequest, out: Outlet<JobEvent>): Promise<void> {
  const { namespace, result } = await submitOne(deps, request, true, out);
  // This node has applied the submission, so that its own state is fresh enough.
  const read: ReadOptions = {
    consistency: 'eventual',
    minRevision: result.revision,
    signal: out.signal,
  };
  await follow(deps, namespace, result.jobId, read, DISPOSITIONS[result.disposition], out);
}

export async function watchJob(deps: Deps, request: WatchJobRequest, out: Outlet<JobEvent>): Promise<void> {
  const checker = new Checker();
  const namespace = checker.namespace('namespace', request.namespace);
  const id = checker.jobId('job_id', request.jobId);
  const read = readOptions(checker, request, out);
  checker.done();
  await follow(deps, namespace, id, read, Disposition.UNSPECIFIED, out);
}

async function follow(
  deps: Deps,
  namespace: string,
  id: string,
  read: ReadOptions,
  disposition: Disposition,
  out: Outlet<JobEvent>,
): Promise<void> {
  const drain = () => out.fail(shuttingDown());
  deps.draining.addEventListener('abort', drain, { once: true });
  out.onOver(() => deps.draining.removeEventListener('abort', drain));
  const watch = await deps.api.watchJob(namespace, id, new Follower(deps, id, disposition, out), read);
  out.onOver(() => watch.close());
}

const KINDS: { readonly [kind in JobEventKindForWatchers]: JobEventKind } = {
  accepted: JobEventKind.ACCEPTED,
  queued: JobEventKind.QUEUED,
  started: JobEventKind.STARTED,
  'attempt-failed': JobEventKind.ATTEMPT_FAILED,
  cancelling: JobEventKind.CANCELLING,
  ended: JobEventKind.ENDED,
};

const NOTHING = new Uint8Array(0);

/** Chunks of one attempt that a slow caller will not get. */
interface Gap {
  readonly attempt: number;
  readonly from: number;
  to: number;
}

/**
 * Turns what happens to a job into events. A caller that reads slowly loses data and progress, never a change of the
 * job's state: chunks beyond the buffer become a gap, told as soon as there is room.
 */
class Follower implements JobWatcher {
  readonly #deps: Deps;
  readonly #id: string;
  readonly #disposition: Disposition;
  readonly #out: Outlet<JobEvent>;
  #gap: Gap | null = null;
  /** Attempt of the last change of state: progress belongs to it. */
  #attempt = 0;

  constructor(deps: Deps, id: string, disposition: Disposition, out: Outlet<JobEvent>) {
    this.#deps = deps;
    this.#id = id;
    this.#disposition = disposition;
    this.#out = out;
    out.onDrain(() => this.#tellGap());
  }

  state(kind: JobEventKindForWatchers, job: JobView): void {
    this.#tellGap();
    const event = this.#event(KINDS[kind]);
    event.state = STATES[job.state];
    event.revision = toRevision(job.revision);
    event.attempt = job.attempt;
    this.#attempt = job.attempt;
    const last = job.attempts.at(-1);
    switch (kind) {
      case 'accepted':
        event.disposition = this.#disposition;
        event.serverTime = toTimestamp(this.#deps.api.wallMs());
        if (hasProgress(job)) event.progress = { ...job.progress };
        if (job.state === 'running') event.worker = last?.worker ?? '';
        break;
      case 'started':
        event.worker = last?.worker ?? '';
        break;
      case 'attempt-failed':
        event.worker = last?.worker ?? '';
        event.error = toJobError(last?.error ?? job.error);
        event.retryAt = job.state === 'scheduled' ? toTimestampIfSet(job.dueWall) : undefined;
        break;
      case 'ended':
        event.result = job.result;
        event.resultBlob = toBlob(job.resultBlob);
        event.resultContentType = job.resultContentType;
        event.dataCount = job.dataCount;
        event.error = toJobError(job.error);
        break;
      case 'queued':
      case 'cancelling':
        break;
    }
    this.#out.send(event);
    if (kind === 'ended') this.#out.end();
  }

  progress(numerator: number, denominator: number, message: string): void {
    if (this.#full) return;
    const event = this.#event(JobEventKind.PROGRESS);
    event.attempt = this.#attempt;
    event.progress = { numerator, denominator, message };
    this.#out.send(event);
  }

  data(attempt: number, first: number, chunks: readonly Uint8Array[]): void {
    if (chunks.length === 0) return;
    if (this.#full || this.#gap !== null) {
      this.#miss(attempt, first, first + chunks.length - 1);
      return;
    }
    const event = this.#event(JobEventKind.DATA);
    event.attempt = attempt;
    event.dataFirst = first;
    event.data = chunks as Uint8Array[];
    this.#out.send(event);
  }

  dataGap(attempt: number, from: number, to: number): void {
    this.#miss(attempt, from, to);
    if (!this.#full) this.#tellGap();
  }

  failed(error: GearmeshError): void {
    this.#tellGap();
    this.#out.fail(error);
  }

  get #full(): boolean {
    return this.#out.waitingBytes >= this.#deps.limits.followBytesMax;
  }

  #miss(attempt: number, from: number, to: number): void {
    const gap = this.#gap;
    if (gap !== null && gap.attempt === attempt && gap.to + 1 === from) {
      gap.to = to;
      return;
    }
    this.#tellGap();
    this.#gap = { attempt, from, to };
  }

  #tellGap(): void {
    const gap = this.#gap;
    if (gap === null) return;
    this.#gap = null;
    const event = this.#event(JobEventKind.DATA_GAP);
    event.attempt = gap.attempt;
    event.gapFrom = gap.from;
    event.gapTo = gap.to;
    this.#out.send(event);
  }

  #event(kind: JobEventKind): JobEvent {
    return {
      kind,
      jobId: this.#id,
      state: ProtoState.UNSPECIFIED,
      revision: '',
      attempt: 0,
      worker: '',
      progress: undefined,
      dataFirst: 0,
      data: [],
      gapFrom: 0,
      gapTo: 0,
      error: undefined,
      retryAt: undefined,
      result: NOTHING,
      resultContentType: '',
      dataCount: 0,
      disposition: Disposition.UNSPECIFIED,
      serverTime: undefined,
      resultBlob: undefined,
    };
  }
}
