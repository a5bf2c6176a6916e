import type { Blob } from '../../proto/gen/gearmesh/v1/common.js';
import type { GearmeshError } from '../core/errors.js';
import { tooLarge } from '../core/limits.js';
import type { BlobRef, Settings } from '../core/types.js';
import type { Checker } from './validate.js';

const ID = /^[0-9a-f]{32}$/;
const DIGEST_BYTES = 32;

/**
 * Refuses bytes in a message that are over the limit, naming it. `instead`: the field beside it that names what was
 * uploaded, '' where there is none.
 */
export function payloadTooLarge(
  field: string,
  length: number,
  settings: Settings,
  instead = '',
): GearmeshError | null {
  const most = settings.payloadBytesMax;
  if (length <= most) return null;
  const hint = instead === '' ? '' : `: what is larger is uploaded by UploadPayload and named as ${instead}`;
  return tooLarge(
    'payloadBytesMax',
    most,
    `${field} has ${length} bytes, the limit is ${most}${hint}`,
    field,
  );
}

/** The same for what is uploaded. */
export function blobTooLarge(field: string, size: number, settings: Settings): GearmeshError | null {
  const most = settings.blobBytesMax;
  if (size <= most) return null;
  return tooLarge('blobBytesMax', most, `${field} has ${size} bytes, the limit is ${most}`, field);
}

/** The blob of `<part>_blob`; null: none was named. */
export function blobRef(
  checker: Checker,
  part: string,
  blob: Blob | undefined,
  inline: Uint8Array,
): BlobRef | null {
  if (blob === undefined) return null;
  const field = `${part}_blob`;
  if (inline.length > 0) checker.add(field, `cannot be given together with ${part}`);
  if (!ID.test(blob.id)) checker.add(`${field}.id`, 'is not as an upload answered');
  if (blob.size === 0) checker.add(`${field}.size`, 'is required');
  if (blob.sha256.length !== DIGEST_BYTES)
    checker.add(`${field}.sha256`, `does not have ${DIGEST_BYTES} bytes`);
  return { id: blob.id, size: blob.size, digest: blob.sha256 };
}
