import { ByteReader, ByteWriter, MalformedBytesError } from '../../base/bytes.js';
import { invariant } from '../../base/invariant.js';
import { type FrozenPage, StatePage } from '../snapshot/page.js';
import type { Hash64 } from '../tables/hash.js';
import type { PayloadStore } from '../types.js';
import { type BlobSource, freezeBlobs, INLINE_BLOB_BYTES } from './blob-pages.js';
import { copyExtras, type Extras, readExtras, writeExtras } from './extras.js';
import { F_FIELDS, JOBS_PER_PAGE, L_FIELDS, L_PAYLOAD, L_RESULT, U_FIELDS } from './fields.js';

/** What follows a job's numbers in the encoded page. */
const HAS_EXTRAS = 1;
const HAS_PAYLOAD = 2;
const HAS_RESULT = 4;

/** Rows of a new page; it grows as jobs come. */
const FIRST_ROWS = 32;
const LEAST_ROWS = 4;

/** Arrays of full pages that are gone, for the next ones: allocating them costs more than all else about a page. */
interface Columns {
  readonly u: Uint32Array;
  readonly f: Float64Array;
  readonly local: Float64Array;
}
const spare: Columns[] = [];
const SPARE_MAX = 256;

function columns(capacity: number): Columns {
  const used = capacity === JOBS_PER_PAGE ? spare.pop() : undefined;
  if (used !== undefined) {
    used.u.fill(0);
    used.f.fill(0);
    used.local.fill(0);
    return used;
  }
  return {
    u: new Uint32Array(capacity * U_FIELDS),
    f: new Float64Array(capacity * F_FIELDS),
    local: new Float64Array(capacity * L_FIELDS),
  };
}

const scratch = new ByteWriter(4096);

/**
 * The records of 256 consecutive jobs. Numbers lie in typed arrays by row; `rows` maps a job's place in the page
 * to its row, so that a page of which few jobs are left shrinks to what they need.
 */
export class JobPage extends StatePage implements BlobSource {
  /** Seq of the page's first place. */
  readonly first: number;
  count = 0;
  u: Uint32Array;
  f: Float64Array;
  local: Float64Array;
  extras: (Extras | null)[] | null = null;
  /** Log index at which the blobs of each sixteenth of the page last changed. */
  readonly blobVersions = new Float64Array(16);
  rows = new Int16Array(JOBS_PER_PAGE).fill(-1);
  #capacity: number;
  #used = 0;

  constructor(
    readonly number: number,
    readonly payloads: PayloadStore,
    capacity = spare.length > 0 ? JOBS_PER_PAGE : FIRST_ROWS,
  ) {
    super(`jobs/${number}`);
    this.first = number * JOBS_PER_PAGE;
    this.#capacity = capacity;
    const { u, f, local } = columns(capacity);
    this.u = u;
    this.f = f;
    this.local = local;
  }

  /** Row of the job, -1 when it is not here. */
  row(seq: number): number {
    return this.rows[seq - this.first]!;
  }

