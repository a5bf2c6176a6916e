import type { BlobInfo, ClusterInfo, JobErrorInfo, JobInfo, QueueInfo } from '../client/index.js';

/** What `--json` prints. Part of the interface: fields are added, never renamed or taken away. Times are ISO 8601. */

/** Bytes as text where they are valid UTF-8, otherwise in base 64; the name says which. */
export function contentJson(name: string, bytes: Uint8Array): Record<string, string> {
  try {
    return { [name]: new TextDecoder('utf-8', { fatal: true }).decode(bytes) };
  } catch {
    return { [`${name}_base64`]: Buffer.from(bytes).toString('base64') };
  }
}

/** The same for a payload or result; of one that is too large for messages its digest is shown. */
function partJson(name: string, bytes: Uint8Array, blob: BlobInfo | undefined): Record<string, string> {
  if (blob === undefined) return contentJson(name, bytes);
  return { [`${name}_sha256`]: Buffer.from(blob.sha256).toString('hex') };
}

const iso = (time: Date | undefined): string | null => time?.toISOString() ?? null;

function errorJson(error: JobErrorInfo | undefined): object | null {
  return error === undefined ? null : { code: error.code, message: error.message };
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
    created_at: iso(job.createdAt),
    due_at: iso(job.dueAt),
    started_at: iso(job.startedAt),
    finished_at: iso(job.finishedAt),
    progress: job.progress ?? null,
    cancel_requested: job.cancelRequested,
    error: errorJson(job.error),
    attempts: job.attempts.map((a) => ({
      number: a.number,
      worker: a.worker,
      node: a.node,
      started_at: iso(a.startedAt),
      ended_at: iso(a.endedAt),
      error: errorJson(a.error),
    })),
    metadata: job.metadata,
    content_type: job.contentType,
    payload_size: job.payloadSize,
    ...(full ? partJson('payload', job.payload, job.payloadBlob) : {}),
    result_content_type: job.resultContentType,
    result_size: job.resultSize,
    ...(full ? partJson('result', job.result, job.resultBlob) : {}),
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
