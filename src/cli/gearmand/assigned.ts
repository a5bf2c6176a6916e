import { createHash } from 'node:crypto';
import { ulidFromBytes } from '../../base/ulid.js';
import { argumentsOf, TYPE } from '../../gearman/packets.js';
import { functionName, REDUCER, uniqueKeyOf } from '../../gearman/submissions.js';

/** A job as a gearmand assigned it. */
export interface AssignedJob {
  readonly handle: string;
  readonly function: Buffer;
  readonly unique: Buffer;
  readonly reducer: Buffer;
  readonly payload: Buffer;
}

const NOTHING = Buffer.alloc(0);

/** The job of a JOB_ASSIGN, JOB_ASSIGN_UNIQ or JOB_ASSIGN_ALL; null: the packet is something else, or broken. */
export function assignedJob(type: number, body: Buffer): AssignedJob | null {
  const count = type === TYPE.JOB_ASSIGN ? 3 : type === TYPE.JOB_ASSIGN_UNIQ ? 4 : 5;
  if (count === 5 && type !== TYPE.JOB_ASSIGN_ALL) return null;
  const args = argumentsOf(body, count);
  if (args === null) return null;
  const [handle, fn] = args as [Buffer, Buffer];
  return {
    handle: handle.toString('latin1'),
    function: fn,
    unique: count > 3 ? args[2]! : NOTHING,
    reducer: count > 4 ? args[3]! : NOTHING,
    payload: args.at(-1)!,
  };
}

/** The job as this cluster is given it, or why it cannot be. */
export interface Translated {
  readonly function: string;
  readonly uniqueKey: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/** By the rules of our own Gearman port: a job looks the same whether it was imported or submitted here. */
export function translated(job: AssignedJob): Translated | string {
  const fn = functionName(job.function);
  if (typeof fn !== 'string') return fn.text;
  const uniqueKey = uniqueKeyOf(job.unique, job.payload, null);
  if (uniqueKey === null) return 'its unique id is not UTF-8, or has control characters';
  if (job.reducer.length === 0) return { function: fn, uniqueKey, metadata: {} };
  const reducer = functionName(job.reducer);
  if (typeof reducer !== 'string') return `its reducer: ${reducer.text}`;
  return { function: fn, uniqueKey, metadata: { [REDUCER]: reducer } };
}

/** Ids are refused when they are a minute ahead: half a minute at most leaves room for clocks that differ. */
const ID_STEP_MS = 60_000;
const RANDOM_BYTES = 10;
/** Characters of a ULID that are its time; the rest stands for the job. */
const TIME_CHARACTERS = 10;

/**
 * An id for the job: whoever imports it again within the same minute gives it the same one, so that it is one job here.
 *
 * `life` names one life of the gearmand, since handles begin anew with the next. `wallMs`: milliseconds since
 * 1970-01-01 UTC.
 */
export function importId(life: string, job: AssignedJob, wallMs: number): string {
  const hash = createHash('sha256');
  for (const part of [life, job.handle, job.function, job.unique, job.reducer, job.payload]) {
    hash.update(`${part.length}:`).update(part);
  }
  const bytes = Buffer.alloc(6 + RANDOM_BYTES);
  bytes.writeUIntBE(Math.round(wallMs / ID_STEP_MS) * ID_STEP_MS, 0, 6);
  hash.digest().copy(bytes, 6, 0, RANDOM_BYTES);
  return ulidFromBytes(bytes);
}

/** What two ids of the same job have in common, whenever they were made. */
export function sameJobPart(id: string): string {
  return id.slice(TIME_CHARACTERS);
}
