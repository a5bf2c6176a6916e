import { JobState as ProtoState } from '../../proto/gen/gearmesh/v1/common.js';
import {
  Disposition,
  type JobSpec as ProtoSpec,
  type SubmitJobRequest,
  type SubmitJobsRequest,
  type SubmitJobsResponse,
  type SubmitResult,
} from '../../proto/gen/gearmesh/v1/job.js';
import type { GearmeshError } from '../core/errors.js';
import type { JobSpec } from '../core/types.js';
import type { SubmitResult as NodeResult } from '../node/interface.js';
import type { Call } from './call.js';
import { DISPOSITIONS, STATES } from './convert.js';
import type { Deps } from './deps.js';
import { toldStatus } from './errors.js';
import { toRevision } from './revision.js';
import { toTimestamp } from './time.js';
import { Checker } from './validate.js';
import { jobSpec, specTooLarge } from './validate-job.js';

export async function submitJob(deps: Deps, request: SubmitJobRequest, call: Call): Promise<SubmitResult> {
  const { result } = await submitOne(deps, request, false, call);
  return { ...toResult(deps, result), serverTime: toTimestamp(deps.api.wallMs()) };
}

/** Submits the one job of a request; throws when it was refused. */
export async function submitOne(
  deps: Deps,
  request: SubmitJobRequest,
  foreground: boolean,
  call: Call,
): Promise<{ readonly namespace: string; readonly result: NodeResult }> {
  const checker = new Checker();
  const namespace = checker.namespace('namespace', request.namespace);
  if (request.job === undefined) {
    checker.add('job', 'is required');
    throw checker.take();
  }
  const settings = deps.api.settings();
  checker.within('job');
  const spec = jobSpec(checker, deps.api, settings, request.job, foreground);
  checker.done();
  const tooLarge = specTooLarge('job', request.job, settings);
  if (tooLarge !== null) throw tooLarge;
  const [result] = await deps.api.submit(namespace, [spec!], { allOrNothing: false, signal: call.signal });
  if (result!.error !== null) throw result!.error;
  return { namespace, result: result! };
}

export async function submitJobs(
  deps: Deps,
  request: SubmitJobsRequest,
  call: Call,
): Promise<SubmitJobsResponse> {
  const results = await submitMany(deps, request, call.signal);
  return { results, serverTime: toTimestamp(deps.api.wallMs()) };
}

/**
 * Submits the jobs of one namespace in one call. A job that is refused by the checks has its own answer and does not
 * hold up the others, unless all or nothing was asked for: then it refuses them all.
 */
export async function submitMany(
  deps: Deps,
  request: {
    readonly namespace: string;
    readonly jobs: readonly ProtoSpec[];
    readonly allOrNothing: boolean;
  },
  signal: AbortSignal,
): Promise<SubmitResult[]> {
  const { jobs, allOrNothing } = request;
  const checker = new Checker();
  const namespace = checker.namespace('namespace', request.namespace);
  if (jobs.length === 0) checker.add('jobs', 'is required');
  const most = deps.limits.jobsPerCallMax;
  if (jobs.length > most) checker.add('jobs', `has ${jobs.length} elements, the limit is ${most}`);
  checker.done();

  const { good, refused } = checkAll(deps, checker, jobs, allOrNothing);
  const done = good.length === 0 ? [] : await deps.api.submit(namespace, good, { allOrNothing, signal });
  if (refused === null) return done.map((result) => toResult(deps, result));
  let next = 0;
  return jobs.map((_, i) => {
    const error = refused.get(i);
    return error === undefined ? toResult(deps, done[next++]!) : refusedResult(deps, error);
  });
}

function checkAll(
  deps: Deps,
  checker: Checker,
  jobs: readonly ProtoSpec[],
  allOrNothing: boolean,
): { good: JobSpec[]; refused: Map<number, GearmeshError> | null } {
  const settings = deps.api.settings();
  const good: JobSpec[] = [];
  let refused: Map<number, GearmeshError> | null = null;
  for (let i = 0; i < jobs.length; i++) {
    const job = jobs[i]!;
    checker.within('jobs', i);
    const spec = jobSpec(checker, deps.api, settings, job, false);
    let error: GearmeshError | null = null;
    if (job.payload.length > settings.payloadBytesMax || job.payloadBlob !== undefined) {
      error = specTooLarge(`jobs[${i}]`, job, settings);
    }
    if (allOrNothing) {
      if (error !== null) throw error;
      if (spec !== null) good.push(spec);
      continue;
    }
    error = (spec === null ? checker.take() : null) ?? error;
    if (error === null) {
      good.push(spec!);
    } else {
      refused ??= new Map();
      refused.set(i, error);
    }
  }
  checker.done();
  return { good, refused };
}

function toResult(deps: Deps, result: NodeResult): SubmitResult {
  if (result.error !== null) return refusedResult(deps, result.error);
  return {
    jobId: result.jobId,
    disposition: DISPOSITIONS[result.disposition],
    state: STATES[result.state],
    revision: toRevision(result.revision),
    serverTime: undefined,
    error: undefined,
  };
}

function refusedResult(deps: Deps, error: GearmeshError): SubmitResult {
  return {
    jobId: '',
    disposition: Disposition.UNSPECIFIED,
    state: ProtoState.UNSPECIFIED,
    revision: '',
    serverTime: undefined,
    error: toldStatus(deps, error),
  };
}
