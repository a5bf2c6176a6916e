import { QueueServiceService } from '../../proto/gen/gearmesh/v1/queue.js';
import { type Calls, unary } from './calls.js';
import { fromQueue, toConsistency, toState } from './convert.js';
import type { CallOptions, Change, JobState, QueueInfo, ReadOptions } from './types.js';

export interface ListQueuesOptions extends ReadOptions {
  /** Those of all namespaces instead of the client's. */
  readonly allNamespaces?: boolean;
}

/** Queues: one for each function. Reached as `client.queues`. */
export class Queues {
  readonly #calls: Calls;
  readonly #namespace: string;

  constructor(calls: Calls, namespace: string) {
    this.#calls = calls;
    this.#namespace = namespace;
  }

  /** All queues, ascending by namespace and function. */
  async list(options: ListQueuesOptions = {}): Promise<QueueInfo[]> {
    const queues: QueueInfo[] = [];
    let pageToken = '';
    do {
      const page = await unary(
        this.#calls,
        QueueServiceService.listQueues,
        {
          namespace: options.allNamespaces ? '' : this.#namespace,
          allNamespaces: options.allNamespaces ?? false,
          consistency: toConsistency(options),
          minRevision: options.minRevision ?? '',
          pageSize: 0,
          pageToken,
        },
        options,
        'read',
      );
      for (const queue of page.queues) queues.push(fromQueue(queue));
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    return queues;
  }

  /** Rejects with NOT_FOUND while no job or worker of the function was ever seen. */
  async get(fn: string, options: ReadOptions = {}): Promise<QueueInfo> {
    const request = {
      namespace: this.#namespace,
      function: fn,
      consistency: toConsistency(options),
      minRevision: options.minRevision ?? '',
    };
    return fromQueue(await unary(this.#calls, QueueServiceService.getQueue, request, options, 'read'));
  }

  /** Starts no more jobs of the function; those that run go on. */
  pause(fn: string, options: CallOptions = {}): Promise<Change> {
    const request = { namespace: this.#namespace, function: fn };
    return unary(this.#calls, QueueServiceService.pauseQueue, request, options, 'repeatable');
  }

  /** Starts jobs again. */
  resume(fn: string, options: CallOptions = {}): Promise<Change> {
    const request = { namespace: this.#namespace, function: fn };
    return unary(this.#calls, QueueServiceService.resumeQueue, request, options, 'repeatable');
  }

  /**
   * Removes the jobs in these states, but never running ones. Resolves with how many go; a large queue empties little
   * by little. After a lost connection it is said again: the number then counts only those that were left.
   */
  purge(
    fn: string,
    states: readonly JobState[] = ['scheduled', 'queued'],
    options: CallOptions = {},
  ): Promise<Change & { readonly jobs: number }> {
    const request = { namespace: this.#namespace, function: fn, states: states.map(toState) };
    return unary(this.#calls, QueueServiceService.purgeQueue, request, options, 'repeatable');
  }

  /**
   * Limits the jobs that have not ended: whoever submits more gets LIMIT_REACHED. All count, whatever their priority,
   * against the limit of the one submitted. 0, or left out: no limit.
   */
  limit(
    fn: string,
    jobsMax: { readonly high?: number; readonly normal?: number; readonly low?: number },
    options: CallOptions = {},
  ): Promise<Change> {
    const { high = 0, normal = 0, low = 0 } = jobsMax;
    const request = {
      namespace: this.#namespace,
      function: fn,
      jobsMaxHigh: high,
      jobsMaxNormal: normal,
      jobsMaxLow: low,
    };
    return unary(this.#calls, QueueServiceService.setQueueLimits, request, options, 'repeatable');
  }

  /**
   * Forgets a function that has neither workers nor jobs that have not ended. Resolves with how many ended jobs go with
   * it. After a lost connection it may reject with NOT_FOUND although it was this call that did it.
   */
  drop(fn: string, options: CallOptions = {}): Promise<Change & { readonly jobs: number }> {
    const request = { namespace: this.#namespace, function: fn };
    return unary(this.#calls, QueueServiceService.dropQueue, request, options, 'repeatable');
  }
}
