/**
 * One holder per path, freed by the kernel when the process dies, whatever it dies of. Node offers no flock, so:
 *
 * - macOS and the BSDs take the lock while opening the file (O_EXLOCK).
 * - Linux holds two listening sockets. One has an abstract name made from the directory's device and inode: the
 *   kernel grants a name once and frees it with the process, without races or leftovers, but only within one
 *   network namespace. The other lies beside the data, so that a second container with the same volume meets it:
 *   connecting to a living one succeeds, even while its process is stopped; a dead one refuses and is replaced.
 */
import { constants } from 'node:fs';
import * as fs from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { basename, dirname } from 'node:path';
import type { DiskLock } from './disk.js';
import { diskError, StorageError } from './errors.js';

/** From <fcntl.h> of macOS and the BSDs; Node does not name it. */
const O_EXLOCK = 0x20;

/** Directories of locks that are held: not to be closed by the collector when their holder forgets them. */
const openDirectories = new Set<fs.FileHandle>();

export function lockPath(path: string): Promise<DiskLock> {
  return process.platform === 'linux' ? lockBySockets(path) : lockByOpening(path);
}

function held(path: string): StorageError {
  return new StorageError(
    'LOCKED',
    `${dirname(path)} is in use by another process: stop that one, or give this one a directory of its own`,
  );
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

async function lockByOpening(path: string): Promise<DiskLock> {
  try {
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NONBLOCK | O_EXLOCK;
    const handle = await fs.open(path, flags, 0o600);
    return { release: () => handle.close() };
  } catch (error) {
    if (codeOf(error) === 'EAGAIN' || codeOf(error) === 'EWOULDBLOCK') throw held(path);
    throw diskError(`locking ${path}`, error);
  }
}

async function lockBySockets(path: string): Promise<DiskLock> {
  const folder = dirname(path);
  // Socket addresses hold 107 bytes at most; a path through the open directory is short however deep it lies.
  const directory = await fs.open(folder, constants.O_RDONLY | constants.O_DIRECTORY).catch((error) => {
    throw diskError(`opening ${folder}`, error);
  });
  let abstract: Server | null = null;
  try {
    const { dev, ino } = await directory.stat({ bigint: true });
    try {
      abstract = await listen(`\0gearmesh-lock-${dev}-${ino}-${basename(path).slice(0, 32)}`);
    } catch (error) {
      if (codeOf(error) === 'EADDRINUSE') throw held(path);
      throw diskError(`locking ${path}`, error);
    }
    const beside = await listenBeside(path, `/proc/self/fd/${directory.fd}/${basename(path)}`);
    const guard = abstract;
    openDirectories.add(directory);
    return {
      async release() {
        if (beside !== null) await close(beside);
        await close(guard);
        // Not earlier: closing a socket removes its file, by the path through this directory's number.
        openDirectories.delete(directory);
        await directory.close();
      },
    };
  } catch (error) {
    if (abstract !== null) await close(abstract);
    await directory.close();
    throw error;
  }
}

/** Null where the file system knows no sockets: then the abstract name alone guards. */
async function listenBeside(path: string, address: string): Promise<Server | null> {
  if (await answers(address)) throw held(path);
  await fs.rm(path, { force: true });
  try {
    return await listen(address);
  } catch (error) {
    if (codeOf(error) === 'EADDRINUSE') throw held(path);
    return null;
  }
}

function answers(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(address);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error) => {
      // EAGAIN is a living process with a full queue of callers.
      resolve(codeOf(error) === 'EAGAIN');
    });
  });
}

function listen(address: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', reject);
    // Alone in the process, in case a cluster of workers shares handles by default.
    server.listen({ path: address, exclusive: true }, () => {
      server.off('error', reject);
      server.on('error', () => {}); // a failed accept does not weaken the lock
      server.unref();
      resolve(server);
    });
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}
