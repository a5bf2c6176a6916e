import { GearmeshError } from '../../core/errors.js';
import type { BlobRef } from '../../core/types.js';
import type { BlobClaims } from './claims.js';
import { checkRef, isUncounted } from './errors.js';

/** How often a call is proposed again because the membership changed under it. */
const TRIES = 10;

/** What a call that names blobs needs. */
export interface Naming {
  readonly claims: BlobClaims;
  /** Counts the majority anew. Rejects with `GearmeshError` where there is none. */
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
 * counted by a membership that is not in force any more, or by another node, is counted and proposed anew, unseen by
 * the caller. One that no majority has is refused alone, or with all others where they go `together` or not at all.
 */
export async function withBlobs<T extends Answer>(
  naming: Naming,
  refs: readonly (BlobRef | null)[],
  propose: (positions: readonly number[]) => Promise<readonly T[]>,
  call: { readonly signal?: AbortSignal; readonly together?: boolean },
): Promise<T[]> {
  for (const ref of refs) if (ref !== null) checkRef(ref);
  for (const ref of refs) if (ref !== null) naming.claims.name(ref.id);
  const answers: T[] = [];
  const all = refs.map((_, position) => position);
  try {
    const failed = await recountStale(naming, refs, all, call.signal);
    answers.push(...(await propose(all)));
    blame(answers, failed);
    await again(naming, refs, answers, failed, propose, call);
  } catch (error) {
    const unknown = !(error instanceof GearmeshError) || error.outcome === 'UNKNOWN';
    for (const ref of refs) if (ref !== null) done(naming, ref.id, unknown ? 'unknown' : 'refused');
    throw error;
  }
  refs.forEach((ref, position) => {
    const { error } = answers[position]!;
    if (ref !== null) {
      done(naming, ref.id, error === null ? 'settled' : error.outcome === 'UNKNOWN' ? 'unknown' : 'refused');
    }
  });
  return answers;
}

/** Says again what was refused for its count. Nothing is thrown here: the others have their answers. */
async function again<T extends Answer>(
  naming: Naming,
  refs: readonly (BlobRef | null)[],
  answers: T[],
  failed: Map<number, GearmeshError>,
  propose: (positions: readonly number[]) => Promise<readonly T[]>,
  call: { readonly signal?: AbortSignal; readonly together?: boolean },
): Promise<void> {
  for (let tries = 1; tries < TRIES; tries++) {
    const uncounted = (position: number): boolean => isUncounted(answers[position]!.error);
    let left = [...answers.keys()].filter((position) => uncounted(position) && !failed.has(position));
    if (left.length === 0 || (call.together === true && failed.size > 0)) return;
    if (call.together === true) left = [...answers.keys()];
    for (const [position, error] of await recountStale(naming, refs, left, call.signal)) {
      failed.set(position, error);
    }
    const told = await propose(left).catch((error: unknown) => {
      if (!(error instanceof GearmeshError)) throw error;
      return left.map((position) => ({ ...answers[position]!, error }));
    });
    left.forEach((position, i) => {
      answers[position] = told[i]!;
    });
    blame(answers, failed);
  }
}

/** By position: why there is no majority. */
async function recountStale(
  naming: Naming,
  refs: readonly (BlobRef | null)[],
  positions: readonly number[],
  signal: AbortSignal | undefined,
): Promise<Map<number, GearmeshError>> {
  const failed = new Map<number, GearmeshError>();
  for (const position of positions) {
    const ref = refs[position] ?? null;
    if (ref === null || !naming.claims.isStale(ref)) continue;
    try {
      await naming.recount(ref, signal);
    } catch (error) {
      if (!(error instanceof GearmeshError)) throw error;
      failed.set(position, error);
    }
  }
  return failed;
}

/** A refusal for want of a count says why there was none. */
function blame<T extends Answer>(answers: T[], failed: ReadonlyMap<number, GearmeshError>): void {
  for (const [position, error] of failed) {
    const answer = answers[position]!;
    if (isUncounted(answer.error)) answers[position] = { ...answer, error };
  }
}

function done(naming: Naming, id: string, how: 'unknown' | 'refused' | 'settled'): void {
  if (naming.claims.done(id, how)) naming.drop(id);
}
