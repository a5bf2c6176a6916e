import type { Places } from '../places.js';

/** A server of others that is measured beside ours, as this machine has it. */
export interface Peer {
  /** As it is asked for, e.g. `beanstalkd`. */
  readonly name: string;
  /** What its acknowledgement means, in one line. */
  readonly promise: string;
  /** Why it cannot be measured here; null: it can. */
  missing(): Promise<string | null>;
  /** Starts its servers and warms them and their clients up. Where there is one server, all are with it. */
  start(places: Places): Promise<RunningPeer>;
}

export interface RunningPeer {
  readonly version: string;
  /** Of its servers as they run now: `purge` and `failover` may start others. */
  readonly pids: readonly number[];
  /** How `submitManyFor` sends many jobs at once, in one line. */
  readonly batches: string;
  /** Submits one job a call, 8 connections with 64 calls under way each. All that was accepted must be there then. */
  submitFor(seconds: number): Promise<Load>;
  /** The same 100 at a time, 4 times 100 under way on each connection. */
  submitManyFor(seconds: number): Promise<Load>;
  /**
   * Whole cycles: submitted as by `submitFor`, worked by 8 workers that hold up to 64 each, completed. Rejects when what
   * was accepted, worked and completed differ, or something is left.
   */
  cyclesFor(seconds: number): Promise<Load>;
  /** From the call that submits a job to its start, milliseconds each, one at a time. */
  starts(options: StartsOptions): Promise<readonly number[]>;
  /** The leader is killed: from kill(2) to the answer of a submission sent after it, milliseconds each. Of clusters. */
  failover?(times: number): Promise<readonly number[]>;
  /** Nothing waits afterwards. */
  purge(): Promise<void>;
  /** Ends its servers and removes their data. */
  stop(): Promise<void>;
}

export interface StartsOptions {
  readonly count: number;
  /** Pause between one start and the next submission. */
  readonly paceMs: number;
  /** Whole cycles per second that go on beside it, in another queue of the same servers. Absent or 0: none. */
  readonly background?: number;
}

export interface Load {
  readonly jobs: number;
  readonly seconds: number;
  /** CPU of the clients, and of the workers where there are any, microseconds per job. */
  readonly clientUs: number;
  /** The part of a core that the busiest process of a client took: near 1, the client was the limit. */
  readonly busiestClient: number;
  /** How long each call waited, milliseconds. */
  readonly waits?: readonly number[];
}
