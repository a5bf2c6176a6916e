// Makes every generated page: runs each docs-*.mjs beside this file, handing on its arguments (--check).
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
for (const name of readdirSync(here).filter((n) => /^docs-.*\.mjs$/.test(n))) {
  const done = spawnSync(process.execPath, [join(here, name), ...process.argv.slice(2)], {
    stdio: 'inherit',
  });
  if (done.status !== 0) process.exitCode = 1;
}
