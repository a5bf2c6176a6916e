import type { ByteReader } from '../../base/bytes.js';
import { MalformedBytesError } from '../../base/bytes.js';
import { type BlobClaim, readBlobClaim } from '../blob-refs.js';
import { blobBodyLength } from '../blobs.js';
import { readCount, SPEC_FLAG } from '../codec.js';
import type { JobId } from '../state.js';
import { ENDLESS_RETRY, type RetryPolicy } from '../types.js';

/** One submission as read from a command; the instance is used again for the next. */
export class SubmittedSpec implements JobId {
  a = 0;
  b = 0;
  c = 0;
  d = 0;
  digest = 0;
  seed = 0;
  flags = 0;
  uniqueKey = '';
  retry: RetryPolicy | null = null;
  runAtWall = 0;
  delayMs = 0;
  runTimeoutMs = 0;
  startDeadlineWall = 0;
  retentionMs = -1;
  payloadBlob: BlobClaim | null = null;
  /** A view on the entry. */
  blob: Uint8Array = new Uint8Array(0);
  payloadBytes = 0;

  read(reader: ByteReader): this {
    this.a = reader.u32();
    this.b = reader.u32();
    this.c = reader.u32();
    this.d = reader.u32();
    this.digest = reader.u32();
    this.seed = reader.u32();
    const flags = reader.u32();
    if ((flags & SPEC_FLAG.priority) === 3) throw new MalformedBytesError('there is no priority 3');
    this.flags = flags;
    this.uniqueKey = (flags & SPEC_FLAG.uniqueKey) === 0 ? '' : reader.string();
    this.retry = (flags & SPEC_FLAG.retry) === 0 ? null : readRetry(reader);
    if ((flags & SPEC_FLAG.endless) !== 0) this.retry = ENDLESS_RETRY;
    this.runAtWall = (flags & SPEC_FLAG.runAt) === 0 ? 0 : readCount(reader);
    this.delayMs = (flags & SPEC_FLAG.delay) === 0 ? 0 : readCount(reader);
    this.runTimeoutMs = (flags & SPEC_FLAG.runTimeout) === 0 ? 0 : readCount(reader);
    this.startDeadlineWall = (flags & SPEC_FLAG.startDeadline) === 0 ? 0 : readCount(reader);
    this.retentionMs = (flags & SPEC_FLAG.retention) === 0 ? -1 : readCount(reader);
    this.payloadBlob = (flags & SPEC_FLAG.payloadBlob) === 0 ? null : readBlobClaim(reader);
    this.blob = reader.bytes();
    this.payloadBytes = blobBodyLength(this.blob);
    return this;
  }
}

function readRetry(reader: ByteReader): RetryPolicy {
  return {
    maxAttempts: reader.u32(),
    initialBackoffMs: readCount(reader),
    maxBackoffMs: readCount(reader),
    multiplierPermille: reader.u32(),
    jitterPermille: reader.u32(),
  };
}
