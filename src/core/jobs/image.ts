import type { ByteReader, ByteWriter } from '../../base/bytes.js';
import { invariant } from '../../base/invariant.js';
import { readExtras, writeExtras } from './extras.js';
import { F_FIELDS, JOBS_PER_PAGE, M_FIELDS } from './fields.js';
import { type JobPage, NO_MORE } from './page.js';

const ROW_BYTES = F_FIELDS * 8;
const MORE_BYTES = M_FIELDS * 8;

/** What follows a job's row. */
const HAS_MORE = 1;
const HAS_PAYLOAD = 2;
const HAS_RESULT = 4;
const HAS_EXTRAS = 8;

/*
 * The image of a page: all that memory holds of its jobs, node-local links and handles included, as this process alone will
 * read it. Unlike the form in a snapshot it is copied by whole rows, and holds blobs of any size.
 */

export function writeImage(page: JobPage, writer: ByteWriter): void {
  const bytes = new Uint8Array(page.f.buffer);
  const more = page.more === NO_MORE ? null : page.ownMore();
  const moreBytes = more === null ? null : new Uint8Array(more.buffer);
  for (let place = 0; place < JOBS_PER_PAGE; place++) {
    const row = page.rows[place]!;
    if (row < 0) continue;
    const payload = page.blob(row, 0);
    const result = page.blob(row, 1);
    const extras = page.extrasOf(row);
    const hasMore = more !== null && isSet(more, row);
    writer.u8(place);
    writer.u8(
      (hasMore ? HAS_MORE : 0) |
        (payload === 0 ? 0 : HAS_PAYLOAD) |
        (result === 0 ? 0 : HAS_RESULT) |
        (extras === null ? 0 : HAS_EXTRAS),
    );
    writer.raw(bytes.subarray(row * ROW_BYTES, (row + 1) * ROW_BYTES));
    if (hasMore) writer.raw(moreBytes!.subarray(row * MORE_BYTES, (row + 1) * MORE_BYTES));
    if (payload !== 0) writer.bytes(page.payloads.get(payload));
    if (result !== 0) writer.bytes(page.payloads.get(result));
    if (extras !== null) writeExtras(writer, extras);
  }
}

function isSet(more: Float64Array, row: number): boolean {
  const end = (row + 1) * M_FIELDS;
  for (let at = end - M_FIELDS; at < end; at++) if (more[at] !== 0) return true;
  return false;
}

/** Fills a page that was made ready for it. */
export function readImage(page: JobPage, reader: ByteReader): void {
  const bytes = new Uint8Array(page.f.buffer);
  for (let row = 0; row < page.count; row++) {
    page.rows[reader.u8()] = row;
    const has = reader.u8();
    bytes.set(reader.raw(ROW_BYTES), row * ROW_BYTES);
    if ((has & HAS_MORE) !== 0) {
      new Uint8Array(page.ownMore().buffer).set(reader.raw(MORE_BYTES), row * MORE_BYTES);
    }
    if ((has & HAS_PAYLOAD) !== 0) page.setBlob(row, 0, page.payloads.put(reader.bytes()));
    if ((has & HAS_RESULT) !== 0) page.setBlob(row, 1, page.payloads.put(reader.bytes()));
    if ((has & HAS_EXTRAS) !== 0) page.setExtras(row, readExtras(reader));
  }
  invariant(reader.left === 0, 'an image holds the jobs of its page', { page: page.number });
}
