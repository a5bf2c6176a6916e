import type { Random } from '../base/random.js';
import type { Disk, DiskLock } from './disk.js';
import { readJson, TEMPORARY, writeJson } from './durable-file.js';
import { diskError, StorageError } from './errors.js';
import type { Identity } from './types.js';

/** Raised when a version writes what an older one cannot read. */
const FORMAT_VERSION = 1;
const IDENTITY = 'identity';
const NOTES = 'notes';
const DAMAGED_NOTE = 'what this node had promised is not known';
const NOTE_NAME = /^[a-z0-9][a-z0-9-]{0,62}$/;

/** A node's directory, held by its lock until `close`. */
export interface DataDirectory {
  readonly path: string;
  /** Where `openWal` and `openSnapshots` of this node go. */
  readonly walPath: string;
  readonly snapshotsPath: string;
  /** For `openBlobs`. */
  readonly blobsPath: string;
  /** For `openSpill`. What is there is void at each start. */
  readonly spillPath: string;
  readonly identity: Identity;
  /** Writes the cluster into the identity; once only, later calls must name the same cluster. */
  join(cluster: { readonly id: string; readonly name: string }): Promise<void>;
  /** A value kept by `writeNote`, or null. `name`: lower-case letters, digits and hyphens. */
  readNote(name: string): Promise<unknown>;
  /** Durable once it resolves. Null forgets the note. `value` goes through JSON. */
  writeNote(name: string, value: unknown): Promise<void>;
  /**
   * After damage: moves everything into a folder beside (named after the old disk id, returned) and goes on as a new,
   * empty disk with an identity of its own. Interrupted, it is found as damaged again at the next start.
   */
  setAside(): Promise<string>;
  close(): Promise<void>;
}

class OpenDirectory implements DataDirectory {
  readonly path: string;
  readonly #disk: Disk;
  readonly #lock: DiskLock;
  readonly #random: Random;
  #identity: Identity;
  #closed = false;

  constructor(disk: Disk, path: string, lock: DiskLock, identity: Identity, random: Random) {
    this.#random = random;
    this.#disk = disk;
    this.path = path;
    this.#lock = lock;
    this.#identity = identity;
  }

  get walPath(): string {
    return `${this.path}/wal`;
  }

  get snapshotsPath(): string {
    return `${this.path}/snapshots`;
  }

  get blobsPath(): string {
    return `${this.path}/blobs`;
  }

  get spillPath(): string {
    return `${this.path}/spill`;
  }

  get identity(): Identity {
    return this.#identity;
  }

