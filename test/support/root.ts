import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

function find(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package-lock.json'))) folder = dirname(folder);
  return folder;
}

/** The checkout, from the sources and from the compiled tests alike. */
export const ROOT = find();

/** The compiled program. */
export const ENTRY = join(ROOT, 'dist/cmd/gearmesh.js');
