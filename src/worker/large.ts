import { CompleteJobRequest, WorkerServiceService } from '../../proto/gen/gearmesh/v1/worker.js';
import { callOnce } from '../client/calls.js';
import { download } from '../client/download.js';
import type { Cursor } from '../client/endpoints.js';
import { uploadAndName } from '../client/large.js';
import type { Source } from '../client/source.js';

/** For how long a node may take or give nothing, milliseconds. */
const IDLE_MS = 30_000;

/** A result that is too large for a frame. */
export interface LargeResult {
  readonly source: Source;
  readonly contentType: string;
}

interface Leased {
  readonly jobId: string;
  readonly leaseToken: number;
}

/** Payloads and results that are too large for frames: they have a connection of their own. */
export class LargeTransfers {
  readonly #cursor: Cursor;
  readonly #namespace: string;

  constructor(cursor: Cursor, namespace: string) {
    this.#cursor = cursor;
    this.#namespace = namespace;
  }

  payload({ jobId, leaseToken }: Leased, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
    const wanted = { namespace: this.#namespace, jobId, leaseToken, part: 'payload' } as const;
    return download(wanted, { cursor: this.#cursor, idleMs: IDLE_MS, signal });
  }

  /**
   * Uploads the result and ends the job with it, at one node, or all of it at another one. The stream that the job came
   * by is not used: nothing else waits behind a result there. The handler's stream may be silent for as long as its lease
   * lasts. Rejects with GearmeshError.
   */
  complete(
    { jobId, leaseToken }: Leased,
    dataCount: number,
    { source, contentType }: LargeResult,
    signal: AbortSignal,
  ): Promise<void> {
    const { completeJob } = WorkerServiceService;
    return uploadAndName(
      this.#cursor,
      source,
      { timeoutMs: IDLE_MS, patient: true, signal },
      async ({ client }, resultBlob, until) => {
        const request = CompleteJobRequest.create({
          namespace: this.#namespace,
          jobId,
          leaseToken,
          resultBlob,
          resultContentType: contentType,
          dataCount,
        });
        await callOnce(client, completeJob, completeJob.requestSerialize(request), until, signal);
      },
    );
  }
}