  /** A fresh row of zeros for this job. */
  add(seq: number): number {
    if (this.#used === this.#capacity) {
      this.#repack(
        this.count * 2 <= this.#used ? this.#capacity : Math.min(JOBS_PER_PAGE, this.#capacity * 8),
      );
    }
    const row = this.#used++;
    this.rows[seq - this.first] = row;
    this.count++;
    return row;
  }

  /** The job's row is void; rows of the page's other jobs may have moved. */
  remove(seq: number): void {
    const row = this.row(seq);
    invariant(row >= 0, 'a removed job is in its page', { seq });
    this.rows[seq - this.first] = -1;
    if (this.extras !== null) this.extras[row] = null;
    this.count--;
    // In two strides, so that a page that empties at once is not copied again and again.
    if (this.#capacity > LEAST_ROWS && this.count > 0 && this.count <= this.#capacity / 16) {
      this.#repack(Math.max(LEAST_ROWS, this.#capacity / 8));
    }
  }

  extrasOf(row: number): Extras | null {
    return this.extras === null ? null : (this.extras[row] ?? null);
  }

  setExtras(row: number, extras: Extras): void {
    this.extras ??= new Array<Extras | null>(this.#capacity).fill(null);
    this.extras[row] = extras;
  }

  override hash(into: Hash64): void {
    const words = new Uint32Array(this.f.buffer, 0, this.f.length * 2);
    for (let place = 0; place < JOBS_PER_PAGE; place++) {
      const row = this.rows[place]!;
      if (row < 0) continue;
      into.u32(place);
      into.words(this.u, row * U_FIELDS, (row + 1) * U_FIELDS);
      into.words(words, row * F_FIELDS * 2, (row + 1) * F_FIELDS * 2);
      const extras = this.extrasOf(row);
      if (extras === null) continue;
      scratch.reset();
      writeExtras(scratch, extras);
      into.bytes(scratch.view());
    }
  }

  override freeze(): FrozenPage {
    const copy = new JobPage(this.number, this.payloads, 0);
    copy.version = this.version;
    copy.count = this.count;
    copy.u = this.u.slice();
    copy.f = this.f.slice();
    copy.local = this.local.slice();
    copy.rows = this.rows.slice();
    copy.blobVersions.set(this.blobVersions);
    copy.extras = this.extras?.map((extras) => (extras === null ? null : copyExtras(extras))) ?? null;
    return copy.present();
  }

  override present(): FrozenPage {
    const { key, version } = this;
    return {
      parts: [{ key, version, encode: (writer) => this.encode(writer) }, ...freezeBlobs(this)],
    };
  }

  encode(writer: ByteWriter): void {
    writer.f64(this.version);
    writer.u32(this.count);
    for (const version of this.blobVersions) writer.f64(version);
    for (let place = 0; place < JOBS_PER_PAGE; place++) {
      const row = this.rows[place]!;
      if (row < 0) continue;
      writer.u8(place);
      for (let i = 0; i < U_FIELDS; i++) writer.u32(this.u[row * U_FIELDS + i]!);
      for (let i = 0; i < F_FIELDS; i++) writer.f64(this.f[row * F_FIELDS + i]!);
      const extras = this.extrasOf(row);
      const payload = this.local[row * L_FIELDS + L_PAYLOAD]!;
      const result = this.local[row * L_FIELDS + L_RESULT]!;
      writer.u8(
        (extras === null ? 0 : HAS_EXTRAS) |
          (payload === 0 ? 0 : HAS_PAYLOAD) |
          (result === 0 ? 0 : HAS_RESULT),
      );
      if (extras !== null) writeExtras(writer, extras);
      if (payload !== 0) this.#inline(writer, payload);
      if (result !== 0) this.#inline(writer, result);
    }
  }

  /** Length plus one and the bytes, or 0 where they are in a page of their own. */
  #inline(writer: ByteWriter, handle: number): void {
    const bytes = this.payloads.get(handle);
    if (bytes.length > INLINE_BLOB_BYTES) {
      writer.u32(0);
    } else {
      writer.u32(bytes.length + 1);
      writer.raw(bytes);
    }
  }

  /** Its arrays are not needed any more. */
  retire(): void {
    if (this.#capacity !== JOBS_PER_PAGE || spare.length === SPARE_MAX) return;
    spare.push({ u: this.u, f: this.f, local: this.local });
  }

  #repack(capacity: number): void {
    const { u, f, local } = columns(capacity);
    const extras = this.extras === null ? null : new Array<Extras | null>(capacity).fill(null);
    let used = 0;
    for (let place = 0; place < JOBS_PER_PAGE; place++) {
      const row = this.rows[place]!;
      if (row < 0) continue;
      for (let i = 0; i < U_FIELDS; i++) u[used * U_FIELDS + i] = this.u[row * U_FIELDS + i]!;
      for (let i = 0; i < F_FIELDS; i++) f[used * F_FIELDS + i] = this.f[row * F_FIELDS + i]!;
      for (let i = 0; i < L_FIELDS; i++) local[used * L_FIELDS + i] = this.local[row * L_FIELDS + i]!;
      if (extras !== null) extras[used] = this.extrasOf(row);
      this.rows[place] = used++;
    }
    this.retire();
    this.u = u;
    this.f = f;
    this.local = local;
    this.extras = extras;
    this.#capacity = capacity;
    this.#used = used;
  }
}

/** A page from a snapshot. `put` keeps a blob; `missing` is told which are to come in pages of their own. */
export function readJobPage(
  number: number,
  bytes: Uint8Array,
  payloads: PayloadStore,
  put: (blob: Uint8Array) => number,
  missing: (seq: number, column: number) => void,
): { readonly page: JobPage; readonly version: number } {
  const reader = new ByteReader(bytes);
  const version = reader.f64();
  const count = reader.u32();
  if (count === 0 || count > JOBS_PER_PAGE) throw new MalformedBytesError(`a page of ${count} jobs`);
  const page = new JobPage(number, payloads, 2 ** Math.ceil(Math.log2(count)));
  for (let i = 0; i < page.blobVersions.length; i++) page.blobVersions[i] = reader.f64();
  for (let i = 0; i < count; i++) {
    const seq = page.first + reader.u8();
    if (page.row(seq) >= 0) throw new MalformedBytesError(`job ${seq} is in its page twice`);
    const row = page.add(seq);
    for (let field = 0; field < U_FIELDS; field++) page.u[row * U_FIELDS + field] = reader.u32();
    for (let field = 0; field < F_FIELDS; field++) page.f[row * F_FIELDS + field] = reader.f64();
    const has = reader.u8();
    if ((has & HAS_EXTRAS) !== 0) page.setExtras(row, readExtras(reader));
    for (const [bit, column] of [
      [HAS_PAYLOAD, L_PAYLOAD],
      [HAS_RESULT, L_RESULT],
    ] as const) {
      if ((has & bit) === 0) continue;
      const length = reader.u32();
      if (length === 0) missing(seq, column);
      else page.local[row * L_FIELDS + column] = put(reader.raw(length - 1));
    }
  }
  return { page, version };
}
