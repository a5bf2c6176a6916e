// Writes a generated page, or with --check says whether the one in the repository is up to date.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './load-ts.mjs';

export function writePage(path, content) {
  const file = join(root, path);
  if (!process.argv.includes('--check')) {
    writeFileSync(file, content);
    return;
  }
  let present = '';
  try {
    present = readFileSync(file, 'utf8');
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
  }
  if (present === content) return;
  console.error(`${path} is out of date: run "npm run docs"`);
  process.exitCode = 1;
}
