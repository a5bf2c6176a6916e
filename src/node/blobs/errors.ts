import { GearmeshError } from '../../core/errors.js';
import { isBlobRef } from '../../core/index.js';
import type { BlobRef, Settings } from '../../core/types.js';
import { StorageError } from '../../storage/index.js';
import { refusalError } from '../answers.js';

/** In the metadata of an error: a majority must be counted anew before the blob is named again. */
const UNCOUNTED = 'BLOB_UNCOUNTED';

export function isUncounted(error: GearmeshError | null): boolean {
  return error?.metadata.reason === UNCOUNTED;
}

export function limitError(settings: Settings, limit: 'blobBytesMax' | 'blobsTotalBytesMax'): GearmeshError {
  return refusalError('LIMIT_REACHED', limit, settings[limit]);
}

export function uploadsError(uploadsMax: number): GearmeshError {
  return new GearmeshError('LIMIT_REACHED', {
    message: `${uploadsMax} payloads and results are being sent to this node already`,
    metadata: { limit: 'blob-uploads-max', value: String(uploadsMax) },
    retryAfterMs: 1_000,
  });
}

export function diskFullError(diskReserveBytes: number): GearmeshError {
  return new GearmeshError('LIMIT_REACHED', {
    message: 'the disk of this node is nearly full',
    metadata: { limit: 'disk-reserve-bytes', value: String(diskReserveBytes) },
    retryAfterMs: 5_000,
  });
}

/** What a node says that was asked for a blob. */
export const NOT_HERE = 'it is not here';

/** Sure: what was accepted is on a majority, and no majority has it. */
export function gone(): GearmeshError {
  return new GearmeshError('NOT_FOUND', { message: 'no node has this payload or result' });
}

/** Those of whom it is not known whether they have it. */
export function outOfReach(silent: readonly string[]): GearmeshError {
  return new GearmeshError('NO_LEADER', {
    message: `no node that can be reached has this payload or result, and ${silent.join(', ')} did not answer`,
    retryAfterMs: 1_000,
  });
}

/** No majority took it in time. */
export function noMajority(): GearmeshError {
  return new GearmeshError('NO_LEADER', {
    message: 'no majority of the nodes took the payload or result in time',
    retryAfterMs: 1_000,
  });
}

export function isFull(error: unknown): boolean {
  return error instanceof StorageError && error.code === 'FULL';
}

/** A write or sync that failed otherwise is never tried again: nothing on this disk can be relied on. */
export function isBroken(error: unknown): error is StorageError {
  return error instanceof StorageError && error.code === 'FAILED';
}

export function isDamaged(error: unknown): boolean {
  return error instanceof StorageError && error.code === 'DAMAGED';
}

export function isMismatch(error: unknown): boolean {
  return error instanceof StorageError && error.code === 'MISMATCH';
}

/** What a node says that was asked for a blob and has another content under its id. */
export const MISMATCH = 'the size or SHA-256 is not that of the payload or result with this id';

export function mismatch(field = 'blob'): GearmeshError {
  return new GearmeshError('INVALID_FIELD', {
    message: MISMATCH,
    violations: [{ field, description: 'has another size or SHA-256 than what was sent under its id' }],
  });
}

/** Throws for what is no reference, whatever a client made it of: no node is asked for it. */
export function checkRef(ref: BlobRef): void {
  if (isBlobRef(ref)) return;
  const description = 'is not 32 lower-case hexadecimal digits, a size and 32 bytes of SHA-256';
  throw new GearmeshError('INVALID_FIELD', {
    message: 'the reference to the payload or result is malformed',
    violations: [{ field: 'blob', description }],
  });
}
