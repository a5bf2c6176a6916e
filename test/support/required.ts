import { existsSync } from 'node:fs';

/** Where the packages of Debian can be installed, and `.ci/run` has installed them: what needs them may not be skipped. */
export const REQUIRED =
  process.env.CI === 'true' && process.getuid?.() === 0 && existsSync('/etc/debian_version');
