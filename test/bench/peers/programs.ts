import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, mkdtempSync, readdirSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { ROOT } from '../../support/root.js';
import { untilEnd } from './leftovers.js';

/** Where `install.sh` puts the servers. */
const PEERS = join(ROOT, 'build/peers');
const UNPACKED = join(PEERS, 'root/usr');
const LIBRARIES = [join(UNPACKED, 'lib'), join(UNPACKED, `lib/${multiarch()}`)];
const FOLDERS = [
  join(PEERS, 'bin'),
  // Before the wrappers in sbin, which change the user and know the folders of the service only.
  join(UNPACKED, 'lib/rabbitmq/bin'),
  join(UNPACKED, 'bin'),
  join(UNPACKED, 'sbin'),
  '/usr/lib/rabbitmq/bin',
  ...(process.env.PATH ?? '').split(delimiter),
  '/usr/sbin',
];
/** What statfs(2) says of tmpfs. */
const TMPFS = 0x01_02_19_94;

/** The folder of Debian for libraries of this machine's processor. */
function multiarch(): string {
  return `${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`;
}

/** The path of a program; null when it is not here. */
function find(name: string): string | null {
  for (const folder of FOLDERS) {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return join(folder, name);
    } catch {
      // The next folder.
    }
  }
  return null;
}

/** `find`, for those who asked whether it is missing. */
export function program(name: string): string {
  const found = find(name);
  if (found === null) throw new Error(`${name} is not here`);
  return found;
}

/** Why a program cannot be had, or does not run here with these flags; null when it can. */
export function missing(name: string, ...flags: readonly string[]): string | null {
  if (find(name) === null) return `${name} is not installed (npm run bench:peers unpacks it)`;
  if (flags.length === 0) return null;
  const asked = spawnSync(program(name), flags, { encoding: 'utf8', env: surroundings() });
  return asked.status === 0 ? null : `${name} ${flags.join(' ')}: ${asked.stderr.trim() || asked.error}`;
}

/** So that programs that were unpacked only find each other and their libraries. */
export function surroundings(): NodeJS.ProcessEnv {
  const libraries = [...LIBRARIES, process.env.LD_LIBRARY_PATH ?? ''].filter((one) => one !== '');
  const path = [join(PEERS, 'bin'), join(UNPACKED, 'bin'), process.env.PATH ?? '', join(UNPACKED, 'sbin')];
  return { ...process.env, PATH: path.join(delimiter), LD_LIBRARY_PATH: libraries.join(delimiter) };
}

/** What a program says when it is asked for its version: the first number with dots. */
export function versionOf(name: string, ...flags: readonly string[]): string {
  const asked = spawnSync(program(name), flags, { encoding: 'utf8', env: surroundings() });
  return /\d+(\.\d+)+/.exec(`${asked.stdout}${asked.stderr}`)?.[0] ?? '?';
}

/**
 * A folder of its own on a real disk, which is removed by what is returned with it, at the latest with this process: if
 * that is killed, by the next one that wants such a folder.
 */
export function dataFolder(name: string): { readonly path: string; readonly remove: () => void } {
  const above = statfsSync(tmpdir()).type === TMPFS ? PEERS : tmpdir();
  for (const old of readdirSync(above)) {
    const owner = /^gearmesh-peer-(\d+)-/.exec(old)?.[1];
    if (owner !== undefined && !existsSync(`/proc/${owner}`)) {
      rmSync(join(above, old), { recursive: true, force: true });
    }
  }
  const path = mkdtempSync(join(above, `gearmesh-peer-${process.pid}-${name}-`));
  // A server that is just being killed may still create a file.
  const clear = (): void => rmSync(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 });
  const forget = untilEnd(clear);
  return {
    path,
    remove: () => {
      clear();
      forget();
    },
  };
}
