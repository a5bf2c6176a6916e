import type { Blob } from '../../proto/gen/gearmesh/v1/common.js';
import { JobServiceService, type JobSpec, type SubmitJobsResponse } from '../../proto/gen/gearmesh/v1/job.js';
import { callOnce } from './calls.js';
import { fromSubmitResult, timestampMs } from './convert.js';
import { collect, download, type Wanted } from './download.js';
import type { Cursor, Opened } from './endpoints.js';
import { GearmeshError } from './errors.js';
import type { Source } from './source.js';
import { errorOfStatus, worthRepeating } from './status.js';
import type { SubmitResult } from './types.js';
import type { IdSource } from './ulid.js';
import { upload, uploadError, worthAnotherUpload } from './upload.js';

export const PAYLOAD_BYTES_MAX = 64 << 20;
/** What servers take in a message unless they say otherwise, bytes. */
export const INLINE_BYTES = 256 << 10;
/** Under this name servers refuse what would have been taken as an upload. */
const INLINE_LIMIT = 'limits.payload-bytes-max';
/** However often uploads get on: one that never comes to its end is given up after so many. */
const TRIES_MAX = 10;
const NOTHING = new Uint8Array(0);

export interface Patience {
  /** For how long nothing may move. */
  readonly timeoutMs: number;
  /** The silence of a stream does not count. */
  readonly patient?: boolean;
  readonly signal?: AbortSignal;
}

/** What names an upload at the node that took it. Rejects with GearmeshError. */
export type Name<R> = (opened: Opened, blob: Blob, until: number) => Promise<R>;

/**
 * Uploads to a node and names the upload there, at one node after the other until one has done both. Rejects with
 * GearmeshError; its outcome is that of the naming.
 */
export async function uploadAndName<R>(
  cursor: Cursor,
  source: Source,
  patience: Patience,
  name: Name<R>,
): Promise<R> {
  try {
    return await atSomeNode(cursor, source, patience, name);
  } finally {
    source.close();
  }
}

async function atSomeNode<R>(
  cursor: Cursor,
  source: Source,
  { timeoutMs, patient, signal }: Patience,
  name: Name<R>,
): Promise<R> {
  let inDoubt = false;
  let until = performance.now() + timeoutMs;
  const moved = (): void => {
    until = performance.now() + timeoutMs;
  };
  for (let tries = 0; ; tries++) {
    const opened = await cursor.open(until, tries, signal).catch((error: GearmeshError) => {
      throw inDoubt ? error.inDoubt() : error;
    });
    let naming = false;
    try {
      const blob = await upload(opened.client, source, { idleMs: timeoutMs, patient, signal, moved });
      naming = true;
      const answer = await name(opened, blob, performance.now() + timeoutMs);
      cursor.succeeded(opened.endpoint);
      return answer;
    } catch (thrown) {
      const error = thrown as GearmeshError;
      inDoubt ||= naming && error.outcome === 'UNKNOWN';
      const again =
        worthAnotherUpload(error, source) &&
        tries < TRIES_MAX &&
        performance.now() < until &&
        !signal?.aborted;
      if (again || worthRepeating(error)) cursor.failed(opened.endpoint);
      if (!again) {
        throw uploadError(inDoubt ? error.inDoubt() : error.certain(), source);
      }
    }
  }
}

/** Payloads and results that are too large for messages, for a client. */
export class LargePayloads {
  readonly #cursor: Cursor;
  readonly #ids: IdSource;
  readonly #namespace: string;
  readonly #timeoutMs: number;
  readonly #bytesMax: number;
  readonly #pending = new Set<Promise<unknown>>();
  /** Larger payloads are uploaded. Learnt from refusals. */
  inlineBytesMax = INLINE_BYTES;

  constructor(cursor: Cursor, ids: IdSource, namespace: string, timeoutMs: number, bytesMax: number) {
    this.#cursor = cursor;
    this.#ids = ids;
    this.#namespace = namespace;
    this.#timeoutMs = timeoutMs;
    this.#bytesMax = bytesMax;
  }

  /** True for the refusal of a payload that would have been taken as an upload: larger ones are uploaded from now on. */
  learn(error: unknown): boolean {
    if (!(error instanceof GearmeshError) || error.metadata.limit !== INLINE_LIMIT) return false;
    const limit = Number(error.metadata.value);
    if (!(limit > 0)) return false;
    this.inlineBytesMax = limit;
    return true;
  }

  /** An id of the SDK's own is made when the upload is done: it may have taken longer than ids are good for. */
  submit(spec: JobSpec, ownId: boolean, source: Source, patience: Patience): Promise<SubmitResult> {
    let job: JobSpec = { ...spec, payload: NOTHING };
    let sends = 0;
    const name = async (opened: Opened, payloadBlob: Blob, until: number): Promise<SubmitResult> => {
      for (;;) {
        if (ownId && sends === 0) job = { ...job, id: this.#ids.next() };
        sends++;
        const jobs = [{ ...job, payloadBlob }];
        const request = { namespace: this.#namespace, jobs, allOrNothing: false };
        const { submitJobs } = JobServiceService;
        const bytes = submitJobs.requestSerialize(request);
        const answer = await callOnce(opened.client, submitJobs, bytes, until, patience.signal);
        const error = this.#refusal(answer);
        if (error === null) return fromSubmitResult(answer.results[0]!);
        const wrongClock = error.reason === 'ID_TOO_OLD' || error.reason === 'ID_IN_FUTURE';
        // The answer brought the right time, and what was refused can be named again.
        if (!wrongClock || !ownId || sends > 1) throw error;
        job = { ...job, id: this.#ids.next() };
      }
    };
    const done = uploadAndName(this.#cursor, source, patience, name);
    this.#pending.add(done);
    const forget = (): void => {
      this.#pending.delete(done);
    };
    done.then(forget, forget);
    return done;
  }

  #refusal({ serverTime, results }: SubmitJobsResponse): GearmeshError | null {
    if (serverTime !== undefined) this.#ids.observe(timestampMs(serverTime));
    const error = results[0]?.error;
    return error === undefined ? null : errorOfStatus(error);
  }

  /** Uploads what a job that is followed is called with, to this node. */
  upload(opened: Opened, source: Source, patience: Patience, moved: () => void): Promise<Blob> {
    return upload(opened.client, source, { idleMs: patience.timeoutMs, signal: patience.signal, moved });
  }

  stream(
    jobId: string,
    part: Wanted['part'],
    { timeoutMs = this.#timeoutMs, signal }: Partial<Patience> = {},
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const wanted = { namespace: this.#namespace, jobId, part, leaseToken: 0 };
    return download(wanted, { cursor: this.#cursor, idleMs: timeoutMs, signal });
  }

  /** All of it, unless that is more than the client wants in memory. */
  async fetch(jobId: string, part: Wanted['part'], size: number): Promise<Uint8Array> {
    if (size > this.#bytesMax) throw tooLargeForMemory(part, size, this.#bytesMax);
    return collect(this.stream(jobId, part));
  }

  /** Resolves when no submission is under way. */
  async drained(): Promise<void> {
    await Promise.allSettled(this.#pending);
  }
}

export function tooLargeForMemory(part: string, size: number, bytesMax: number): GearmeshError {
  const message = `the ${part} has ${size} bytes, more than payloadBytesMax (${bytesMax}): read it by stream()`;
  const metadata = { limit: 'payloadBytesMax', value: String(bytesMax) };
  return new GearmeshError('RESOURCE_EXHAUSTED', 'PAYLOAD_TOO_LARGE', message, { metadata });
}