  async join(cluster: { readonly id: string; readonly name: string }): Promise<void> {
    this.#open();
    const present = this.#identity.cluster;
    if (present !== null) {
      if (present.id === cluster.id) return;
      throw new StorageError(
        'FOREIGN',
        `${this.path} belongs to the cluster "${present.name}" (${present.id}) and cannot join ` +
          `"${cluster.name}" (${cluster.id}): give the node an empty directory for the other cluster`,
      );
    }
    const identity = { ...this.#identity, cluster: { id: cluster.id, name: cluster.name } };
    await writeIdentity(this.#disk, this.path, identity);
    this.#identity = identity;
  }

  async readNote(name: string): Promise<unknown> {
    this.#open();
    try {
      return await readJson(this.#disk, this.#notePath(name));
    } catch (error) {
      if (error instanceof StorageError && error.code === 'DAMAGED')
        throw damaged(this.#notePath(name), DAMAGED_NOTE);
      throw diskError(`reading the note ${name}`, error);
    }
  }

  async writeNote(name: string, value: unknown): Promise<void> {
    this.#open();
    const path = this.#notePath(name);
    const folder = `${this.path}/${NOTES}`;
    try {
      if (value !== null) {
        await writeJson(this.#disk, folder, name, value);
      } else if (await this.#disk.exists(path)) {
        await this.#disk.remove(path);
        await this.#disk.syncDirectory(folder);
      }
    } catch (error) {
      throw diskError(`writing the note ${name}`, error);
    }
  }

  async setAside(): Promise<string> {
    this.#open();
    const disk = this.#disk;
    const aside = `${this.path}/damaged-${this.#identity.diskId.slice(0, 12)}`;
    try {
      await disk.makeDirectory(aside);
      // Blobs stay: each is checked when it is read, and is fetched from another node where it is damaged.
      // Notes first: what they allow must not be repeated by a directory that has lost its log.
      for (const name of [NOTES, 'wal', 'snapshots']) {
        if (await disk.exists(`${this.path}/${name}`)) {
          await disk.rename(`${this.path}/${name}`, await freePath(disk, `${aside}/${name}`));
        }
        await disk.syncDirectory(aside);
        await disk.syncDirectory(this.path);
      }
      this.#identity = await newIdentity(disk, this.path, this.#identity.nodeName, this.#random);
    } catch (error) {
      throw diskError(`setting ${this.path} aside`, error);
    }
    return aside;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#lock.release();
  }

  #notePath(name: string): string {
    if (!NOTE_NAME.test(name)) throw new TypeError(`not a note's name: ${name}`);
    return `${this.path}/${NOTES}/${name}`;
  }

  #open(): void {
    if (this.#closed) throw new StorageError('CLOSED', `${this.path} was closed`);
  }
}

/** `path`, or with a number behind it: a start between two interruptions makes folders anew, and nothing is thrown away. */
async function freePath(disk: Disk, path: string): Promise<string> {
  let free = path;
  for (let number = 2; await disk.exists(free); number++) free = `${path}-${number}`;
  return free;
}

/**
 * Locks the directory (made when missing) and reads whose it is. A new one gets a random disk id; one of another
 * node, of another format or with a damaged identity is refused with a `StorageError` that says what to do.
 */
export async function openDataDirectory(
  disk: Disk,
  path: string,
  options: { readonly nodeName: string; readonly random: Random },
): Promise<DataDirectory> {
  const lock = await makeAndLock(disk, path);
  try {
    const identity = await settleIdentity(disk, path, options.nodeName, options.random);
    return new OpenDirectory(disk, path, lock, identity, options.random);
  } catch (error) {
    await lock.release();
    throw diskError(`opening ${path}`, error);
  }
}

async function makeAndLock(disk: Disk, path: string): Promise<DiskLock> {
  try {
    await disk.makeDirectory(path);
    return await disk.lock(`${path}/lock`);
  } catch (error) {
    throw diskError(`opening ${path}`, error);
  }
}

async function settleIdentity(disk: Disk, path: string, nodeName: string, random: Random): Promise<Identity> {
  const found = await readIdentity(disk, path);
  await removeTemporary(disk, path);
  if (found !== null) {
    checkOwner(path, found, nodeName);
    await finishNotes(disk, path);
    return found;
  }
  const names = await disk.list(path);
  const orphan = names.find((name) => name === 'wal' || name === 'snapshots');
  if (orphan !== undefined) {
    throw new StorageError(
      'DAMAGED',
      `${path} holds ${orphan} but no file "${IDENTITY}", so nobody knows whose data it is: restore that file, ` +
        `or move the directory away, start with an empty one and run: gearmesh cluster replace ${nodeName}`,
    );
  }
  return newIdentity(disk, path, nodeName, random);
}

async function newIdentity(disk: Disk, path: string, nodeName: string, random: Random): Promise<Identity> {
  const identity: Identity = {
    formatVersion: FORMAT_VERSION,
    diskId: Buffer.from(random.bytes(16)).toString('hex'),
    nodeName,
    cluster: null,
  };
  await finishNotes(disk, path);
  await writeIdentity(disk, path, identity);
  return identity;
}

/** The folder of notes, durable, and without what an interrupted write left. */
async function finishNotes(disk: Disk, path: string): Promise<void> {
  const folder = `${path}/${NOTES}`;
  await disk.makeDirectory(folder);
  await disk.syncDirectory(path);
  await removeTemporary(disk, folder);
  // A note that a killed process left there is read and acted upon from now on.
  await disk.syncDirectory(folder);
}

async function removeTemporary(disk: Disk, folder: string): Promise<void> {
  for (const name of await disk.list(folder)) {
    if (name.endsWith(TEMPORARY)) await disk.remove(`${folder}/${name}`);
  }
}

function checkOwner(path: string, found: Identity, nodeName: string): void {
  if (found.nodeName === nodeName) return;
  throw new StorageError(
    'FOREIGN',
    `${path} belongs to the node "${found.nodeName}", but this node is "${nodeName}": start it with ` +
      `--id ${found.nodeName}, or give ${nodeName} a data directory of its own`,
  );
}

async function writeIdentity(disk: Disk, path: string, identity: Identity): Promise<void> {
  try {
    await writeJson(disk, path, IDENTITY, identity);
  } catch (error) {
    throw diskError(`writing ${path}/${IDENTITY}`, error);
  }
}

async function readIdentity(disk: Disk, path: string): Promise<Identity | null> {
  let value: unknown;
  try {
    value = await readJson(disk, `${path}/${IDENTITY}`);
  } catch (error) {
    if (!(error instanceof StorageError && error.code === 'DAMAGED')) throw error;
    throw damagedIdentity(path);
  }
  if (value === null) return null;
  if (typeof value !== 'object') throw damagedIdentity(path);
  const { formatVersion, diskId, nodeName, cluster } = value as Record<string, unknown>;
  if (typeof formatVersion !== 'number') throw damagedIdentity(path);
  if (formatVersion !== FORMAT_VERSION) {
    throw new StorageError(
      'FORMAT',
      `${path} is in format ${formatVersion}, this version of gearmesh reads format ${FORMAT_VERSION}: start the ` +
        `${formatVersion > FORMAT_VERSION ? 'newer' : 'older'} version that wrote it`,
    );
  }
  if (typeof diskId !== 'string' || typeof nodeName !== 'string') throw damagedIdentity(path);
  if (cluster === null) return { formatVersion, diskId, nodeName, cluster };
  const { id, name } = (cluster ?? {}) as Record<string, unknown>;
  if (typeof id !== 'string' || typeof name !== 'string') throw damagedIdentity(path);
  return { formatVersion, diskId, nodeName, cluster: { id, name } };
}

function damaged(path: string, why: string): StorageError {
  return new StorageError(
    'DAMAGED',
    `${path} is damaged, and ${why}: move the directory away, start with an empty one, and bring the node back with: ` +
      'gearmesh cluster replace NODE',
  );
}

function damagedIdentity(path: string): StorageError {
  return damaged(`${path}/${IDENTITY}`, 'a node never guesses who it is');
}
