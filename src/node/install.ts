import type { Output } from '../consensus/types.js';
import type { EngineParts } from './engine-parts.js';

/** Puts the newest snapshot in the place of the state, and the log behind it. */
export async function install(parts: EngineParts, output: Output): Promise<void> {
  const { core, consensus, wal, store } = parts;
  const restorer = core.beginRestore();
  for await (const page of store.pages()) restorer.page(page.key, page.bytes);
  restorer.finish();
  const { term, vote, commit } = consensus.status();
  await wal.reset(output.snapshot!, output.hardState ?? { term, vote, commit });
  await parts.installed();
}
