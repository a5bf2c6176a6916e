import { Job, JobView as ViewKind } from '../../proto/gen/gearmesh/v1/common.js';
import type {
  CancelJobRequest,
  CancelJobResponse,
  DeleteJobRequest,
  DeleteJobResponse,
  GetJobRequest,
  JobServiceService,
  ListJobsRequest,
  ListJobsResponse,
  RetryJobRequest,
  RetryJobResponse,
} from '../../proto/gen/gearmesh/v1/job.js';
import type { JobState } from '../core/types.js';
import type { ChangeResult } from '../node/interface.js';
import type { Call } from './call.js';
import { fromState, toJob } from './convert.js';
import type { Deps } from './deps.js';
import { runJob, watchJob } from './follow.js';
import {
  DURATION_MS_MAX,
  JOBS_PAGE_DEFAULT,
  JOBS_PAGE_MAX,
  TEXT_BYTES_MAX,
  UNIQUE_KEY_BYTES_MAX,
} from './limits.js';
import { readOptions } from './read.js';
import { parsePageToken, toPageToken, toRevision } from './revision.js';
import { submitJob, submitJobs } from './submit.js';
import { submitStream } from './submit-stream.js';
import type { Verbs } from './table.js';
import { Checker } from './validate.js';

export const jobVerbs: Verbs<typeof JobServiceService> = {
  submitJob,
  submitJobs,
  submitStream,
  runJob,
  watchJob,
  getJob,
  listJobs,
  cancelJob,
  retryJob,
  deleteJob,
};

export function viewOf(checker: Checker, view: ViewKind): ViewKind {
  if (ViewKind[view] === undefined) checker.add('view', 'is not a known view');
  return view;
}

async function getJob(deps: Deps, request: GetJobRequest, call: Call): Promise<Job> {
  const checker = new Checker();
  const namespace = checker.namespace('namespace', request.namespace);
  const id = checker.jobId('job_id', request.jobId);
  const view = viewOf(checker, request.view);
  const read = readOptions(checker, request, call);
  checker.done();
  return toJob(await deps.api.getJob(namespace, id, read), view, deps.api.clusterName);
}

/** Checks a filter by states; RUNNING and the like are for the caller to refuse. */
export function statesOf(checker: Checker, states: readonly number[]): JobState[] {
  const out = new Set<JobState>();
  states.forEach((state, i) => {
    const ours = fromState(state);
    if (ours === undefined) checker.add(`states[${i}]`, 'is not a state of a job');
    else out.add(ours);
  });
  return [...out];
}

async function listJobs(deps: Deps, request: ListJobsRequest, call: Call): Promise<ListJobsResponse> {
  const checker = new Checker();
  const namespace = checker.namespace('namespace', request.namespace);
  const fn = checker.optionalName('function', request.function);
  const states = statesOf(checker, request.states);
  const uniqueKey = checker.text('unique_key', request.uniqueKey, UNIQUE_KEY_BYTES_MAX);
  const pageSize = checker.count('page_size', request.pageSize, 0, JOBS_PAGE_MAX) || JOBS_PAGE_DEFAULT;
  const view = viewOf(checker, request.view);
  const read = readOptions(checker, request, call);
  const query = ['jobs', namespace, fn, [...states].sort(), uniqueKey];
  const position = parsePageToken(query, request.pageToken);
  const after = Number(position ?? 0);
  if (position === null || !Number.isSafeInteger(after)) {
    checker.add('page_token', 'belongs to another query, or never came from a server');
  }
  checker.done();

  const page = await deps.api.listJobs(
    { namespace, function: fn, states, uniqueKey, pageSize, after, budget: deps.limits.listBudget },
    read,
  );
  const jobs: Job[] = [];
  let next = page.next;
  let bytes = 0;
  for (const [i, found] of page.jobs.entries()) {
    const job = toJob(found, view, deps.api.clusterName);
    bytes += Job.encode(job).finish().length;
    if (i > 0 && bytes > deps.limits.pageBytes) {
      next = page.jobs[i - 1]!.seq;
      break;
    }
    jobs.push(job);
  }
  return { jobs, nextPageToken: toPageToken(query, next === 0 ? '' : String(next)) };
}

function changed(result: ChangeResult): { revision: string } {
  return { revision: toRevision(result.revision) };
}

function jobOf(request: { readonly namespace: string; readonly jobId: string }, checker = new Checker()) {
  const namespace = checker.namespace('namespace', request.namespace);
  const id = checker.jobId('job_id', request.jobId);
  checker.done();
  return { namespace, id };
}

async function cancelJob(deps: Deps, request: CancelJobRequest, call: Call): Promise<CancelJobResponse> {
  const checker = new Checker();
  const reason = checker.text('reason', request.reason, TEXT_BYTES_MAX);
  const usual = deps.api.settings().cancelGraceMs;
  const graceMs = checker.duration('grace', request.grace, 0, DURATION_MS_MAX, usual);
  const { namespace, id } = jobOf(request, checker);
  return changed(await deps.api.cancelJob(namespace, id, reason, graceMs, { signal: call.signal }));
}

async function retryJob(deps: Deps, request: RetryJobRequest, call: Call): Promise<RetryJobResponse> {
  const { namespace, id } = jobOf(request);
  return changed(await deps.api.retryJob(namespace, id, { signal: call.signal }));
}

async function deleteJob(deps: Deps, request: DeleteJobRequest, call: Call): Promise<DeleteJobResponse> {
  const { namespace, id } = jobOf(request);
  return changed(await deps.api.deleteJob(namespace, id, { signal: call.signal }));
}
