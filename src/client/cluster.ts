import { ClusterServiceService, type ReplaceNodeProgress } from '../../proto/gen/gearmesh/v1/cluster.js';
import { type Calls, serverStream, unary } from './calls.js';
import { fromCluster, toConsistency } from './convert.js';
import { AbortedError, timedOut } from './errors.js';
import { type CallStatus, errorOfCall } from './status.js';
import type { CallOptions, ClusterInfo, ReadOptions } from './types.js';

export interface ReplaceOptions {
  readonly signal?: AbortSignal;
  /**
   * Gives up after this long. Default: as long as it takes, once a node was reached within the client's `timeoutMs`.
   * What was begun may go on for a moment, and said again it goes on where it stopped.
   */
  readonly timeoutMs?: number;
  /** Told each step, as a line for people. */
  readonly onProgress?: (line: string) => void;
}

/** The cluster itself. Reached as `client.cluster`. */
export class Cluster {
  readonly #calls: Calls;

  constructor(calls: Calls) {
    this.#calls = calls;
  }

  /** The cluster as the asked node sees it. With `eventual` it answers without a leader too. */
  async get(options: ReadOptions = {}): Promise<ClusterInfo> {
    const request = { consistency: toConsistency(options), minRevision: options.minRevision ?? '' };
    return fromCluster(await unary(this.#calls, ClusterServiceService.getCluster, request, options, 'read'));
  }

  /** Makes another node the leader; `node` '' lets the leader choose. Not repeated when its outcome is unknown. */
  transferLeadership(
    node = '',
    options: CallOptions = {},
  ): Promise<{ readonly leader: string; readonly term: number; readonly revision: string }> {
    return unary(this.#calls, ClusterServiceService.transferLeadership, { node }, options, 'once');
  }

  /**
   * Brings a node back whose disk was lost or damaged: removed, added as a learner, a voter again once it has caught
   * up. Resolves when that is done, which may take as long as copying the state, with the revision at which any node
   * shows it. Not repeated.
   */
  async replace(node: string, options: ReplaceOptions = {}): Promise<{ readonly revision: string }> {
    const { signal, onProgress } = options;
    const until = performance.now() + (options.timeoutMs ?? this.#calls.timeoutMs);
    const { client } = await this.#calls.cursor.open(until, 0, signal);
    return new Promise((resolve, reject) => {
      const stream = serverStream(client, ClusterServiceService.replaceNode, { node });
      const onAbort = (): void => stream.cancel();
      const late =
        options.timeoutMs === undefined ? undefined : setTimeout(onAbort, until - performance.now());
      signal?.addEventListener('abort', onAbort, { once: true });
      let revision = '';
      stream.on('data', (progress: ReplaceNodeProgress) => {
        revision = progress.revision;
        if (progress.line !== '') onProgress?.(progress.line);
      });
      stream.on('error', () => {}); // 'status' says the same and comes always
      stream.on('status', (status: CallStatus) => {
        signal?.removeEventListener('abort', onAbort);
        clearTimeout(late);
        if (status.code === 0) resolve({ revision });
        else if (signal?.aborted) reject(new AbortedError(signal, 'UNKNOWN'));
        else if (late !== undefined && performance.now() >= until - 1)
          reject(timedOut('the call', 'UNKNOWN'));
        else reject(errorOfCall(status));
      });
    });
  }
}
