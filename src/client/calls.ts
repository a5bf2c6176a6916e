import {
  type ClientDuplexStream,
  type ClientReadableStream,
  type Client as GrpcClient,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import type { Cursor } from './endpoints.js';
import { AbortedError, type GearmeshError, timedOut } from './errors.js';
import { errorOfCall, worthRepeating } from './status.js';
import type { CallOptions } from './types.js';

/** One method of a generated service definition. */
export interface Method<Q, R> {
  readonly path: string;
  readonly requestSerialize: (value: Q) => Buffer;
  readonly responseDeserialize: (value: Buffer) => R;
}

/**
 * Whether a call may be said again after its connection broke. `read`: it changes nothing. `repeatable`: saying it
 * twice has the effect of saying it once; only the answer may differ. `once`: neither.
 */
export type Repetition = 'read' | 'repeatable' | 'once';

export interface Calls {
  readonly cursor: Cursor;
  readonly timeoutMs: number;
}

/**
 * A plain call, tried on one endpoint after the other until one answers, a refusal comes that will not change, or the
 * time is over. Rejects with GearmeshError.
 */
export async function unary<Q, R>(
  calls: Calls,
  method: Method<Q, R>,
  request: Q,
  options: CallOptions,
  repetition: Repetition,
): Promise<R> {
  const { cursor } = calls;
  const { signal } = options;
  const bytes = method.requestSerialize(request); // here, so that what cannot be encoded is no lost connection
  const until = performance.now() + (options.timeoutMs ?? calls.timeoutMs);
  let inDoubt = false;
  for (let tries = 0; ; tries++) {
    let endpoint = -1;
    try {
      const opened = await cursor.open(until, tries, signal);
      endpoint = opened.endpoint;
      const answer = await callOnce(opened.client, method, bytes, until, signal);
      cursor.succeeded(endpoint);
      return answer;
    } catch (thrown) {
      const error = thrown as GearmeshError;
      const unknown = error.outcome === 'UNKNOWN';
      if (repetition !== 'read') inDoubt ||= unknown;
      const again = endpoint >= 0 && worthRepeating(error) && (repetition !== 'once' || !unknown);
      if (!again) throw inDoubt ? error.inDoubt() : error;
      cursor.failed(endpoint);
      if (performance.now() >= until) throw inDoubt ? error.inDoubt() : error;
    }
  }
}

const asItIs = (bytes: Buffer): Buffer => bytes;

/** Said once, to one node. Rejects with GearmeshError. */
export function callOnce<Q, R>(
  client: GrpcClient,
  method: Method<Q, R>,
  request: Buffer,
  until: number,
  signal: AbortSignal | undefined,
): Promise<R> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => call.cancel();
    const call = client.makeUnaryRequest(
      method.path,
      asItIs,
      method.responseDeserialize,
      request,
      new Metadata(),
      { deadline: Date.now() + Math.max(0, until - performance.now()) },
      (error: ServiceError | null, value?: R) => {
        signal?.removeEventListener('abort', onAbort);
        if (error === null) resolve(value as R);
        else if (signal?.aborted) reject(new AbortedError(signal, 'UNKNOWN'));
        else if (performance.now() >= until - 1) reject(timedOut('the call', 'UNKNOWN', errorOfCall(error)));
        else reject(errorOfCall(error));
      },
    );
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/** Throws at once for a request that cannot be encoded. */
export function serverStream<Q, R>(
  client: GrpcClient,
  method: Method<Q, R>,
  request: Q,
): ClientReadableStream<R> {
  return client.makeServerStreamRequest(
    method.path,
    asItIs,
    method.responseDeserialize,
    method.requestSerialize(request),
    new Metadata(),
  );
}

export function duplex<Q, R>(client: GrpcClient, method: Method<Q, R>): ClientDuplexStream<Q, R> {
  return client.makeBidiStreamRequest(
    method.path,
    method.requestSerialize,
    method.responseDeserialize,
    new Metadata(),
  );
}
