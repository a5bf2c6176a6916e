import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { ROOT } from './root.js';

/** Set once built, so that several projects of one run build once. */
const BUILT = 'TEST_DIST_BUILT_BY';

/** Tests with real processes run what users run: the compiled program, made from the sources as they are now. */
export default function build(): void {
  if (process.env[BUILT] === String(process.pid)) return;
  const done = spawnSync(process.execPath, [join(ROOT, 'scripts/build.mjs')], { stdio: 'inherit' });
  if (done.status !== 0) throw new Error('the build failed');
  process.env[BUILT] = String(process.pid);
}
