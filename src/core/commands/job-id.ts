import type { ByteReader } from '../../base/bytes.js';
import { ALIAS } from '../dedupe.js';
import { functionOf } from '../jobs/lifecycle.js';
import type { JobId, State } from '../state.js';
import { mixId } from '../tables/hash.js';

/** Reads namespace and id; seq of that job, 0 when there is none in this namespace. */
export function readJob(state: State, reader: ByteReader): number {
  const namespace = reader.string();
  const id: JobId = { a: reader.u32(), b: reader.u32(), c: reader.u32(), d: reader.u32() };
  return findJob(state, namespace, id);
}

export function findJob(state: State, namespace: string, id: JobId): number {
  const seq = state.ids.find(mixId(id.a, id.b, id.c, id.d), id, state.idMatches);
  if (seq === 0) return 0;
  const page = state.jobs.pageOf(seq);
  const fn = functionOf(state, page, page.row(seq));
  return fn.namespace === namespace && !fn.dropped ? seq : 0;
}

/** Seq of a job whose record is gone, for as long as its id is known; 0: there is none. Of any namespace. */
export function findGone(state: State, id: JobId): number {
  const tomb = state.dedupe.findId(id.a, id.b, id.c, id.d);
  return tomb === null || tomb.state === ALIAS ? 0 : tomb.seq;
}
