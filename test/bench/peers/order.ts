import type { Queue } from './driver.js';

/** What is said between the benchmark and a process that makes load. */
export type DriverName = 'gearman' | 'beanstalk' | 'bullmq' | 'nats' | 'amqp';

export interface SubmitOrder {
  readonly kind: 'submit';
  readonly driver: DriverName;
  readonly queue: Queue;
  /** Connections go to them in turn. */
  readonly addresses: readonly string[];
  readonly connections: number;
  /** Calls under way on each connection. */
  readonly inFlight: number;
  /** Jobs of each call; 1: the call for one job. */
  readonly batch: number;
  /** Null: until it is told to stop. */
  readonly seconds: number | null;
  /** Jobs that may be there without being worked, so that the queue stays short; null: any number. */
  readonly backlog: number | null;
  /** At this pace instead of as many as possible. */
  readonly perSecond: number | null;
}

export interface WorkOrder {
  readonly kind: 'work';
  readonly driver: DriverName;
  readonly queue: Queue;
  readonly addresses: readonly string[];
  readonly connections: number;
  /** Jobs that each may hold at once. */
  readonly credits: number;
  /** Submits jobs one at a time itself, and measures how long each takes to its start. Null: only works. */
  readonly probe: {
    /** Those that are not counted, without a pause. */
    readonly warm: number;
    readonly count: number;
    readonly paceMs: number;
  } | null;
}

export type Order = SubmitOrder | WorkOrder;

export type ToLoad =
  | { readonly say: 'order'; readonly order: Order }
  | { readonly say: 'go' }
  /** Jobs of this run that were worked so far, anywhere. */
  | { readonly say: 'worked'; readonly jobs: number }
  /** No more; what is under way is still waited for. */
  | { readonly say: 'stop' }
  /** Nothing is left: its connections may go. A server may forget what a connection said that goes too early. */
  | { readonly say: 'close' };

export type FromLoad =
  /** Its connections are open. */
  | { readonly say: 'ready' }
  | { readonly say: 'worked'; readonly jobs: number }
  /** Milliseconds of each probe, when the last of them has started. */
  | { readonly say: 'probed'; readonly times: Float64Array }
  | { readonly say: 'done'; readonly result: LoadResult }
  /** Its connections are closed. */
  | { readonly say: 'closed' };

export interface LoadResult {
  /** Accepted, or worked. */
  readonly jobs: number;
  /** From `go` to the last answer. */
  readonly seconds: number;
  /** CPU of the process meanwhile, microseconds. */
  readonly cpuUs: number;
  /** How long each call waited, milliseconds. */
  readonly waits: Float64Array;
}

/** Whoever gets no answer for so long gives up, and with it the run. */
export const STUCK_MS = 60_000;

/** One order, in the process that makes load. */
export interface Task {
  open(): Promise<void>;
  go(): void;
  worked(jobs: number): void;
  stop(): void;
  close(): Promise<void>;
}
