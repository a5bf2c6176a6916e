import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FaultKind } from '../../src/sim/plan.js';
import { ROOT } from '../support/root.js';

/** A text of a source file, and what stands there in its place. */
export interface Edit {
  /** From the root of the checkout. */
  readonly file: string;
  /** Occurs there exactly once. */
  readonly text: string;
  readonly replacement: string;
}

/** A bug that is planted while the simulator is bundled: what is built and shipped has no trace of it. */
export interface Mutant {
  readonly name: string;
  /** The rule that does not hold any more. */
  readonly breaks: string;
  readonly edits: readonly Edit[];
  /** The kinds of faults that bring it out, where all of them together do so too rarely; the seed decides the rest. */
  readonly faults?: readonly FaultKind[];
  /** Why clients and workers cannot see it, where only a look into the nodes shows it. */
  readonly hidden?: string;
}

/** The Raft port, whose own text some of the bugs are planted in. */
export const PORT = 'node_modules/@coaty/consensus.raft/ported';

/**
 * What the mutant makes of a source file.
 * @throws Error when one of its texts is not there exactly once: then the mutant plants nothing, or something else
 */
export function mutated(mutant: Mutant, file: string, source: string): string {
  let out = source;
  for (const { text, replacement } of mutant.edits.filter((edit) => edit.file === file)) {
    const times = out.split(text).length - 1;
    if (times !== 1) {
      throw new Error(`mutant ${mutant.name}: its text is ${times} times in ${file}, not once:\n${text}`);
    }
    // Not `replace` with a text: that reads `$` as a mark of its own.
    out = out.replace(text, () => replacement);
  }
  return out;
}

/** @throws Error as `mutated` does */
export function mutatedFile(mutant: Mutant, file: string): string {
  return mutated(mutant, file, readFileSync(join(ROOT, file), 'utf8'));
}
