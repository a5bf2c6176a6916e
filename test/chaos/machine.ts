import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Way } from './options.js';

/** Set for the process that runs in namespaces of its own. */
const INSIDE = 'GEARMESH_CHAOS_INSIDE';

/** What this machine allows. Each text: why not; '' where it does. */
export interface Machine {
  /** Network namespaces and a filter of packets. */
  readonly packets: string;
  /** A file system of a node's own. */
  readonly volumes: string;
  /** Clocks that are wrong. */
  readonly clocks: string;
  /** Path of libfaketime. */
  readonly faketime: string;
  /** The command `gearman`. */
  readonly gearman: boolean;
}

/** True in a process that has its own network and mounts. */
export function inside(): boolean {
  return process.env[INSIDE] !== undefined;
}

/**
 * Runs this program once more in namespaces of its own, so that whatever it builds ends with it. Resolves with its
 * exit code; null: that cannot be had here, for the reason that it then finds in `lookAround`.
 */
export async function runInside(network: Way): Promise<number | null> {
  if (process.getuid?.() !== 0 || !works('unshare', '--mount', '--net', 'true')) return null;
  const net = network === 'proxy' ? [] : ['--net'];
  const child = spawn('unshare', ['--mount', ...net, process.execPath, ...process.argv.slice(1)], {
    stdio: 'inherit',
    env: { ...process.env, [INSIDE]: net.length > 0 ? 'net' : 'mount' },
  });
  // Ctrl-C reaches both; this one waits for what the other makes of it.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal ?? 'SIGKILL']));
  });
}

export function lookAround(): Machine {
  const faketime = findFaketime();
  return {
    packets: whyNoPackets(),
    volumes: whyNoVolumes(),
    clocks: faketime === '' ? 'libfaketime is not installed (Debian: faketime)' : '',
    faketime,
    gearman: spawnSync('gearman', ['-H'], { stdio: 'ignore' }).error === undefined,
  };
}

/** Debian has it in a folder by the machine's kind. */
function findFaketime(): string {
  const root = '/usr/lib';
  const folders = existsSync(root) ? readdirSync(root) : [];
  return folders.map((one) => join(root, one, 'faketime/libfaketimeMT.so.1')).find(existsSync) ?? '';
}

function whyNoPackets(): string {
  if (!inside()) return 'no right to make a network namespace';
  if (process.env[INSIDE] !== 'net') return 'proxies were asked for';
  for (const [program, ...args] of [
    ['ip', '-V'],
    ['nft', '-v'],
    ['nsenter', '-V'],
  ] as const) {
    if (!works(program, ...args)) return `${program} is not installed`;
  }
  const rule = 'ip daddr 192.0.2.1 numgen random mod 1000 < 1 counter drop';
  const probe = `table ip probe {\nchain out {\ntype filter hook output priority 0\n${rule}\n}\n}\n`;
  const filter = spawnSync('nft', ['-f', '-'], { input: probe, encoding: 'utf8' });
  if (filter.status !== 0) return `the kernel has no such filter: ${filter.stderr.trim().split('\n')[0]}`;
  return spawnSync('nft', ['delete', 'table', 'ip', 'probe']).status === 0 ? '' : 'nft failed';
}

/** Tried out on a small one. */
function whyNoVolumes(): string {
  if (!inside()) return 'no right to mount';
  const folder = mkdtempSync(join(tmpdir(), 'gearmesh-chaos-probe-'));
  try {
    mountVolume(join(folder, 'image'), folder, 8 * 2 ** 20);
    spawnSync('umount', [folder]);
    return '';
  } catch (error) {
    return (error as Error).message;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Makes a file system of so many bytes, sparse, and mounts it on a folder: one of its own in a file where the machine
 * can, which has a real fdatasync, else in memory. @throws Error why neither can be had
 */
export function mountVolume(image: string, folder: string, bytes: number): void {
  const steps = [
    ['truncate', '-s', String(bytes), image],
    ['mkfs.ext4', '-q', '-F', '-m', '0', image],
    ['mount', '-o', 'loop', image, folder],
  ] as const;
  if (steps.every(([program, ...args]) => works(program, ...args))) {
    rmSync(join(folder, 'lost+found'), { recursive: true, force: true });
    return;
  }
  if (existsSync(image)) rmSync(image);
  const memory = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', folder], {
    encoding: 'utf8',
  });
  if (memory.status !== 0) throw new Error(`no file system can be mounted: ${lastLine(memory.stderr)}`);
}

function works(program: string, ...args: string[]): boolean {
  return spawnSync(program, args, { stdio: 'ignore' }).status === 0;
}

function lastLine(text: string | null): string {
  return text?.trim().split('\n').at(-1) ?? '';
}
