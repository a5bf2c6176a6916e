import { createHash } from 'node:crypto';
import type { ClientReadableStream } from '@grpc/grpc-js';
import {
  type DownloadPayloadResponse,
  PayloadPart,
  PayloadServiceService,
} from '../../proto/gen/gearmesh/v1/payloads.js';
import { serverStream } from './calls.js';
import type { Cursor } from './endpoints.js';
import { AbortedError, GearmeshError, timedOut } from './errors.js';
import { type CallStatus, errorOfCall, worthRepeating } from './status.js';

export interface Wanted {
  readonly namespace: string;
  readonly jobId: string;
  readonly part: 'payload' | 'result';
  /** 0: not as a worker. */
  readonly leaseToken: number;
}

export interface DownloadOptions {
  readonly cursor: Cursor;
  /** For how long nothing may come from any node. */
  readonly idleMs: number;
  readonly signal?: AbortSignal;
}

/**
 * The payload or result of a job, chunk by chunk; read at the consumer's pace. Should the node be lost it goes on at
 * another one where it was; so it does after a pause of the consumer that was too long for the node. Throws GearmeshError; DATA_LOSS where the bytes are not those that were uploaded.
 */
export async function* download(
  wanted: Wanted,
  o: DownloadOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  const hash = createHash('sha256');
  let sha256 = Buffer.alloc(0);
  let offset = 0;
  let until = performance.now() + o.idleMs;
  for (let tries = 0; ; tries++) {
    const { client, endpoint } = await o.cursor.open(until, tries, o.signal);
    const part = wanted.part === 'payload' ? PayloadPart.PAYLOAD : PayloadPart.RESULT;
    const stream = serverStream(client, PayloadServiceService.downloadPayload, { ...wanted, part, offset });
    try {
      for await (const message of messages(stream, o)) {
        if (message.sha256.length > 0) sha256 = Buffer.from(message.sha256);
        if (message.data.length === 0) continue;
        offset += message.data.length;
        hash.update(message.data);
        yield message.data;
        until = performance.now() + o.idleMs;
        tries = 0;
      }
      o.cursor.succeeded(endpoint);
      break;
    } catch (thrown) {
      const error = thrown as GearmeshError;
      if (performance.now() >= until) throw error;
      // The node waited long enough for a reader who paused: the rest is to be had there all the same.
      if (isPause(error)) continue;
      if (!worthRepeating(error)) throw error;
      o.cursor.failed(endpoint);
    } finally {
      stream.cancel();
    }
  }
  if (sha256.length > 0 && !hash.digest().equals(sha256)) {
    throw new GearmeshError('DATA_LOSS', 'OTHER', `the ${wanted.part} is not as it was uploaded`);
  }
}

function isPause(error: GearmeshError): boolean {
  return error.reason === 'LIMIT_REACHED' && error.metadata.limit === 'slow-reader-ms';
}

/** The stream's messages; nothing may take longer than the time for it while somebody waits. */
async function* messages(
  stream: ClientReadableStream<DownloadPayloadResponse>,
  { idleMs, signal }: DownloadOptions,
): AsyncGenerator<DownloadPayloadResponse, void, undefined> {
  let late = false;
  let timer: NodeJS.Timeout;
  const wait = (): void => {
    timer = setTimeout(() => {
      late = true;
      stream.cancel();
    }, idleMs);
  };
  const stop = (): void => stream.cancel();
  if (signal?.aborted) stop();
  else signal?.addEventListener('abort', stop, { once: true });
  wait();
  try {
    for await (const message of stream) {
      clearTimeout(timer!);
      yield message as DownloadPayloadResponse;
      wait();
    }
  } catch (error) {
    if (signal?.aborted) throw new AbortedError(signal, 'NOT_APPLIED');
    if (late) throw timedOut('the download', 'NOT_APPLIED', errorOfCall(error as CallStatus));
    throw errorOfCall(error as CallStatus);
  } finally {
    clearTimeout(timer!);
    signal?.removeEventListener('abort', stop);
  }
}

/** All of it in one piece. */
export async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
}
