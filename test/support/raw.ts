import {
  type CallOptions,
  Client,
  credentials,
  Metadata,
  type MethodDefinition,
  type ServiceError,
} from '@grpc/grpc-js';
import { type CompleteJobRequest, WorkerServiceClient } from '../../proto/gen/gearmesh/v1/worker.js';
import type { GearmeshError } from '../../src/client/index.js';
import { errorOfCall } from '../../src/client/status.js';

/** Calls CompleteJob as any gRPC client would. Resolves with the revision; rejects with a GearmeshError. */
export async function completeJob(
  endpoint: string,
  o: { jobId: string; leaseToken: number; result: string },
): Promise<string> {
  const client = new WorkerServiceClient(endpoint, credentials.createInsecure());
  const request: CompleteJobRequest = {
    namespace: '',
    jobId: o.jobId,
    leaseToken: o.leaseToken,
    result: Buffer.from(o.result),
    resultContentType: 'text/plain',
    dataCount: 0,
    resultBlob: undefined,
  };
  try {
    return await new Promise<string>((resolve, reject) => {
      client.completeJob(request, (error: ServiceError | null, answer) => {
        if (error === null) resolve(answer!.revision);
        else reject(errorOfCall(error));
      });
    });
  } finally {
    client.close();
  }
}

/** Calls with a deadline, as any gRPC client would, once. Resolves with all answers; rejects with a GearmeshError. */
export async function rawCall<Q, A>(
  endpoint: string,
  method: MethodDefinition<Q, A>,
  request: Q,
  deadlineMs: number,
): Promise<A[]> {
  const client = new Client(endpoint, credentials.createInsecure());
  const { path, requestSerialize, responseDeserialize, responseStream } = method;
  const options: CallOptions = { deadline: Date.now() + deadlineMs };
  try {
    return await new Promise<A[]>((resolve, reject) => {
      if (!responseStream) {
        const told = (error: ServiceError | null, answer?: A): void => {
          if (error === null) resolve([answer!]);
          else reject(errorOfCall(error));
        };
        client.makeUnaryRequest(
          path,
          requestSerialize,
          responseDeserialize,
          request,
          new Metadata(),
          options,
          told,
        );
        return;
      }
      const answers: A[] = [];
      client
        .makeServerStreamRequest(
          path,
          requestSerialize,
          responseDeserialize,
          request,
          new Metadata(),
          options,
        )
        .on('data', (answer: A) => answers.push(answer))
        .on('error', (error: ServiceError) => reject(errorOfCall(error)))
        .on('end', () => resolve(answers));
    });
  } finally {
    client.close();
  }
}

/** The error that a promise rejects with; throws when it resolves. */
export async function refusal(promise: Promise<unknown>): Promise<GearmeshError> {
  const value = await promise.then(
    (resolved) => ({ resolved }),
    (error: GearmeshError) => error,
  );
  if (value instanceof Error) return value;
  throw new Error(`it was accepted: ${JSON.stringify(value)}`);
}
