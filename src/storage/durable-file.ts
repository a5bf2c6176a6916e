/** Small files that are replaced whole: temporary name, checksum, sync, rename, sync of the directory. */
import { crc32 } from 'node:zlib';
import type { Disk } from './disk.js';
import { StorageError } from './errors.js';

export const TEMPORARY = '.tmp';

/** Writes `bytes` as `directory/name`; when it resolves they are durable, and at no moment is a half file there. */
export async function replaceFile(
  disk: Disk,
  directory: string,
  name: string,
  parts: readonly Uint8Array[],
): Promise<void> {
  const temporary = `${directory}/${name}${TEMPORARY}`;
  const file = await disk.open(temporary, { create: true });
  try {
    await file.truncate(0);
    await file.write(parts, 0);
    await file.sync();
  } finally {
    await file.close();
  }
  await disk.rename(temporary, `${directory}/${name}`);
  await disk.syncDirectory(directory);
}

/** The whole file, or null where there is none. */
export async function readFile(disk: Disk, path: string): Promise<Buffer | null> {
  if (!(await disk.exists(path))) return null;
  const file = await disk.open(path, { create: false });
  try {
    const bytes = await file.read(0, await file.size());
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  } finally {
    await file.close();
  }
}

/** Two lines that a person can read: the checksum of the second, and the value as JSON. */
export async function writeJson(disk: Disk, directory: string, name: string, value: unknown): Promise<void> {
  const line = Buffer.from(JSON.stringify(value));
  const head = Buffer.from(`gearmesh crc32 ${crc32(line).toString(16).padStart(8, '0')}\n`);
  await replaceFile(disk, directory, name, [head, line, Buffer.from('\n')]);
}

/** What `writeJson` wrote, null where there is no file; throws `DAMAGED` when the checksum does not fit. */
export async function readJson(disk: Disk, path: string): Promise<unknown> {
  const bytes = await readFile(disk, path);
  if (bytes === null) return null;
  const match = /^gearmesh crc32 ([0-9a-f]{8})\n([^\n]*)\n$/.exec(bytes.toString('latin1'));
  const start = bytes.indexOf(10) + 1;
  const line = bytes.subarray(start, -1);
  if (match === null || crc32(line) !== Number.parseInt(match[1]!, 16)) {
    throw new StorageError('DAMAGED', `${path} is damaged: its checksum does not fit`);
  }
  return JSON.parse(line.toString());
}
