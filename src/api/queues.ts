import { JobState as ProtoState } from '../../proto/gen/gearmesh/v1/common.js';
import type {
  DropQueueRequest,
  DropQueueResponse,
  GetQueueRequest,
  ListQueuesRequest,
  ListQueuesResponse,
  PauseQueueRequest,
  PauseQueueResponse,
  PurgeQueueRequest,
  PurgeQueueResponse,
  QueueServiceService,
  ResumeQueueResponse,
  SetQueueLimitsRequest,
  SetQueueLimitsResponse,
} from '../../proto/gen/gearmesh/v1/queue.js';
import { Queue } from '../../proto/gen/gearmesh/v1/queue.js';
import type { QueueView } from '../core/types.js';
import type { Call } from './call.js';
import { toQueue } from './convert.js';
import type { Deps } from './deps.js';
import { statesOf } from './jobs.js';
import { QUEUES_PAGE_DEFAULT, QUEUES_PAGE_MAX } from './limits.js';
import { readOptions } from './read.js';
import { parsePageToken, toPageToken, toRevision } from './revision.js';
import type { Verbs } from './table.js';
import { Checker } from './validate.js';
import { watchQueues } from './watch-queues.js';

export const queueVerbs: Verbs<typeof QueueServiceService> = {
  listQueues,
  getQueue,
  pauseQueue: (deps, request, call) => setPaused(deps, request, true, call),
  resumeQueue: (deps, request, call) => setPaused(deps, request, false, call),
  purgeQueue,
  setQueueLimits,
  dropQueue,
  watchQueues,
};

/** Null: all namespaces. */
export function namespaceOrAll(
  checker: Checker,
  request: { readonly namespace: string; readonly allNamespaces: boolean },
): string | null {
  if (!request.allNamespaces) return checker.namespace('namespace', request.namespace);
  if (request.namespace !== '') checker.add('namespace', 'must be empty together with all_namespaces');
  return null;
}

async function listQueues(deps: Deps, request: ListQueuesRequest, call: Call): Promise<ListQueuesResponse> {
  const checker = new Checker();
  const namespace = namespaceOrAll(checker, request);
  const pageSize = checker.count('page_size', request.pageSize, 0, QUEUES_PAGE_MAX) || QUEUES_PAGE_DEFAULT;
  const read = readOptions(checker, request, call);
  const query = ['queues', namespace];
  const after = parsePageToken(query, request.pageToken);
  if (after === null) checker.add('page_token', 'belongs to another query, or never came from a server');
  checker.done();

  const all = await deps.api.listQueues(namespace, read);
  const queues: Queue[] = [];
  let bytes = 0;
  let last = '';
  for (const view of all) {
    const key = queueKey(view);
    if (after !== null && key <= after) continue;
    const queue = toQueue(view);
    bytes += Queue.encode(queue).finish().length;
    if (queues.length === pageSize || (queues.length > 0 && bytes > deps.limits.pageBytes)) {
      return { queues, nextPageToken: toPageToken(query, last) };
    }
    queues.push(queue);
    last = key;
  }
  return { queues, nextPageToken: '' };
}

/** Orders as namespace, then function: names hold no control characters. */
export function queueKey(queue: Pick<QueueView, 'namespace' | 'function'>): string {
  return `${queue.namespace}\u0000${queue.function}`;
}

async function getQueue(deps: Deps, request: GetQueueRequest, call: Call): Promise<Queue> {
  const checker = new Checker();
  const namespace = checker.namespace('namespace', request.namespace);
  const fn = checker.name('function', request.function);
  const read = readOptions(checker, request, call);
  checker.done();
  return toQueue(await deps.api.getQueue(namespace, fn, read));
}

async function setPaused(
  deps: Deps,
  request: PauseQueueRequest,
  paused: boolean,
  call: Call,
): Promise<PauseQueueResponse & ResumeQueueResponse> {
  const checker = new Checker();
  const namespace = checker.namespace('namespace', request.namespace);
  const fn = checker.name('function', request.function);
  checker.done();
  const { revision } = await deps.api.pauseQueue(namespace, fn, paused, { signal: call.signal });
  return { revision: toRevision(revision) };
}

async function purgeQueue(deps: Deps, request: PurgeQueueRequest, call: Call): Promise<PurgeQueueResponse> {
  const checker = new Checker();
  const namespace = checker.namespace('namespace', request.namespace);
  const fn = checker.name('function', request.function);
  if (request.states.length === 0) checker.add('states', 'is required');
  if (request.states.includes(ProtoState.RUNNING)) {
    checker.add('states', 'cannot be RUNNING: cancel those jobs');
  }
  const states = statesOf(checker, request.states);
  checker.done();
  const result = await deps.api.purgeQueue(namespace, fn, states, { signal: call.signal });
  return { revision: toRevision(result.revision), jobs: result.value };
}

async function setQueueLimits(
  deps: Deps,
  request: SetQueueLimitsRequest,
  call: Call,
): Promise<SetQueueLimitsResponse> {
  const checker = new Checker();
  const namespace = checker.namespace('namespace', request.namespace);
  const fn = checker.name('function', request.function);
  const most = Number.MAX_SAFE_INTEGER;
  const jobsMax = [
    checker.count('jobs_max_high', request.jobsMaxHigh, 0, most),
    checker.count('jobs_max_normal', request.jobsMaxNormal, 0, most),
    checker.count('jobs_max_low', request.jobsMaxLow, 0, most),
  ] as const;
  checker.done();
  const { revision } = await deps.api.limitQueue(namespace, fn, jobsMax, { signal: call.signal });
  return { revision: toRevision(revision) };
}

async function dropQueue(deps: Deps, request: DropQueueRequest, call: Call): Promise<DropQueueResponse> {
  const checker = new Checker();
  const namespace = checker.namespace('namespace', request.namespace);
  const fn = checker.name('function', request.function);
  checker.done();
  const result = await deps.api.dropQueue(namespace, fn, { signal: call.signal });
  return { revision: toRevision(result.revision), jobs: result.value };
}
