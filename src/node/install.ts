import type { Output } from '../consensus/types.js';
import type { EngineParts } from './engine-parts.js';
import { restoreNewest } from './restoring.js';

/** Puts the newest snapshot in the place of the state, and the log behind it. */
export async function install(parts: EngineParts, output: Output): Promise<void> {
  const { core, consensus, wal, store, spill, options } = parts;
  await restoreNewest({ core, store, spill, clock: options.clock });
  const { term, vote, commit } = consensus.status();
  await wal.reset(output.snapshot!, output.hardState ?? { term, vote, commit });
  await parts.installed();
}
