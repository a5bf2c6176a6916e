import type { ClusterInfo, JobErrorInfo, JobInfo, QueueInfo } from '../client/index.js';

/** What `--json` prints. Part of the interface: fields are added, never renamed or taken away. Times are ISO 8601. */

/** Bytes as text where they are valid UTF-8, otherwise in base 64; the name says which. */
export function contentJson(name: string, bytes: Uint8Array): Record<string, string> {
  try {
    return { [name]: new TextDecoder('utf-8', { fatal: true }).decode(bytes) };
  } catch {
    return { [`${name}_base64`]: Buffer.from(bytes).toString('base64') };
  }
}

const iso = (time: Date | undefined): string | null => time?.toISOString() ?? null;

/** `full`: with its details, where it has any. */
export function errorJson(error: JobErrorInfo | undefined, full: boolean): object | null {
  if (error === undefined) return null;
  const details = full && error.details.length > 0 ? contentJson('details', error.details) : {};
  return { code: error.code, message: error.message, ...details };
}

/** `full`: with payload and result, which the job must have been read with. */
export function jobJson(job: JobInfo, full: boolean): object {
  return {
    id: job.id,
    namespace: job.namespace,
    function: job.function,
    state: job.state,
    priority: job.priority,
    unique_key: job.uniqueKey,
    attempt: job.attempt,
    max_attempts: job.retry.maxAttempts ?? null,
    retry: {
      initial_backoff_ms: job.retry.initialBackoffMs ?? null,
      max_backoff_ms: job.retry.maxBackoffMs ?? null,
      multiplier: job.retry.multiplier ?? null,
      jitter: job.retry.jitter ?? null,
    },
    foreground: job.foreground,
    run_timeout_ms: job.runTimeoutMs ?? null,
    start_deadline: iso(job.startDeadline),
    result_retention_ms: job.resultRetentionMs ?? null,
    lease_token: job.leaseToken === 0 ? null : job.leaseToken,
    created_at: iso(job.createdAt),
    due_at: iso(job.dueAt),
    started_at: iso(job.startedAt),
    finished_at: iso(job.finishedAt),
    progress: job.progress ?? null,
    cancel_requested: job.cancelRequested,
    cancel_reason: job.cancelReason,
    error: errorJson(job.error, full),
    attempts: job.attempts.map((a) => ({
      number: a.number,
      worker: a.worker,
      node: a.node,
      started_at: iso(a.startedAt),
      ended_at: iso(a.endedAt),
      error: errorJson(a.error, full),
    })),
    metadata: job.metadata,
    traceparent: job.traceparent,
    content_type: job.contentType,
    payload_size: job.payloadSize,
    ...(full ? contentJson('payload', job.payload) : {}),
    result_content_type: job.resultContentType,
    result_size: job.resultSize,
    ...(full ? contentJson('result', job.result) : {}),
    data_count: job.dataCount,
    gearman_handle: job.gearmanHandle,
    revision: job.revision,
  };
}

export function queueJson(queue: QueueInfo): object {
  const { totals } = queue;
  return {
    namespace: queue.namespace,
    function: queue.function,
    paused: queue.paused,
    waiting: queue.waiting,
    scheduled: queue.scheduled,
    running: queue.running,
    kept: queue.kept,
    oldest_waiting_since: iso(queue.oldestWaitingSince),
    workers: queue.workers,
    credits: queue.credits,
    totals: {
      submitted: totals.submitted,
      coalesced: totals.coalesced,
      started: totals.started,
      succeeded: totals.succeeded,
      failed_attempts: totals.failedAttempts,
      failed: totals.failed,
      retried: totals.retried,
      cancelled: totals.cancelled,
      expired: totals.expired,
      leases_lost: totals.leasesLost,
    },
  };
}

export function clusterJson(cluster: ClusterInfo): object {
  return {
    cluster: cluster.name,
    cluster_id: cluster.id,
    leader: cluster.leader === '' ? null : cluster.leader,
    term: cluster.term,
    hash_disagreement: cluster.hashDisagreement === '' ? null : cluster.hashDisagreement,
    nodes: cluster.nodes.map((node) => ({
      id: node.name,
      role: node.role,
      reachable: node.reachable,
      reachable_since: iso(node.reachableSince),
      up: node.up,
      stalled: node.stalled,
      applied_index: node.appliedIndex,
      commit_index: node.commitIndex,
      state_hash: node.stateHash,
      state_hash_index: node.stateHashIndex,
      log_bytes: node.logBytes,
      grpc: node.grpcAddress,
      peer: node.peerAddress,
      http: node.httpAddress,
      version: node.version,
      disk_id: node.diskId,
    })),
  };
}
