import {
  type ClientWritableStream,
  type Client as GrpcClient,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import type { Blob } from '../../proto/gen/gearmesh/v1/common.js';
import {
  PayloadServiceService,
  type UploadPayloadRequest,
  type UploadPayloadResponse,
} from '../../proto/gen/gearmesh/v1/payloads.js';
import { AbortedError, GearmeshError, timedOut } from './errors.js';
import type { Source } from './source.js';
import { errorOfCall, worthRepeating } from './status.js';

/** The stream that was to be a payload broke; `cause` is what it threw. */
export class PayloadStreamError extends GearmeshError {
  override name = 'PayloadStreamError';

  constructor(cause: unknown) {
    const message = cause instanceof Error ? cause.message : String(cause);
    super('CANCELLED', 'PAYLOAD_STREAM_FAILED', `the payload stream failed: ${message}`, { cause });
  }
}

/** A stream was lost with its node, and cannot be had again. */
export class PayloadLostError extends GearmeshError {
  override name = 'PayloadLostError';

  constructor(cause: GearmeshError) {
    const message = `${cause.message}; the payload is a stream that was read already: give a function that opens it anew`;
    super('ABORTED', 'PAYLOAD_LOST', message, { cause, outcome: cause.outcome });
  }
}

/** Limits that pass by themselves. */
const PASSING = new Set(['blob-uploads-max']);

/** Whether an upload that failed, or a call that named it, may succeed when all is done again. */
export function worthAnotherUpload(error: GearmeshError, source: Source): boolean {
  if (error instanceof PayloadStreamError || !source.repeatable) return false;
  const passing = error.reason === 'LIMIT_REACHED' && PASSING.has(error.metadata.limit ?? '');
  // NOT_FOUND: the node lost what was uploaded, by its own restart for instance.
  return passing || worthRepeating(error) || error.reason === 'NOT_FOUND';
}

/** What is told of an upload that cannot be done again though another node would take it. */
export function uploadError(error: GearmeshError, source: Source): GearmeshError {
  const lost = !source.repeatable && (worthRepeating(error) || error.reason === 'NOT_FOUND');
  return lost ? new PayloadLostError(error) : error;
}

export interface UploadOptions {
  readonly idleMs: number;
  readonly signal?: AbortSignal;
  /** Bytes went out. */
  moved?(): void;
}

/**
 * Uploads to one node. Rejects with GearmeshError: TIMED_OUT when nothing moves for `idleMs`, PayloadStreamError when the
 * source fails.
 */
export async function upload(client: GrpcClient, source: Source, o: UploadOptions): Promise<Blob> {
  const call = new UploadCall(client, o);
  try {
    await call.send(source);
    const { blob } = await call.answer;
    if (blob === undefined)
      throw new GearmeshError('INTERNAL', 'INTERNAL', 'an upload was answered without a blob');
    return blob;
  } finally {
    call.close();
  }
}

class UploadCall {
  readonly answer: Promise<UploadPayloadResponse>;
  readonly #stream: ClientWritableStream<UploadPayloadRequest>;
  readonly #signal: AbortSignal | undefined;
  readonly #timer: NodeJS.Timeout;
  readonly #moved: () => void;
  #fail!: (error: GearmeshError) => void;
  #over = false;
  /** Waits for room, or for the end of the call. */
  #wake: (() => void) | null = null;

  constructor(client: GrpcClient, { idleMs, signal, moved }: UploadOptions) {
    const method = PayloadServiceService.uploadPayload;
    let answered!: (answer: UploadPayloadResponse) => void;
    this.answer = new Promise((resolve, reject) => {
      answered = resolve;
      this.#fail = (error) => {
        this.#ended();
        reject(error);
      };
    });
    this.answer.catch(() => {}); // it is told where it is awaited
    this.#stream = client.makeClientStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      new Metadata(),
      (error: ServiceError | null, value?: UploadPayloadResponse) => {
        if (error !== null) return this.#fail(errorOfCall(error));
        this.#ended();
        answered(value!);
      },
    );
    this.#stream.on('drain', () => this.#wake?.());
    this.#stream.on('error', () => {}); // what was refused is not sent any more
    this.#timer = setTimeout(() => this.#giveUp(timedOut('the upload', 'NOT_APPLIED')), idleMs);
    this.#moved = () => {
      this.#timer.refresh();
      moved?.();
    };
    this.#signal = signal;
    if (signal?.aborted) this.#aborted();
    else signal?.addEventListener('abort', this.#aborted, { once: true });
  }

  async send(source: Source): Promise<void> {
    let { size } = source;
    try {
      for await (const data of source.read()) {
        if (this.#over) return;
        const room = this.#stream.write({ size, data });
        size = 0;
        if (!room) await this.#room();
        if (this.#over) return;
        this.#moved();
      }
      this.#stream.end();
    } catch (error) {
      this.#giveUp(new PayloadStreamError(error));
    }
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#signal?.removeEventListener('abort', this.#aborted);
  }

  #room(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = null;
        resolve();
      };
    });
  }

  readonly #aborted = (): void => this.#giveUp(new AbortedError(this.#signal!, 'NOT_APPLIED'));

  #giveUp(error: GearmeshError): void {
    this.#fail(error);
    this.#stream.cancel();
  }

  #ended(): void {
    this.#over = true;
    this.#wake?.();
  }
}
