// Imports a TypeScript module of this repository as it stands, without a build: bundled into a temporary file.
import { mkdtempSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** `path` is relative to the repository. Packages stay outside: they are found from here. */
export async function loadTs(path) {
  const directory = mkdtempSync(join(root, 'node_modules/.load-ts-'));
  try {
    const outfile = join(directory, 'module.mjs');
    await build({
      entryPoints: [join(root, path)],
      outfile,
      bundle: true,
      packages: 'external',
      platform: 'node',
      format: 'esm',
      target: 'node20',
      logLevel: 'error',
    });
    return await import(pathToFileURL(outfile).href);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
