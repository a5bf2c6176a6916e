import { Consistency } from '../../proto/gen/gearmesh/v1/common.js';
import type { ReadOptions } from '../node/interface.js';
import type { Call } from './call.js';
import { parseRevision } from './revision.js';
import type { Checker } from './validate.js';

/** How a read is to be answered, from the two fields that every read has. */
export function readOptions(
  checker: Checker,
  request: { readonly consistency: Consistency; readonly minRevision: string },
  call: Call,
): ReadOptions {
  const minRevision = parseRevision(request.minRevision);
  if (minRevision === null) checker.add('min_revision', 'is not a revision that a server gave');
  if (Consistency[request.consistency] === undefined) {
    checker.add('consistency', 'is not a known consistency');
  }
  return {
    consistency: request.consistency === Consistency.EVENTUAL ? 'eventual' : 'linearizable',
    minRevision: minRevision ?? 0,
    signal: call.signal,
  };
}
