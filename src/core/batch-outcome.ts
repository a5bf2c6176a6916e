import { crc32 } from 'node:zlib';
import type { ByteWriter } from '../base/bytes.js';
import { BLOB_DIGEST_BYTES, BLOB_ID_BYTES, CLAIM_BYTES, writeBlobClaim } from './blob-refs.js';
import { writeResult } from './blobs.js';
import { OUTCOME } from './codec.js';
import type { BlobCount, BlobRef, Outcome } from './types.js';

/** Names a blob. Returns the checksum `crc` gone on with what it contains; its id, that of one upload, does not count. */
export function writeClaim(out: ByteWriter, ref: BlobRef, count: BlobCount | null, crc: number): number {
  writeBlobClaim(out, ref, count);
  const at = out.length - CLAIM_BYTES + BLOB_ID_BYTES;
  return crc32(out.view().subarray(at, at + 8 + BLOB_DIGEST_BYTES), crc);
}

/** kind, digest, seq, token, a blob where the result is one, then by kind. The digest covers all that follows the token. */
export function writeOutcome(
  out: ByteWriter,
  outcome: Outcome,
  countOf: (ref: BlobRef) => BlobCount | null,
): void {
  const resultBlob = outcome.kind === 'complete' ? outcome.resultBlob : null;
  const kind = resultBlob === null ? OUTCOME[outcome.kind] : OUTCOME.completeBlob;
  out.u8(kind);
  const digestAt = out.length;
  out.u32(0);
  out.f64(outcome.seq);
  out.f64(outcome.token);
  const crc = resultBlob === null ? 0 : writeClaim(out, resultBlob, countOf(resultBlob), 0);
  const contentAt = out.length;
  if (outcome.kind === 'complete') {
    out.u32(outcome.dataCount);
    const blobAt = out.length;
    out.u32(0);
    writeResult(out, outcome.resultContentType, outcome.result);
    out.u32At(blobAt, out.length - blobAt - 4);
  } else if (outcome.kind === 'fail') {
    out.u32(outcome.dataCount);
    out.u8(outcome.retryable ? 1 : 0);
    out.f64(outcome.retryAfterMs);
    out.string(outcome.error.code);
    out.string(outcome.error.message);
    out.bytes(outcome.error.details);
  } else {
    out.string(outcome.reason);
  }
  out.u32At(digestAt, (crc32(out.view().subarray(contentAt), crc) ^ kind) >>> 0);
}
