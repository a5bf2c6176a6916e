import { GearmeshError } from '../../core/errors.js';
import type { BlobRef } from '../../core/types.js';
import type { BlobClaims } from './claims.js';
import { checkRef, isUncounted, mismatch } from './errors.js';

/** How often a call is proposed again because the membership changed under it. */
const TRIES = 10;
/** Majorities that one call counts anew at a time. */
const RECOUNTS = 16;

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

/** A call that names blobs. */
export interface NamingCall<T extends Answer> {
  /** By position; null where there is none. */
  readonly refs: readonly (BlobRef | null)[];
  /** Where the caller names them. */
  readonly field: 'payload_blob' | 'result_blob';
  /** Called with the positions that are to be proposed, at first with those that need not wait, if only none. */
  readonly propose: (positions: readonly number[]) => Promise<readonly T[]>;
  /** The answer to one that was not proposed, or whose proposal failed. */
  readonly refused: (position: number, error: GearmeshError) => T;
  readonly signal?: AbortSignal | undefined;
  /** All or none. */
  readonly together?: boolean;
}

/**
 * Proposes what names blobs, and answers for each position. What was refused because the majority was counted by a
 * membership that is not in force any more, or by another node, is counted and proposed anew, unseen by the caller.
 * One that no majority has is refused alone, or with all others where they go `together` or not at all.
 */
export async function withBlobs<T extends Answer>(naming: Naming, call: NamingCall<T>): Promise<T[]> {
  const { claims } = naming;
  const { refs, field } = call;
  for (const ref of refs) if (ref !== null) checkRef(ref);
  const failed = new Map<number, GearmeshError>();
  refs.forEach((ref, position) => {
    if (ref !== null && claims.isOther(ref)) failed.set(position, mismatch(field));
  });
  const named = refs.map((ref, position) => (failed.has(position) ? null : ref));
  for (const ref of named) if (ref !== null) claims.name(ref.id);
  const over = (ref: BlobRef | null, how: 'unknown' | 'refused' | 'settled'): void => {
    if (ref !== null && claims.done(ref, how)) naming.drop(ref.id);
  };
  let answers: T[];
  try {
    answers = await (call.together === true ? together : apart)(naming, call, failed);
    await again(naming, call, answers, failed);
  } catch (error) {
    const unknown = !(error instanceof GearmeshError) || error.outcome === 'UNKNOWN';
    for (const ref of named) over(ref, unknown ? 'unknown' : 'refused');
    throw error;
  }
  named.forEach((ref, position) => {
    const { error } = answers[position]!;
    over(ref, error === null ? 'settled' : error.outcome === 'UNKNOWN' ? 'unknown' : 'refused');
  });
  return answers;
}

async function together<T extends Answer>(
  naming: Naming,
  call: NamingCall<T>,
  failed: Map<number, GearmeshError>,
): Promise<T[]> {
  const all = [...call.refs.keys()];
  await recountStale(naming, call, all, failed);
  // Apply refuses them all for those that failed: nothing is said of their count.
  const answers = [...(await call.propose(all))];
  blame(answers, failed);
  return answers;
}

/** Each on its own: what is to be counted anew keeps no other waiting. */
async function apart<T extends Answer>(
  naming: Naming,
  call: NamingCall<T>,
  failed: Map<number, GearmeshError>,
): Promise<T[]> {
  const { refs, propose, refused } = call;
  const answers = new Array<T>(refs.length);
  for (const [position, error] of failed) answers[position] = refused(position, error);
  const left = [...refs.keys()].filter((position) => !failed.has(position));
  const isStale = (position: number): boolean => {
    const ref = refs[position] ?? null;
    return ref !== null && naming.claims.isStale(ref);
  };
  const stale = left.filter(isStale);
  const errors: { readonly positions: readonly number[]; readonly error: unknown }[] = [];
  let told = 0;
  const say = async (positions: readonly number[]): Promise<void> => {
    try {
      const said = await propose(positions);
      positions.forEach((position, i) => {
        answers[position] = said[i]!;
      });
      told += positions.length;
    } catch (error) {
      errors.push({ positions, error });
    }
  };
  const ready = say(left.filter((position) => !stale.includes(position)));
  await inTurns(stale, async (position) => {
    await recountStale(naming, call, [position], failed);
    const error = failed.get(position);
    if (error?.code === 'INVALID_FIELD') answers[position] = refused(position, error);
    else await say([position]);
  });
  await ready;
  for (const { positions, error } of errors) {
    // Where one was proposed and another was not, each is told its own.
    if (told === 0 || !(error instanceof GearmeshError)) throw worst(errors.map((one) => one.error));
    for (const position of positions) answers[position] = refused(position, error);
  }
  blame(answers, failed);
  return answers;
}

function worst(errors: readonly unknown[]): unknown {
  const unknown = (error: unknown): boolean =>
    !(error instanceof GearmeshError) || error.outcome === 'UNKNOWN';
  return errors.find(unknown) ?? errors[0];
}

/** At most `RECOUNTS` at a time. */
async function inTurns(
  positions: readonly number[],
  work: (position: number) => Promise<void>,
): Promise<void> {
  const left = [...positions];
  const next = async (): Promise<void> => {
    for (let one = left.shift(); one !== undefined; one = left.shift()) await work(one);
  };
  await Promise.all(Array.from({ length: Math.min(RECOUNTS, positions.length) }, next));
}

/** Says again what was refused for its count. Nothing is thrown here: the others have their answers. */
async function again<T extends Answer>(
  naming: Naming,
  call: NamingCall<T>,
  answers: T[],
  failed: Map<number, GearmeshError>,
): Promise<void> {
  const { propose, refused, together } = call;
  for (let tries = 1; tries < TRIES; tries++) {
    const uncounted = (position: number): boolean => isUncounted(answers[position]!.error);
    let left = [...answers.keys()].filter((position) => uncounted(position) && !failed.has(position));
    if (left.length === 0 || (together === true && failed.size > 0)) return;
    if (together === true) left = [...answers.keys()];
    await recountStale(naming, call, left, failed);
    const told = await propose(left).catch((error: unknown) => {
      if (!(error instanceof GearmeshError)) throw error;
      return left.map((position) => refused(position, error));
    });
    left.forEach((position, i) => {
      answers[position] = told[i]!;
    });
    blame(answers, failed);
  }
}

/** Notes by position why there is no majority. */
async function recountStale(
  naming: Naming,
  { refs, field, signal }: Pick<NamingCall<Answer>, 'refs' | 'field' | 'signal'>,
  positions: readonly number[],
  failed: Map<number, GearmeshError>,
): Promise<void> {
  await inTurns(positions, async (position) => {
    const ref = refs[position] ?? null;
    if (ref === null || failed.has(position) || !naming.claims.isStale(ref)) return;
    try {
      await naming.recount(ref, signal);
    } catch (error) {
      if (!(error instanceof GearmeshError)) throw error;
      failed.set(position, error.code === 'INVALID_FIELD' ? mismatch(field) : error);
    }
  });
}

/** A refusal for want of a count says why there was none. */
function blame<T extends Answer>(answers: T[], failed: ReadonlyMap<number, GearmeshError>): void {
  for (const [position, error] of failed) {
    const answer = answers[position]!;
    if (isUncounted(answer.error)) answers[position] = { ...answer, error };
  }
}
