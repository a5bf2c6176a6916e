import {
  type DownloadPayloadRequest,
  type DownloadPayloadResponse,
  PayloadPart,
  type PayloadServiceService,
  type UploadPayloadRequest,
  type UploadPayloadResponse,
} from '../../proto/gen/gearmesh/v1/payloads.js';
import type { Timer } from '../base/clock.js';
import { GearmeshError } from '../core/errors.js';
import { limitReached } from '../core/limits.js';
import type { BlobRef, JobView } from '../core/types.js';
import type { BlobWriter } from '../node/interface.js';
import type { Inlet, Outlet } from './call.js';
import { toBlob } from './convert.js';
import type { Deps } from './deps.js';
import { PIECE_BYTES_MAX } from './limits.js';
import type { Verbs } from './table.js';
import { Checker } from './validate.js';
import { blobTooLarge } from './validate-payload.js';

export const payloadVerbs: Verbs<typeof PayloadServiceService> = {
  uploadPayload: (deps, inlet) => new Upload(deps, inlet).run(),
  downloadPayload,
};

function invalid(field: string, description: string): GearmeshError {
  const checker = new Checker();
  checker.add(field, description);
  return checker.take()!;
}

/** One upload. Of its bytes only the message that came last is in memory. */
class Upload {
  readonly #deps: Deps;
  readonly #inlet: Inlet<UploadPayloadRequest>;
  #writer: BlobWriter | null = null;
  #messages = 0;
  #claimed = 0;
  #bytes = 0;
  #silence: Timer | null = null;
  #fail!: (error: GearmeshError) => void;

  constructor(deps: Deps, inlet: Inlet<UploadPayloadRequest>) {
    this.#deps = deps;
    this.#inlet = inlet;
  }

  async run(): Promise<UploadPayloadResponse> {
    const failed = new Promise<never>((_, reject) => {
      this.#fail = reject;
    });
    try {
      this.#listen();
      await this.#inlet.each((message) => this.#take(message), failed);
      this.#silence?.cancel();
      const blob = toBlob(await this.#finish());
      // Nobody heard of it.
      if (this.#inlet.over) this.#writer?.abort();
      return { blob };
    } catch (error) {
      this.#writer?.abort();
      throw error;
    } finally {
      this.#silence?.cancel();
    }
  }

  async #take({ size, data }: UploadPayloadRequest): Promise<void> {
    this.#silence?.cancel();
    const { api } = this.#deps;
    const settings = api.settings();
    if (this.#messages++ === 0) this.#claimed = size;
    else if (size !== 0) throw invalid('size', 'may only be in the first message');
    if (data.length > PIECE_BYTES_MAX) throw invalid('data', `is larger than ${PIECE_BYTES_MAX} bytes`);
    this.#bytes += data.length;
    const tooLarge =
      blobTooLarge('size', this.#claimed, settings) ?? blobTooLarge('data', this.#bytes, settings);
    if (tooLarge !== null) throw tooLarge;
    if (this.#claimed > 0 && this.#bytes > this.#claimed) throw this.#otherSize();
    this.#writer ??= await api.createBlob(this.#claimed || -1, { signal: this.#inlet.signal });
    await this.#writer.write(data);
    this.#listen();
  }

  #finish(): Promise<BlobRef> {
    if (this.#writer === null || this.#bytes === 0) throw invalid('data', 'is required');
    if (this.#claimed > 0 && this.#bytes !== this.#claimed) throw this.#otherSize();
    return this.#writer.finish();
  }

  #otherSize(): GearmeshError {
    return invalid('size', `is ${this.#claimed}, but ${this.#bytes} bytes came`);
  }

  /** Only the caller's own silence counts, not the time that the node takes. */
  #listen(): void {
    const { clock, limits } = this.#deps;
    this.#silence = clock.setTimer(limits.slowWriterMs, () => {
      const message = `the upload has sent nothing for ${limits.slowWriterMs} ms`;
      this.#fail(new GearmeshError('CANCELLED', { message }));
    });
  }
}

async function downloadPayload(
  deps: Deps,
  request: DownloadPayloadRequest,
  out: Outlet<DownloadPayloadResponse>,
): Promise<void> {
  const checker = new Checker();
  const namespace = checker.namespace('namespace', request.namespace);
  const id = checker.jobId('job_id', request.jobId);
  const { part, offset, leaseToken } = request;
  if (part !== PayloadPart.PAYLOAD && part !== PayloadPart.RESULT) {
    checker.add('part', 'must be PAYLOAD or RESULT');
  }
  checker.done();
  const job = await find(deps, namespace, id, out.signal, (found) => missing(found, part, leaseToken));
  const ref = part === PayloadPart.PAYLOAD ? job.payloadBlob : job.resultBlob;
  // A copy: a view would not outlive the turn.
  const inline = Buffer.from(part === PayloadPart.PAYLOAD ? job.payload : job.result);
  const size = ref?.size ?? inline.length;
  if (offset > size) throw invalid('offset', `is ${offset}, there are ${size} bytes`);
  const sha256 = ref?.digest ?? NOTHING;
  out.send({ size, sha256, data: NOTHING });
  const chunks =
    ref === null ? pieces(inline, offset) : deps.api.readBlob(ref, offset, { signal: out.signal });
  for await (const data of chunks) {
    if (out.over) return;
    out.send({ size: 0, sha256: NOTHING, data });
    await room(deps, out);
  }
  out.end();
}

const NOTHING = new Uint8Array(0);

function* pieces(bytes: Buffer, offset: number): Iterable<Uint8Array> {
  for (let at = offset; at < bytes.length; at += PIECE_BYTES_MAX) {
    yield bytes.subarray(at, at + PIECE_BYTES_MAX);
  }
}

/** Why the job cannot give what is wanted; null: it can. */
function missing(job: JobView, part: PayloadPart, leaseToken: number): GearmeshError | null {
  if (leaseToken !== 0 && job.token !== leaseToken) return new GearmeshError('LEASE_LOST');
  if (part === PayloadPart.PAYLOAD || job.state === 'succeeded') return null;
  return new GearmeshError('NOT_FOUND', { message: `the job has no result: it is ${job.state}` });
}

/** The job as this node knows it; the cluster is only asked where that is not enough. */
async function find(
  deps: Deps,
  namespace: string,
  id: string,
  signal: AbortSignal,
  lacks: (job: JobView) => GearmeshError | null,
): Promise<JobView> {
  try {
    const job = await deps.api.getJob(namespace, id, { consistency: 'eventual', minRevision: 0, signal });
    if (lacks(job) === null) return job;
  } catch (error) {
    if (!(error instanceof GearmeshError && error.code === 'NOT_FOUND')) throw error;
  }
  const job = await deps.api.getJob(namespace, id, { consistency: 'linearizable', minRevision: 0, signal });
  const error = lacks(job);
  if (error !== null) throw error;
  return job;
}

/** Waits while the caller reads slowly; throws when it does not read at all. */
async function room(deps: Deps, out: Outlet<DownloadPayloadResponse>): Promise<void> {
  const { clock, limits } = deps;
  if (out.waitingBytes <= limits.downloadBytesWaiting) return;
  const late = clock.setTimer(limits.slowReaderMs, () =>
    out.fail(
      limitReached(
        'slowReaderMs',
        limits.slowReaderMs,
        `the caller has read nothing for ${limits.slowReaderMs} ms`,
      ),
    ),
  );
  await out.room(limits.downloadBytesWaiting);
  late.cancel();
}
