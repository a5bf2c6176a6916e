import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Set by the bundler, which leaves package.json behind. */
declare const GEARMESH_VERSION: string | undefined;

/** The version in the nearest package.json above this file. */
export function version(): string {
  if (typeof GEARMESH_VERSION === 'string') return GEARMESH_VERSION;
  let directory = dirname(fileURLToPath(import.meta.url));
  while (dirname(directory) !== directory) {
    const path = join(directory, 'package.json');
    if (existsSync(path)) {
      const content = JSON.parse(readFileSync(path, 'utf8')) as { name?: string; version?: string };
      if (content.name === 'gearmesh' && content.version !== undefined) return content.version;
    }
    directory = dirname(directory);
  }
  return '0.0.0';
}
