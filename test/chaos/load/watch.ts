import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { type JobEvent, JobEventKind, JobServiceService } from '../../../proto/gen/gearmesh/v1/job.js';
import type { SeenState, Watched } from '../../../src/checker/index.js';
import { fromState } from '../../../src/client/convert.js';
import { type Notes, shown } from './notes.js';

/** One that outlives its job by far is given up: its node may be frozen. */
const WATCH_MS = 60_000;

const EVENTS: Readonly<Partial<Record<JobEventKind, Exclude<Watched['event'], 'broken'>>>> = {
  [JobEventKind.ACCEPTED]: 'accepted',
  [JobEventKind.QUEUED]: 'queued',
  [JobEventKind.STARTED]: 'started',
  [JobEventKind.ATTEMPT_FAILED]: 'attempt-failed',
  [JobEventKind.CANCELLING]: 'cancelling',
  [JobEventKind.ENDED]: 'ended',
};

const ENDS: ReadonlySet<SeenState> = new Set(['succeeded', 'failed', 'cancelled', 'expired']);

export interface Following {
  readonly endpoint: string;
  readonly node: string;
  readonly job: string;
  readonly watch: string;
  readonly notes: Notes;
  readonly signal: AbortSignal;
}

/** Watches a job at one node, as any gRPC client would, without the SDK's going on elsewhere: every event is the node's. */
export function follow({ endpoint, node, job, watch, notes, signal }: Following): Promise<void> {
  const client = new Client(endpoint, credentials.createInsecure());
  const { path, requestSerialize, responseDeserialize } = JobServiceService.watchJob;
  const request = { namespace: '', jobId: job, consistency: 0, minRevision: '' };
  const stream = client.makeServerStreamRequest(
    path,
    requestSerialize,
    responseDeserialize,
    request,
    new Metadata(),
    { deadline: Date.now() + WATCH_MS },
  );
  const note = (event: Watched['event'], seen: Watched['seen']): void => {
    notes.recorder.note({ type: 'watched', at: notes.now(), watch, node, job, event, seen });
  };
  const stop = (): void => stream.cancel();
  signal.addEventListener('abort', stop, { once: true });
  let began = false;
  let ended = false;
  stream.on('data', (event: JobEvent) => {
    const kind = EVENTS[event.kind];
    if (kind === undefined) return;
    began = true;
    ended ||= kind === 'ended';
    note(kind, shownBy(kind, event, notes.tried.get(job)));
  });
  return new Promise((resolve) => {
    let isOver = false;
    const over = (): void => {
      if (isOver) return;
      isOver = true;
      signal.removeEventListener('abort', stop);
      client.close();
      if (began && !ended) note('broken', null);
      resolve();
    };
    stream.on('error', (_error: ServiceError) => over());
    stream.on('end', over);
  });
}

/** Null: a job that had ended before is told as ended twice, first without its result. */
function shownBy(kind: Watched['event'], event: JobEvent, payload = ''): Watched['seen'] {
  const state = fromState(event.state) as SeenState;
  if (kind === 'accepted' && ENDS.has(state)) return null;
  return {
    state,
    attempt: event.attempt,
    // A watch does not show it: it is what was submitted, so that this says nothing about it.
    payload,
    result: shown(Buffer.from(event.result).toString()),
    errorCode: event.error?.code ?? '',
  };
}
