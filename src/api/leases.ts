import type { JobError } from '../../proto/gen/gearmesh/v1/common.js';
import {
  type CompleteJobRequest,
  type CompleteJobResponse,
  type ExtendLeasesRequest,
  type ExtendLeasesResponse,
  type FailJobRequest,
  type FailJobResponse,
  type JobOutcome,
  type LeaseExtension,
  type LeaseJobsRequest,
  type LeaseJobsResponse,
  OutcomeKind,
  type ReleaseJobRequest,
  type ReleaseJobResponse,
  type ReportProgressRequest,
  type ReportProgressResponse,
  type SendDataRequest,
  type SendDataResponse,
  type WorkerServiceService,
} from '../../proto/gen/gearmesh/v1/worker.js';
import type { Duration } from '../../proto/gen/google/protobuf/duration.js';
import { GearmeshError } from '../core/errors.js';
import type { Outcome } from '../core/types.js';
import type { Assignment } from '../node/interface.js';
import type { Call } from './call.js';
import { toAssignment } from './convert.js';
import type { Deps } from './deps.js';
import { toldStatus } from './errors.js';
import {
  LEASE_MS_DEFAULT,
  LEASE_MS_MAX,
  LEASE_MS_MIN,
  LEASE_WAIT_MS_MAX,
  LEASES_MAX,
  NAME_BYTES_MAX,
} from './limits.js';
import { toRevision } from './revision.js';
import type { Verbs } from './table.js';
import { toTimestamp } from './time.js';
import { Checker } from './validate.js';
import { functionSpecs, leaseData, leaseProgress, outcome } from './validate-worker.js';
import { work } from './work.js';

export const workerVerbs: Verbs<typeof WorkerServiceService> = {
  work,
  leaseJobs,
  extendLeases,
  completeJob,
  failJob,
  releaseJob,
  reportProgress,
  sendData,
};

function leaseMs(checker: Checker, duration: Duration | undefined): number {
  const unset = duration === undefined || (duration.seconds === 0 && duration.nanos === 0);
  if (unset) return LEASE_MS_DEFAULT;
  return checker.duration('lease_duration', duration, LEASE_MS_MIN, LEASE_MS_MAX, LEASE_MS_DEFAULT);
}

async function leaseJobs(deps: Deps, request: LeaseJobsRequest, call: Call): Promise<LeaseJobsResponse> {
  const checker = new Checker();
  const namespace = checker.namespace('namespace', request.namespace);
  const worker = checker.name('worker_name', request.workerName);
  if (request.functions.length === 0) checker.add('functions', 'is required');
  const wanted = request.functions.map((name) => ({ name, concurrency: 0, runTimeout: undefined }));
  const functions = functionSpecs(checker, 'functions', wanted, deps.api.settings());
  const maxJobs = checker.count('max_jobs', request.maxJobs, 0, LEASES_MAX) || 1;
  const waitMs = checker.duration('wait', request.wait, 0, LEASE_WAIT_MS_MAX, 0);
  const durationMs = leaseMs(checker, request.leaseDuration);
  const requestId = checker.text('request_id', request.requestId, NAME_BYTES_MAX);
  checker.done();
  const assignments = await deps.api.leaseJobs(
    { namespace, worker, functions, maxJobs, waitMs, durationMs, requestId },
    { signal: call.signal },
  );
  // Nobody will hear of these leases, and without a request id nobody can ask for them again.
  if (call.over && requestId === '') await giveBack(deps, assignments);
  return {
    assignments: assignments.map(toAssignment),
    serverTime: toTimestamp(deps.api.wallMs()),
    revision: assignments.length === 0 ? '' : toRevision(Math.max(...assignments.map((a) => a.job.revision))),
  };
}

async function giveBack(deps: Deps, assignments: readonly Assignment[]): Promise<void> {
  const releases = assignments.map(({ token, job }) => {
    const outcome: Outcome = { kind: 'release', seq: 0, token, reason: 'the caller went away' };
    return deps.api.settle(job.namespace, job.id, outcome, {});
  });
  await Promise.allSettled(releases);
}

