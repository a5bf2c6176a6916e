import { GearmeshError } from '../../core/errors.js';
import type { Core } from '../../core/interface.js';
import type { BlobRef } from '../../core/types.js';
import type { BlobClaims } from './claims.js';
import { isUncounted } from './errors.js';

/** How often a call is proposed again because the membership changed under it. */
const TRIES = 10;

/** What a call that names blobs needs. */
export interface Naming {
  readonly claims: BlobClaims;
  recount(ref: BlobRef, signal: AbortSignal | undefined): Promise<void>;
  drop(id: string): void;
}

/** The answer to one submission or outcome. */
interface Answer {
  readonly error: GearmeshError | null;
}

/**
 * Proposes what names blobs. `refs` stand by position, null where there is none; `propose` is called with the positions
 * that are to be proposed, at first all of them, and answers for each. What was refused because the majority was
 * counted by a membership that is not in force any more is counted and proposed anew, unseen by the caller.
 */
export async function withBlobs<T extends Answer>(
  naming: Naming,
  core: Pick<Core, 'blob'>,
  refs: readonly (BlobRef | null)[],
  propose: (positions: readonly number[]) => Promise<readonly T[]>,
  signal: AbortSignal | undefined,
): Promise<T[]> {
  const named = nameAll(naming.claims, refs);
  const answers: T[] = [];
  let left = refs.map((_, position) => position);
  try {
    for (let tries = 0; left.length > 0; tries++) {
      for (const position of left) {
        const ref = refs[position];
        if (ref != null && naming.claims.isStale(ref.id)) await naming.recount(ref, signal);
      }
      const told = await propose(left);
      left.forEach((position, i) => {
        answers[position] = told[i]!;
      });
      left = tries < TRIES ? left.filter((position) => isUncounted(answers[position]!.error)) : [];
    }
  } catch (error) {
    const unknown = !(error instanceof GearmeshError) || error.outcome === 'UNKNOWN';
    for (const { id } of named) {
      if (unknown) naming.claims.forget(id);
      else naming.claims.free(id);
    }
    throw error;
  }
  refs.forEach((ref, position) => {
    if (ref !== null) settle(naming, core, ref, answers[position]!.error);
  });
  return answers;
}

function settle(
  naming: Naming,
  core: Pick<Core, 'blob'>,
  { id }: BlobRef,
  error: GearmeshError | null,
): void {
  // Nobody knows whether a job names it: the nodes find out by themselves whether they need it.
  if (error?.outcome === 'UNKNOWN' || core.blob(id) !== null) naming.claims.forget(id);
  // The caller may try again, or gives it up.
  else if (error !== null) naming.claims.free(id);
  // Done, without it: another job stands for the submission, or the job has come and gone.
  else naming.drop(id);
}

/** All of them or none. */
function nameAll(claims: BlobClaims, refs: readonly (BlobRef | null)[]): BlobRef[] {
  const named: BlobRef[] = [];
  for (const ref of refs) {
    if (ref === null) continue;
    if (claims.name(ref)) {
      named.push(ref);
      continue;
    }
    for (const { id } of named) claims.free(id);
    throw new GearmeshError('NOT_FOUND', {
      message: 'this node knows no such payload or result, or it was used already: send it again',
    });
  }
  return named;
}
