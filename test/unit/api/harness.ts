import {
  type Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials,
  type ServiceError,
} from '@grpc/grpc-js';
import { ClusterServiceClient } from '../../../proto/gen/gearmesh/v1/cluster.js';
import { JobServiceClient } from '../../../proto/gen/gearmesh/v1/job.js';
import { PayloadServiceClient } from '../../../proto/gen/gearmesh/v1/payloads.js';
import { QueueServiceClient } from '../../../proto/gen/gearmesh/v1/queue.js';
import { ScheduleServiceClient } from '../../../proto/gen/gearmesh/v1/schedule.js';
import { WorkerServiceClient } from '../../../proto/gen/gearmesh/v1/worker.js';
import { BadRequest, ErrorInfo, RetryInfo } from '../../../proto/gen/google/rpc/error_details.js';
import { Status } from '../../../proto/gen/google/rpc/status.js';
import { HealthClient } from '../../../proto/gen/grpc/health/v1/health.js';
import { ServerReflectionClient } from '../../../proto/gen/grpc/reflection/v1/reflection.js';
import { createGrpcServer, type GrpcServerOptions } from '../../../src/api/index.js';
import { FakeNode } from './fake-node.js';

const silent = { info: () => {}, warn: () => {}, error: () => {} };

/** A server on a fake node, and clients of all its services, over loopback. */
export async function startBundle(options: Partial<GrpcServerOptions> = {}) {
  const node = new FakeNode();
  const counted: string[] = [];
  const server = createGrpcServer({
    api: node,
    listen: '127.0.0.1:0',
    log: silent,
    metrics: {
      rpc: (method, code) => counted.push(`${method.split('/')[1]} ${code}`),
      error: (reason) => counted.push(`error ${reason}`),
    },
    ...options,
  });
  await server.start();
  const make = <C>(Client: new (address: string, c: ReturnType<typeof credentials.createInsecure>) => C) =>
    new Client(server.address, credentials.createInsecure());
  const clients = {
    job: make(JobServiceClient),
    worker: make(WorkerServiceClient),
    payload: make(PayloadServiceClient),
    queue: make(QueueServiceClient),
    schedule: make(ScheduleServiceClient),
    cluster: make(ClusterServiceClient),
    health: make(HealthClient),
    reflection: make(ServerReflectionClient),
  };
  return {
    node,
    server,
    counted,
    ...clients,
    async stop() {
      for (const client of Object.values(clients)) client.close();
      await server.close();
    },
  };
}
export type Bundle = Awaited<ReturnType<typeof startBundle>>;

interface UnaryMethod<Q, A> {
  readonly path: string;
  readonly requestSerialize: (request: Q) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => A;
}

/** A unary call as a promise. */
export function unary<Q, A>(client: Client, method: UnaryMethod<Q, A>, request: Q): Promise<A> {
  const { path, requestSerialize, responseDeserialize } = method;
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, (error, answer) => {
      if (error === null) resolve(answer!);
      else reject(error);
    });
  });
}

export interface Told {
  readonly code: number;
  readonly reason: string;
  readonly domain: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly fields: readonly string[];
  readonly retryMs: number | null;
}

/** What a status and its details tell a program. */
export function toldBy(status: Status): Told {
  let told: Told = { code: status.code, reason: '', domain: '', metadata: {}, fields: [], retryMs: null };
  for (const { typeUrl, value } of status.details) {
    if (typeUrl.endsWith('ErrorInfo')) told = { ...told, ...ErrorInfo.decode(value) };
    if (typeUrl.endsWith('BadRequest')) {
      told = { ...told, fields: BadRequest.decode(value).fieldViolations.map(({ field }) => field) };
    }
    if (typeUrl.endsWith('RetryInfo')) {
      const delay = RetryInfo.decode(value).retryDelay!;
      told = { ...told, retryMs: delay.seconds * 1000 + delay.nanos / 1e6 };
    }
  }
  return told;
}

export function told(error: unknown): Told {
  const { metadata, code } = error as ServiceError;
  const [bytes] = metadata.get('grpc-status-details-bin');
  if (bytes === undefined) throw new Error(`no details came with: ${String(error)}`);
  const status = Status.decode(bytes as Buffer);
  if (status.code !== code) throw new Error(`status ${code} carries details of ${status.code}`);
  return toldBy(status);
}

/** The error of a call that must fail. */
export async function refusal(call: Promise<unknown>): Promise<Told> {
  let answer: unknown;
  try {
    answer = await call;
  } catch (error) {
    return told(error);
  }
  throw new Error(`accepted: ${JSON.stringify(answer)}`);
}

/** Answers of a stream one by one; `end` resolves with the error or null. */
export class Answers<A> {
  readonly all: A[] = [];
  readonly end: Promise<Error | null>;
  #changed: (() => void)[] = [];
  #over = false;

  constructor(stream: ClientReadableStream<A> | ClientDuplexStream<never, A>) {
    stream.on('data', (message: A) => {
      this.all.push(message);
      this.#notify();
    });
    this.end = new Promise((resolve) => {
      const over = (error: Error | null) => {
        this.#over = true;
        resolve(error);
        this.#notify();
      };
      stream.on('error', over);
      stream.on('end', () => setImmediate(() => over(null)));
    });
  }
  #notify(): void {
    for (const fn of this.#changed.splice(0)) fn();
  }
  /** Resolves with all answers once one or all of them satisfy the condition. */
  async until(condition: (all: readonly A[]) => boolean): Promise<readonly A[]> {
    while (!condition(this.all)) {
      if (this.#over)
        throw new Error(`the stream ended with ${this.all.length} answers: ${String(await this.end)}`);
      await new Promise<void>((resolve) => this.#changed.push(resolve));
    }
    return this.all;
  }
  count(count: number): Promise<readonly A[]> {
    return this.until((all) => all.length >= count);
  }
}
