/**
 * `FULL`: no space left. `FAILED`: the disk refused a read, write or sync. `LOCKED`: another process uses the
 * directory. `FOREIGN`: it belongs to another node or cluster. `FORMAT`: written by another version.
 * `DAMAGED`: content that was durable cannot be trusted. `MISMATCH`: something else is kept under this name.
 * `CLOSED`: used after `close`.
 */
export type StorageErrorCode =
  | 'FULL'
  | 'FAILED'
  | 'LOCKED'
  | 'FOREIGN'
  | 'FORMAT'
  | 'DAMAGED'
  | 'MISMATCH'
  | 'CLOSED';

/** Everything that storage rejects with. The message says what happened and, for an operator, what to do. */
export class StorageError extends Error {
  readonly code: StorageErrorCode;

  constructor(code: StorageErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'StorageError';
    this.code = code;
  }
}

function systemCode(cause: unknown): string {
  return cause instanceof Error && 'code' in cause ? String(cause.code) : '';
}

/** Wraps what a disk rejected with; `doing` completes "… failed", e.g. `writing the log`. */
export function diskError(doing: string, cause: unknown): StorageError {
  if (cause instanceof StorageError) return cause;
  const code = systemCode(cause);
  const why = cause instanceof Error ? cause.message : String(cause);
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new StorageError('FULL', `${doing} failed, the disk is full: ${why}`, cause);
  }
  return new StorageError('FAILED', `${doing} failed: ${why}`, cause);
}