async function extendLeases(
  deps: Deps,
  request: ExtendLeasesRequest,
  call: Call,
): Promise<ExtendLeasesResponse> {
  const checker = new Checker();
  const tokens = request.leaseTokens;
  if (tokens.length === 0) checker.add('lease_tokens', 'is required');
  if (tokens.length > LEASES_MAX) checker.add('lease_tokens', `has more than ${LEASES_MAX} elements`);
  const durationMs = leaseMs(checker, request.leaseDuration);
  checker.done();
  const { ends, revision } = await deps.api.extendLeases(tokens, durationMs, { signal: call.signal });
  const extensions = tokens.map((leaseToken, i): LeaseExtension => {
    const end = ends[i]!;
    return end instanceof GearmeshError
      ? { leaseToken, deadline: undefined, error: toldStatus(deps, end) }
      : { leaseToken, deadline: toTimestamp(end), error: undefined };
  });
  const changed = extensions.some(({ error }) => error === undefined);
  return { extensions, revision: changed ? toRevision(revision) : '' };
}

interface Settled {
  readonly namespace: string;
  readonly jobId: string;
  readonly leaseToken: number;
}

const NO_BYTES = new Uint8Array(0);
const NO_ERROR: JobError | undefined = undefined;

/** An outcome by a plain call: the same checks and the same answers as over the stream. */
async function settle(
  deps: Deps,
  request: Settled,
  said: Partial<JobOutcome> & { readonly kind: OutcomeKind },
  call: Call,
): Promise<{ revision: string }> {
  const checker = new Checker();
  const namespace = checker.namespace('namespace', request.namespace);
  const checked = outcome(
    checker,
    {
      leaseToken: request.leaseToken,
      jobId: request.jobId,
      result: NO_BYTES,
      resultContentType: '',
      error: NO_ERROR,
      retryable: false,
      retryAfter: undefined,
      reason: '',
      dataCount: 0,
      ...said,
    },
    deps.api.settings(),
  );
  if (checked instanceof GearmeshError) throw checked;
  const { jobId, ...rest } = checked;
  const result = await deps.api.settle(namespace, jobId, { ...rest, seq: 0 } as Outcome, {
    signal: call.signal,
  });
  if (result.error !== null) throw result.error;
  return { revision: toRevision(result.revision) };
}

function completeJob(deps: Deps, request: CompleteJobRequest, call: Call): Promise<CompleteJobResponse> {
  const { result, resultContentType, dataCount } = request;
  const said = { kind: OutcomeKind.COMPLETE, result, resultContentType, dataCount };
  return settle(deps, request, said, call);
}

function failJob(deps: Deps, request: FailJobRequest, call: Call): Promise<FailJobResponse> {
  const { error, retryable, retryAfter, dataCount } = request;
  const said = { kind: OutcomeKind.FAIL, error, retryable, retryAfter, dataCount };
  return settle(deps, request, said, call);
}

function releaseJob(deps: Deps, request: ReleaseJobRequest, call: Call): Promise<ReleaseJobResponse> {
  return settle(deps, request, { kind: OutcomeKind.RELEASE, reason: request.reason }, call);
}

async function reportProgress(
  deps: Deps,
  request: ReportProgressRequest,
  call: Call,
): Promise<ReportProgressResponse> {
  const checker = new Checker();
  const { numerator, denominator, message } = leaseProgress(checker, request);
  checker.done();
  await deps.api.reportProgress(request.leaseToken, numerator, denominator, message, {
    signal: call.signal,
  });
  return {};
}

async function sendData(deps: Deps, request: SendDataRequest, call: Call): Promise<SendDataResponse> {
  const checker = new Checker();
  leaseData(checker, request, deps.api.settings());
  checker.done();
  await deps.api.sendData(request.leaseToken, request.first, request.chunks, { signal: call.signal });
  return {};
}
