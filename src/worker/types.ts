import type { ChannelCredentials, ChannelOptions } from '@grpc/grpc-js';
import type { PayloadInput, PayloadStream } from '../client/payload.js';
import type { EndpointOrder } from '../client/types.js';
import type { Job, JobContext } from './job.js';

export interface WorkerOptions {
  /** `host:port` of any nodes; more than one, so that the worker survives the loss of a node. */
  readonly endpoints: string | readonly string[];
  /** Jobs at once, over all functions. Default 1. */
  readonly concurrency?: number;
  /** Default `default`. */
  readonly namespace?: string;
  /** For people: stands in the history of jobs. Default: host name and process id. */
  readonly name?: string;
  /** From `credentials` of @grpc/grpc-js. Default: no encryption. */
  readonly credentials?: ChannelCredentials;
  /**
   * `listed` begins with the first endpoint; `random`, the default, spreads many workers over the nodes. `leader` goes to
   * the leader and follows it: shortest ways and least work for the cluster, all of it at one node.
   */
  readonly order?: EndpointOrder;
  /** An endpoint that is not connected within this time counts as failed. Default 1,000 ms. */
  readonly connectTimeoutMs?: number;
  /** Bytes of a payload that are taken into memory before its handler is called; for more there is `job.stream()`. Default 64 MiB. */
  readonly payloadBytesMax?: number;
  /** Given to @grpc/grpc-js, over the SDK's own choice. */
  readonly channelOptions?: ChannelOptions;
}

export interface HandleOptions {
  /** Jobs of this function at once; absent: as many as the worker's `concurrency`. */
  readonly concurrency?: number;
  /** How long one attempt may run on this worker. Absent: as the job says. */
  readonly runTimeoutMs?: number;
}

/**
 * Does a job. What it returns is the result; what it throws fails the attempt, and so does what a stream that it returns
 * throws. What is too large for frames is uploaded.
 */
export type Handler = (job: Job, ctx: JobContext) => HandlerResult | Promise<HandlerResult>;

// biome-ignore lint/suspicious/noConfusingVoidType: a handler without a result need not say `return undefined`
type HandlerResult = PayloadInput | PayloadStream | undefined | void;

export interface StopOptions {
  /** How long running jobs may still take before they are handed back. Default 30,000 ms; 0: at once. */
  readonly timeoutMs?: number;
}

/** What became of a job here. */
export interface JobReport {
  /**
   * `started`; then `succeeded`, `failed` or `released` once the cluster has accepted that outcome, or `lost`: the
   * lease was over, and whatever the handler did does not count.
   */
  readonly type: 'started' | 'succeeded' | 'failed' | 'released' | 'lost';
  readonly jobId: string;
  readonly function: string;
  readonly attempt: number;
  readonly leaseToken: number;
  /** Of `failed`: what the handler threw. Of `lost`: why. */
  readonly error?: Error;
}

export interface SessionReport {
  /** `opened` a new session, `resumed` the one there was, `disconnected` (it will be resumed), `closed` by `stop`. */
  readonly type: 'opened' | 'resumed' | 'disconnected' | 'closed';
  readonly sessionId: number;
  /** Name of the node; '' when disconnected. */
  readonly node: string;
  readonly endpoint: string;
  /** Why it is disconnected. */
  readonly error?: Error;
}

export interface WorkerEvents {
  job: [JobReport];
  session: [SessionReport];
  /** Something an operator should know; the worker goes on. Not raised when nobody listens. */
  error: [Error];
}
