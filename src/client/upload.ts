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
import { PayloadStreamError, type Reading, type Source } from './source.js';
import { errorOfCall, worthRepeating } from './status.js';

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

/** A source that is silent for so long is said to go on, so that the node does not give the upload up: milliseconds. */
const KEEP_ALIVE_MS = 10_000;
const NOTHING = new Uint8Array(0);

export interface UploadOptions {
  readonly idleMs: number;
  /** The source may take its time: only what the node takes counts. */
  readonly patient?: boolean;
  readonly signal?: AbortSignal;
  readonly keepAliveMs?: number;
  /** Bytes went out. */
  moved?(): void;
}

/**
 * Uploads to one node. Rejects with GearmeshError: TIMED_OUT when nothing moves for `idleMs`, PayloadStreamError when the
 * source fails. What was opened of the source is closed then.
 */
export async function upload(client: GrpcClient, source: Source, o: UploadOptions): Promise<Blob> {
  const reading = opened(source);
  const call = new UploadCall(client, source.size, o);
  try {
    // The node, the clock or the signal may end it while the source is silent.
    void call.send(reading);
    const { blob } = await call.answer;
    if (blob === undefined)
      throw new GearmeshError('INTERNAL', 'INTERNAL', 'an upload was answered without a blob');
    return blob;
  } finally {
    call.close();
    reading.close();
  }
}

function opened(source: Source): Reading {
  try {
    return source.open();
  } catch (error) {
    throw new PayloadStreamError(error);
  }
}

class UploadCall {
  readonly answer: Promise<UploadPayloadResponse>;
  readonly #stream: ClientWritableStream<UploadPayloadRequest>;
  readonly #signal: AbortSignal | undefined;
  readonly #timer: NodeJS.Timeout;
  readonly #keepAlive: NodeJS.Timeout;
  readonly #patient: boolean;
  readonly #moved: () => void;
  /** To be said in the first message. */
  #size: number;
  #fail!: (error: GearmeshError) => void;
  #over = false;
  /** Waits for the source. */
  #silent = false;
  /** Waits for room, or for the end of the call. */
  #wake: (() => void) | null = null;

  constructor(client: GrpcClient, size: number, o: UploadOptions) {
    const { idleMs, patient = false, signal, keepAliveMs = KEEP_ALIVE_MS, moved } = o;
    const method = PayloadServiceService.uploadPayload;
    this.#size = size;
    this.#patient = patient;
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
    this.#timer = setTimeout(() => this.#late(), idleMs);
    this.#keepAlive = setInterval(() => {
      if (this.#silent && !this.#over && !this.#stream.writableNeedDrain) this.#write(NOTHING);
    }, keepAliveMs);
    this.#moved = () => {
      this.#timer.refresh();
      moved?.();
    };
    this.#signal = signal;
    if (signal?.aborted) this.#aborted();
    else signal?.addEventListener('abort', this.#aborted, { once: true });
  }

  /** Never rejects: whatever happens shows in the answer. */
  async send(reading: Reading): Promise<void> {
    try {
      for (;;) {
        this.#silent = true;
        const data = await reading.next(this.#moved);
        this.#silent = false;
        if (this.#over) return;
        this.#moved();
        if (data === null) break;
        if (!this.#write(data)) await this.#room();
        if (this.#over) return;
        this.#moved();
      }
      this.#stream.end();
    } catch (error) {
      this.#giveUp(new PayloadStreamError(error));
    }
  }

  close(): void {
    this.#over = true;
    clearTimeout(this.#timer);
    clearInterval(this.#keepAlive);
    this.#signal?.removeEventListener('abort', this.#aborted);
  }

  #write(data: Uint8Array): boolean {
    const size = this.#size;
    this.#size = 0;
    return this.#stream.write({ size, data });
  }

  #late(): void {
    if (this.#patient && this.#silent) this.#moved();
    else this.#giveUp(timedOut('the upload', 'NOT_APPLIED'));
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
