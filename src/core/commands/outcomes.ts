import type { ByteReader } from '../../base/bytes.js';
import { MalformedBytesError } from '../../base/bytes.js';
import { type BlobClaim, readBlobClaim } from '../blob-refs.js';
import { blobLimit, blobRefusal, takeBlob } from '../blob-table.js';
import { blobBodyLength, saysAnything } from '../blobs.js';
import { OUTCOME, readCount } from '../codec.js';
import { ALIAS } from '../dedupe.js';
import {
  M_DATA_COUNT,
  M_FIELDS,
  M_LAST_REVISION,
  M_LAST_TOKEN,
  M_OUTCOME,
  M_TOKEN,
  SUCCEEDED,
} from '../jobs/fields.js';
import { cancelled, endCancelled, failAttempt, putBack, unassign } from '../jobs/leases.js';
import { end, extrasFor, functionOf } from '../jobs/lifecycle.js';
import { comeBack, isReserved, start } from '../jobs/reserved.js';
import { matchLater } from '../matching/match.js';
import { removeIfDone } from '../sessions-end.js';
import type { State } from '../state.js';
import type { JobError, Refusal } from '../types.js';
import { grant } from './credit.js';

/** What a worker said about a lease, as read; used again for the next. */
const said = {
  kind: 0,
  digest: 0,
  token: 0,
  dataCount: 0,
  blob: new Uint8Array(0) as Uint8Array,
  resultBlob: null as BlobClaim | null,
  retryable: false,
  retryAfterMs: 0,
  error: null as JobError | null,
};

/** All outcomes, then the credit that came with them, then new jobs for that session. Session 0: by token alone. */
export function outcomes(state: State, reader: ByteReader): void {
  const session = state.sessions.get(readCount(reader));
  const epoch = readCount(reader);
  const credit = readCount(reader);
  const begins = reader.u8() === 1;
  const current = session === null || session.epoch === epoch;
  for (let left = reader.u32(); left > 0; left--) {
    const kind = reader.u8();
    said.kind = kind === OUTCOME.completeBlob ? OUTCOME.complete : kind;
    said.digest = reader.u32();
    const seq = readCount(reader);
    said.token = readCount(reader);
    said.resultBlob = kind === OUTCOME.completeBlob ? readBlobClaim(reader) : null;
    if (said.kind === OUTCOME.complete) {
      said.dataCount = reader.u32();
      said.blob = reader.bytes();
    } else if (kind === OUTCOME.fail) {
      said.dataCount = reader.u32();
      said.retryable = reader.u8() === 1;
      said.retryAfterMs = readCount(reader);
      const code = reader.string();
      const message = reader.string();
      said.error = { code, message, details: Buffer.from(reader.bytes()) };
    } else if (kind === OUTCOME.release) {
      reader.string();
    } else {
      throw new MalformedBytesError(`there is no outcome ${kind}`);
    }
    settle(state, seq, current);
  }
  if (session !== null && !session.removed && session.epoch === epoch) {
    if (!session.isLease) grant(state, session, credit);
    session.begins = begins;
    matchLater(state, session);
  }
}

/** `current`: said in the session's present epoch, or by no session. */
function settle(state: State, named: number, current: boolean): void {
  const { token } = said;
  const running = state.tokens.get(token);
  if (running !== 0 && (named === 0 || named === running)) {
    if (said.kind === OUTCOME.release && !current) tell(state, 'LEASE_LOST', 0);
    else carryOut(state, running);
  } else {
    repeated(state, named);
  }
}

function tell(state: State, refusal: Refusal | null, revision: number): void {
  const position = state.position++;
  if (state.wants) state.effects.outcome(position, said.token, refusal, revision);
}

/** The lease is over. The same outcome said again gets the same answer. */
function repeated(state: State, seq: number): void {
  const page = seq === 0 ? null : state.jobs.page(seq);
  const row = page === null ? -1 : page.row(seq);
  if (page !== null && row >= 0) {
    const same =
      page.more[row * M_FIELDS + M_LAST_TOKEN] === said.token &&
      page.more[row * M_FIELDS + M_OUTCOME] === said.digest;
    if (same) tell(state, null, page.more[row * M_FIELDS + M_LAST_REVISION]!);
    else tell(state, 'LEASE_LOST', 0);
    return;
  }
  const tomb = seq === 0 ? null : state.dedupe.findSeq(seq);
  if (tomb !== null && tomb.state !== ALIAS && tomb.token === said.token && tomb.outcome === said.digest) {
    tell(state, null, tomb.revision);
  } else {
    tell(state, 'LEASE_LOST', 0);
  }
}

function carryOut(state: State, seq: number): void {
  const page = state.jobs.pageOf(seq);
  const row = page.row(seq);
  const fn = functionOf(state, page, row);
  const { resultBlob } = said;
  const refusal = said.kind === OUTCOME.complete ? resultRefusal(state, resultBlob) : null;
  if (refusal !== null) {
    tell(state, refusal, 0);
    return;
  }
  state.pages.touch(page);
  const reserved = isReserved(page, row);
  // Its worker was quicker than the word that it begins.
  if (reserved && said.kind !== OUTCOME.release) start(state, seq, page, row);
  const more = page.ownMore();
  const numbers = row * M_FIELDS;
  more[numbers + M_OUTCOME] = said.digest;
  more[numbers + M_LAST_TOKEN] = more[numbers + M_TOKEN]!;
  more[numbers + M_LAST_REVISION] = state.index;
  const session = unassign(state, fn, page, row);
  tell(state, null, state.index);
  if (said.kind === OUTCOME.complete) {
    page.ownMore()[numbers + M_DATA_COUNT] = said.dataCount;
    if (saysAnything(said.blob)) {
      state.jobs.setBlob(seq, page, row, 1, state.payloads.put(said.blob), said.blob.length);
    }
    if (resultBlob !== null) extrasFor(page, row).resultBlob = takeBlob(state, resultBlob);
    const extras = page.extrasOf(row);
    if (extras !== null) extras.error = null;
    end(state, fn, seq, page, row, SUCCEEDED);
  } else if (cancelled(page, row)) {
    endCancelled(state, fn, seq, page, row);
  } else if (said.kind === OUTCOME.release) {
    if (reserved) comeBack(state, fn, seq, page, row);
    else putBack(state, fn, seq, page, row);
  } else {
    page.ownMore()[numbers + M_DATA_COUNT] = said.dataCount;
    failAttempt(state, fn, seq, page, row, said.error!, said.retryable, said.retryAfterMs);
  }
  removeIfDone(state, session);
}

/** Why this result cannot be taken; the lease goes on. */
function resultRefusal(state: State, resultBlob: BlobClaim | null): Refusal | null {
  if (blobBodyLength(said.blob) > state.settings.payloadBytesMax) return 'LIMIT_REACHED';
  if (resultBlob === null) return null;
  return blobLimit(state, resultBlob) === null ? blobRefusal(state, resultBlob) : 'LIMIT_REACHED';
}
