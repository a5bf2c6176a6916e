import { gearmanHandle } from '../base/gearman-handle.js';
import type { GearmeshError } from '../core/errors.js';
import type { JobView } from '../core/types.js';
import type { JobEventKindForWatchers, JobWatcher } from '../node/interface.js';
import type { Outgoing } from './out-queue.js';
import { response, responseHead, TYPE } from './packets.js';

/** Ends that no worker has chosen: there is nothing to tell but that the job failed. */
const NO_EXCEPTION: ReadonlySet<string> = new Set([
  'WORK_FAIL',
  'TIMEOUT',
  'LEASE_LOST',
  'WORKER_LOST',
  'EXPIRED',
  'CANCELLED',
]);

export interface FollowPort {
  /** The client asked for WORK_EXCEPTION. */
  readonly exceptions: boolean;
  send(out: Outgoing): void;
  /** Nothing more comes for this job. */
  over(): void;
  /** The node cannot tell how the job goes on: only another node can. */
  lost(error: GearmeshError): void;
}

/** Tells a client what happens to a job that it waits for, as Gearman's packets. */
export class Follower implements JobWatcher {
  readonly #handle: string;
  readonly #port: FollowPort;
  #numerator = 0;
  #denominator = 0;

  constructor(cluster: string, seq: number, port: FollowPort) {
    this.#handle = gearmanHandle(cluster, seq);
    this.#port = port;
  }

  state(kind: JobEventKindForWatchers, job: JobView): void {
    if (kind !== 'ended') return;
    if (job.state === 'succeeded') {
      const { result, resultBlob: blob } = job;
      if (blob === null) this.#port.send(response(TYPE.WORK_COMPLETE, [this.#handle, result]));
      else this.#port.send({ head: responseHead(TYPE.WORK_COMPLETE, [this.#handle], blob.size), blob });
    } else if (this.#port.exceptions && job.error !== null && !NO_EXCEPTION.has(job.error.code)) {
      const { details, message } = job.error;
      this.#port.send(response(TYPE.WORK_EXCEPTION, [this.#handle, details.length > 0 ? details : message]));
    } else {
      this.fail();
    }
    this.#port.over();
  }

  /** A message has no packet of its own but the warning. */
  progress(numerator: number, denominator: number, message: string): void {
    if (message !== '') this.#port.send(response(TYPE.WORK_WARNING, [this.#handle, message]));
    const same = numerator === this.#numerator && denominator === this.#denominator;
    if (message !== '' && same) return;
    this.#numerator = numerator;
    this.#denominator = denominator;
    this.#port.send(response(TYPE.WORK_STATUS, [this.#handle, String(numerator), String(denominator)]));
  }

  data(_attempt: number, _first: number, chunks: readonly Uint8Array[]): void {
    for (const chunk of chunks) this.#port.send(response(TYPE.WORK_DATA, [this.#handle, chunk]));
  }

  /** Gearman has no word for it. */
  dataGap(): void {}

  failed(error: GearmeshError): void {
    if (error.code === 'NOT_FOUND') {
      this.fail();
      this.#port.over();
    } else {
      this.#port.lost(error);
    }
  }

  fail(): void {
    this.#port.send(response(TYPE.WORK_FAIL, [this.#handle]));
  }
}
