import { gearmanHandle } from '../base/gearman-handle.js';
import type { BlobRef } from '../core/types.js';
import type { Assignment, OutcomeBySession } from '../node/interface.js';
import type { Outgoing } from './out-queue.js';
import { response, responseHead, TYPE } from './packets.js';
import { REDUCER, uniqueShown } from './submissions.js';
import type { Upload } from './upload.js';

/** How a worker asks for a job: it decides in which packet the job comes. */
export type Grab = 'plain' | 'unique' | 'all';

/** A job that the worker has, or is about to get. */
export interface Held {
  readonly handle: string;
  readonly token: number;
  /** Its attempt has begun with its assignment: it was not reserved. */
  readonly begun: boolean;
  readonly jobId: string;
  readonly function: string;
  readonly unique: string;
  readonly reducer: string;
  /** A copy: a view would not outlive the turn. Dropped when it has gone out. */
  payload: Buffer;
  readonly payloadBlob: BlobRef | null;
  /** Number of its next chunk of data. */
  next: number;
  numerator: number;
  denominator: number;
}

/** How a worker says that its job ended, until the end of what was read with it. */
export interface Said {
  readonly held: Held;
  readonly outcome: OutcomeBySession;
  readonly upload: Upload | undefined;
}

/** An assignment as a Gearman worker needs it. */
export function heldOf(cluster: string, { token, job }: Assignment): Held {
  return {
    handle: gearmanHandle(cluster, job.seq),
    token,
    begun: job.state === 'running',
    jobId: job.id,
    function: job.function,
    unique: uniqueShown(job.uniqueKey),
    reducer: job.metadata.find(([key]) => key === REDUCER)?.[1] ?? '',
    payload: Buffer.from(job.payload),
    payloadBlob: job.payloadBlob,
    next: 0,
    numerator: 0,
    denominator: 0,
  };
}

/** The packet in which the job goes to its worker. */
export function assignPacket(kind: Grab, held: Held): Outgoing {
  const { handle, unique, reducer, payload, payloadBlob: blob } = held;
  let type: typeof TYPE.JOB_ASSIGN | typeof TYPE.JOB_ASSIGN_UNIQ | typeof TYPE.JOB_ASSIGN_ALL =
    TYPE.JOB_ASSIGN_UNIQ;
  let args = [handle, held.function, unique];
  if (kind === 'all' && reducer !== '') {
    type = TYPE.JOB_ASSIGN_ALL;
    args = [handle, held.function, unique, reducer];
  } else if (kind === 'plain') {
    type = TYPE.JOB_ASSIGN;
    args = [handle, held.function];
  }
  if (blob === null) return response(type, [...args, payload]);
  return { head: responseHead(type, args, blob.size), blob };
}
