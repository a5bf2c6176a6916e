import type { ByteReader } from '../../base/bytes.js';
import { blobLimit } from '../blob-table.js';
import { submittedBy } from '../jobs/waiters.js';
import type { State } from '../state.js';
import { SubmittedSpec } from './spec.js';
import {
  carryOut,
  check,
  full,
  functionsFull,
  isLate,
  jobsMaxFor,
  known,
  liveJobs,
  newVerdict,
  QUEUE_LIMIT,
  queueFull,
  submitterWaits,
  tell,
  uniqueHolder,
  type Verdict,
} from './submit.js';

interface Item {
  readonly name: string;
  readonly spec: SubmittedSpec;
  readonly verdict: Verdict;
  /** False: another item of this command, or an existing job, answers for it. */
  fresh: boolean;
}

/**
 * Jobs that are all accepted or none. A job that exists already counts as done. When one is refused, its position
 * says why; the others answer with seq 0 and no refusal of their own.
 */
export function submitAll(state: State, reader: ByteReader): void {
  const namespace = reader.string();
  const items: Item[] = [];
  for (let left = reader.u32(); left > 0; left--) {
    const name = reader.string();
    items.push({ name, spec: new SubmittedSpec().read(reader), verdict: newVerdict(), fresh: false });
  }
  if (!checkAll(state, namespace, items)) {
    for (const { verdict } of items) {
      verdict.seq = 0;
      tell(state, verdict);
    }
    return;
  }
  for (const { name, spec, verdict, fresh } of items) {
    // Looked at again: an earlier item of this command may be the one it repeats or joins.
    if (!fresh || known(state, spec, verdict)) {
      if (known(state, spec, verdict)) submittedBy(state, verdict.seq, submitterWaits(spec));
      tell(state, verdict);
      continue;
    }
    const fn = state.functions.find(namespace, name) ?? state.functions.create(namespace, name);
    const holder = uniqueHolder(state, fn, spec.uniqueKey);
    verdict.disposition = holder === 0 ? 'created' : 'coalesced';
    verdict.seq = holder;
    carryOut(state, fn, spec, verdict);
  }
}

/** Fills the verdicts; false where one of them refuses. Limits are counted with all new jobs together. */
function checkAll(state: State, namespace: string, items: readonly Item[]): boolean {
  const { settings } = state;
  const digests = new Map<string, number>();
  const keys = new Set<string>();
  const perFunction = new Map<string, number>();
  const blobs = new Set<string>();
  let blobBytes = 0;
  let functions = 0;
  let jobs = 0;
  let entries = 0;
  let fine = true;
  for (const item of items) {
    const { name, spec, verdict } = item;
    if (!known(state, spec, verdict)) {
      const id = `${spec.a}/${spec.b}/${spec.c}/${spec.d}`;
      const twin = digests.get(id);
      item.fresh = twin === undefined;
      if (twin !== undefined) {
        verdict.refusal = twin === spec.digest ? null : 'ID_REUSED';
      } else {
        digests.set(id, spec.digest);
        const fn = state.functions.find(namespace, name);
        check(state, namespace, name, fn, spec, verdict);
        const key = spec.uniqueKey === '' ? '' : `${name}\u0000${spec.uniqueKey}`;
        const joins = verdict.disposition === 'coalesced' || (key !== '' && keys.has(key));
        // What is too late ends at once and holds its key for nobody.
        if (key !== '' && !isLate(state, spec)) keys.add(key);
        entries++;
        const blob = spec.payloadBlob;
        if (blob !== null && verdict.refusal === null) {
          // Whichever of them would be created: none is named twice.
          if (blobs.has(blob.id)) verdict.refusal = 'INVALID_FIELD';
          blobs.add(blob.id);
        }
        if (verdict.refusal === null && !joins) {
          const before = perFunction.get(name) ?? 0;
          perFunction.set(name, before + 1);
          jobs++;
          const limit =
            fn === null && before === 0 && functionsFull(state, functions)
              ? 'functionsMax'
              : liveJobs(state) + jobs > settings.jobsMax
                ? 'jobsMax'
                : (fn?.live ?? 0) + before + 1 > settings.jobsPerFunctionMax
                  ? 'jobsPerFunctionMax'
                  : ((blob === null ? null : blobLimit(state, blob, blobBytes)) ?? '');
          if (fn === null && before === 0) functions++;
          if (limit !== '') {
            full(verdict, limit, settings[limit]);
          } else if (fn !== null && queueFull(fn, spec, before)) {
            full(verdict, QUEUE_LIMIT, jobsMaxFor(fn, spec));
          } else if (blob !== null) {
            blobBytes += blob.size;
          }
        } else if (verdict.refusal === null && !state.dedupe.makeRoom(state.wall, settings, entries)) {
          full(verdict, 'dedupeEntriesMax', settings.dedupeEntriesMax);
        }
      }
    }
    if (verdict.refusal !== null) fine = false;
  }
  return fine;
}
