import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

function find(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  for (let folder = here; ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'package-lock.json'))) return folder;
    if (dirname(folder) === folder)
      throw new Error(`${here} is in no checkout: no package-lock.json above it`);
  }
}

/** The checkout, from the sources and from the compiled tests alike. */
export const ROOT = find();

/** The compiled program. */
export const ENTRY = join(ROOT, 'dist/cmd/gearmesh.js');
