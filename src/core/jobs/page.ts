import { ByteReader, ByteWriter, MalformedBytesError } from '../../base/bytes.js';
import { invariant } from '../../base/invariant.js';
import { type FrozenPage, type PagePart, type PartName, type Skip, StatePage } from '../snapshot/page.js';
import type { Hash64 } from '../tables/hash.js';
import type { PayloadStore } from '../types.js';
import { BLOB_GROUPS, type BlobSource, freezeBlobs, INLINE_BLOB_BYTES } from './blob-pages.js';
import { copyExtras, type Extras, readExtras, writeExtras } from './extras.js';
import {
  F_FIELDS,
  F_ORDER,
  F_REPLICATED,
  FLAG_STATE,
  JOBS_PER_PAGE,
  L_PAYLOAD,
  M_FIELDS,
  M_REPLICATED,
  M_RESULT,
  QUEUED,
  U_FIELDS,
  U_FLAGS,
  U_REPLICATED,
} from './fields.js';
import { type Numbers, RowPool } from './rows.js';

/** What follows a job's numbers in the encoded page. */
const HAS_EXTRAS = 1;
const HAS_PAYLOAD = 2;
const HAS_RESULT = 4;
const HAS_MORE = 8;

/** Rows of a new page; it grows as jobs come. */
const FIRST_ROWS = 32;
const LEAST_ROWS = 4;

/** Arrays of either part that are kept for other pages, of each size. */
const SPARE_MAX = 256;
const spare = new RowPool(F_FIELDS, [FIRST_ROWS, JOBS_PER_PAGE], SPARE_MAX);
const spareMore = new RowPool(M_FIELDS, [FIRST_ROWS, JOBS_PER_PAGE], SPARE_MAX);

/** What pages without second parts show in their place: zeros that nobody writes. */
export const NO_MORE: Numbers = new Float64Array(JOBS_PER_PAGE * M_FIELDS);

/** What pages show whose blobs are all inline. */
const NO_BLOBS: Numbers = new Float64Array(BLOB_GROUPS);
const NO_NAMES: readonly PartName[] = [];
/** About what the extras of a job take of the heap. */
const EXTRAS_BYTES = 256;

/** What is left of a page that is on disk. */
const NO_ROWS = new Int16Array(0);
const NO_NUMBERS = new Float64Array(0);

/** What the arrays and extras of all pages of a table take of memory. */
export interface Tally {
  bytes: number;
}

/** Brings pages back from the disk. */
export interface PageLoader {
  load(page: JobPage): void;
}

/** The page's own second parts, null: it has none. */
function own(more: Numbers): Float64Array | null {
  return more === NO_MORE ? null : (more as Float64Array);
}

const scratch = new ByteWriter(4096);

/**
 * The records of 256 consecutive jobs. Numbers lie in typed arrays by row; `rows` maps a job's place in the page
 * to its row, so that a page of which few jobs are left shrinks to what they need. Arrays that were taken from a page are
 * void when a job came into it or left it.
 */
export class JobPage extends StatePage implements BlobSource {
  /** Seq of the page's first place. */
  readonly first: number;
  count = 0;
  /** First part of all rows, as words and as numbers. */
  u: Uint32Array;
  f: Float64Array;
  /** Second part of all rows, zeros where the page has none: for reading. */
  more: Numbers = NO_MORE;
  extras: (Extras | null)[] | null = null;
  /** Log index at which the blobs of each sixteenth of the page last changed, of those that are not inline. */
  blobVersions: Numbers = NO_BLOBS;
  rows = new Int16Array(JOBS_PER_PAGE).fill(-1);
  /** Its copy on disk, 0: none; how long it is, and of which version of the page. */
  image = 0;
  imageBytes = 0;
  imageVersion = -1;
  /** Not null: the copy on disk is all there is of its jobs. */
  spilledTo: PageLoader | null = null;
  /** A bit for each state (by number) that jobs have which are on disk. */
  statesOnDisk = 0;
  /** Its version when it was last looked at to be put away. */
  seenVersion = -1;
  /** In a page from a snapshot: order of its first and last job where they ascend and it has no second parts, else NaN. */
  firstOrder = Number.NaN;
  lastOrder = Number.NaN;
  readonly #tally: Tally;
  #capacity: number;
  #used = 0;
  /** Of a page that is on disk: its parts besides the first. */
  #names: readonly PartName[] = NO_NAMES;
  #waitersOnDisk = false;

  constructor(
    readonly number: number,
    readonly payloads: PayloadStore,
    capacity = spare.has(JOBS_PER_PAGE) ? JOBS_PER_PAGE : FIRST_ROWS,
    tally: Tally = { bytes: 0 },
  ) {
    super(`jobs/${number}`);
    this.first = number * JOBS_PER_PAGE;
    this.#tally = tally;
    this.#capacity = capacity;
    this.f = NO_NUMBERS;
    this.u = new Uint32Array(this.f.buffer);
    this.#place(spare.take(capacity), NO_MORE);
  }

  /** Clients may wait for some of its jobs, which may be on disk. */
  get mayHaveWaiters(): boolean {
    return this.extras !== null || this.#waitersOnDisk;
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
    if (this.extrasOf(row) !== null) {
      this.extras![row] = null;
      this.#tally.bytes -= EXTRAS_BYTES;
    }
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
    if (this.extras[row] === null) this.#tally.bytes += EXTRAS_BYTES;
    this.extras[row] = extras;
  }

  /** The second parts, for writing: made where the page has none yet. */
  ownMore(): Float64Array {
    return own(this.more) ?? this.#addMore();
  }

  /** Sets a number of the second part. A zero makes no second parts. */
  setMore(row: number, field: number, value: number): void {
    // Not even read: the shared zeros are long, and would push other things out of the processor's cache.
    if (value === 0 && this.more === NO_MORE) return;
    this.ownMore()[row * M_FIELDS + field] = value;
  }

  /** Handle of a blob, 0: none. Column: 0 payload, 1 result. */
  blob(row: number, column: number): number {
    return column === 0 ? this.f[row * F_FIELDS + L_PAYLOAD]! : this.more[row * M_FIELDS + M_RESULT]!;
  }

  setBlob(row: number, column: number, handle: number): void {
    if (column === 0) this.f[row * F_FIELDS + L_PAYLOAD] = handle;
    else this.setMore(row, M_RESULT, handle);
  }

  /** Its jobs' payloads and results leave memory. The handles are void. */
  releaseBlobs(): void {
    for (const row of this.rows) {
      if (row < 0) continue;
      for (const column of [0, 1]) {
        const handle = this.blob(row, column);
        if (handle !== 0) this.payloads.release(handle);
      }
    }
  }

  override hash(into: Hash64): void {
    const more = this.#moreWords();
    for (let place = 0; place < JOBS_PER_PAGE; place++) {
      const row = this.rows[place]!;
      if (row < 0) continue;
      into.u32(place);
      into.words(this.u, row * U_FIELDS, row * U_FIELDS + F_REPLICATED * 2);
      const set = moreSet(more, row);
      if (more !== null && set !== 0) {
        into.u32(set);
        into.words(more, row * M_FIELDS * 2, (row * M_FIELDS + M_REPLICATED) * 2);
      }
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
    copy.#place(this.f.slice(), own(this.more)?.slice() ?? NO_MORE);
    copy.rows = this.rows.slice();
    if (this.blobVersions !== NO_BLOBS) copy.blobVersions = (this.blobVersions as Float64Array).slice();
    copy.extras = this.extras?.map((extras) => (extras === null ? null : copyExtras(extras))) ?? null;
    return copy.present();
  }

  override present(skip: Skip = () => false): FrozenPage {
    const { key, version } = this;
    const load = (): void => this.spilledTo?.load(this);
    const first: PagePart = {
      key,
      version,
      encode: (writer) => {
        load();
        this.encode(writer);
      },
    };
    if (this.spilledTo === null) return { parts: [first, ...freezeBlobs(this)] };
    const isWanted = (part: PartName): boolean => !skip(part.key, part.version);
    if (isWanted(first) || this.#names.some(isWanted)) {
      load();
      return { parts: [first, ...freezeBlobs(this)] };
    }
    // Whoever did not want a part may want it after all, when the file that had it turned out to be damaged.
    const later = this.#names.map((name) => ({
      ...name,
      encode: (writer: ByteWriter): void => {
        load();
        freezeBlobs(this)
          .find((part) => part.key === name.key)!
          .encode(writer);
      },
    }));
    return { parts: [first, ...later] };
  }

  setBlobVersion(group: number, version: number): void {
    if (this.blobVersions === NO_BLOBS) {
      if (version === 0) return;
      this.blobVersions = new Float64Array(BLOB_GROUPS);
    }
    (this.blobVersions as Float64Array)[group] = version;
  }

  /** Its jobs leave memory: the image is all there is of them. */
  unload(loader: PageLoader): void {
    invariant(this.spilledTo === null, 'a page leaves memory once', { page: this.number });
    let states = 0;
    for (const row of this.rows) {
      if (row >= 0) states |= 1 << (this.u[row * U_FIELDS + U_FLAGS]! & FLAG_STATE);
    }
    this.statesOnDisk = states;
    this.#names =
      this.blobVersions === NO_BLOBS
        ? NO_NAMES
        : freezeBlobs(this).map(({ key, version }) => ({ key, version }));
    this.releaseBlobs();
    this.retire();
    this.rows = NO_ROWS;
    this.#waitersOnDisk = this.extras?.some((extras) => (extras?.waiters.length ?? 0) > 0) === true;
    this.#tally.bytes -=
      EXTRAS_BYTES * (this.extras?.reduce((sum, one) => sum + (one === null ? 0 : 1), 0) ?? 0);
    this.extras = null;
    this.spilledTo = loader;
  }

  /** Room for the jobs that an image holds: empty rows, to be filled from the first on. */
  reload(): void {
    this.#capacity = this.count > FIRST_ROWS ? JOBS_PER_PAGE : FIRST_ROWS;
    this.#used = this.count;
    this.#place(spare.take(this.#capacity), NO_MORE);
    this.rows = new Int16Array(JOBS_PER_PAGE).fill(-1);
    this.#names = NO_NAMES;
    this.statesOnDisk = 0;
    this.#waitersOnDisk = false;
    this.spilledTo = null;
  }

  encode(writer: ByteWriter): void {
    writer.f64(this.version);
    writer.u32(this.count);
    for (let group = 0; group < BLOB_GROUPS; group++) writer.f64(this.blobVersions[group]!);
    const more = this.#moreWords();
    for (let place = 0; place < JOBS_PER_PAGE; place++) {
      const row = this.rows[place]!;
      if (row < 0) continue;
      writer.u8(place);
      for (let i = 0; i < U_REPLICATED; i++) writer.u32(this.u[row * U_FIELDS + i]!);
      for (let i = F_ORDER; i < F_REPLICATED; i++) writer.f64(this.f[row * F_FIELDS + i]!);
      const set = moreSet(more, row);
      const extras = this.extrasOf(row);
      const payload = this.blob(row, 0);
      const result = this.blob(row, 1);
      writer.u8(
        (set === 0 ? 0 : HAS_MORE) |
          (extras === null ? 0 : HAS_EXTRAS) |
          (payload === 0 ? 0 : HAS_PAYLOAD) |
          (result === 0 ? 0 : HAS_RESULT),
      );
      if (set !== 0) {
        writer.u32(set);
        for (let i = 0; i < M_REPLICATED; i++) {
          if ((set & (1 << i)) !== 0) writer.f64(this.more[row * M_FIELDS + i]!);
        }
      }
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

  /** Its arrays are not needed any more, and others may get them: it has no jobs in memory. */
  retire(): void {
    spare.give(this.f);
    const more = own(this.more);
    if (more !== null) spareMore.give(more);
    this.#place(NO_NUMBERS, NO_MORE);
  }

  #addMore(): Float64Array {
    const more = spareMore.take(this.#capacity);
    this.#place(this.f, more);
    return more;
  }

  /** The second parts as words, for comparing and hashing bits. */
  #moreWords(): Uint32Array | null {
    const more = own(this.more);
    return more === null ? null : new Uint32Array(more.buffer);
  }

  #place(f: Float64Array, more: Numbers): void {
    const before = this.f.byteLength + (own(this.more)?.byteLength ?? 0);
    this.#tally.bytes += f.byteLength + (own(more)?.byteLength ?? 0) - before;
    if (f !== this.f) this.u = new Uint32Array(f.buffer);
    this.f = f;
    this.more = more;
  }

  #repack(capacity: number): void {
    const f = spare.take(capacity);
    const more = own(this.more)?.some((number) => number !== 0) ? spareMore.take(capacity) : null;
    const extras = this.extras === null ? null : new Array<Extras | null>(capacity).fill(null);
    let used = 0;
    for (let place = 0; place < JOBS_PER_PAGE; place++) {
      const row = this.rows[place]!;
      if (row < 0) continue;
      for (let i = 0; i < F_FIELDS; i++) f[used * F_FIELDS + i] = this.f[row * F_FIELDS + i]!;
      if (more !== null)
        for (let i = 0; i < M_FIELDS; i++) more[used * M_FIELDS + i] = this.more[row * M_FIELDS + i]!;
      if (extras !== null) extras[used] = this.extrasOf(row);
      this.rows[place] = used++;
    }
    this.retire();
    this.#place(f, more ?? NO_MORE);
    this.extras = extras;
    this.#capacity = capacity;
    this.#used = used;
  }
}

/** Bits for the replicated numbers of a row's second part that are set: not plain zeros. 0 too where there are no parts. */
function moreSet(words: Uint32Array | null, row: number): number {
  if (words === null) return 0;
  let set = 0;
  const first = row * M_FIELDS * 2;
  for (let i = 0; i < M_REPLICATED; i++) {
    if ((words[first + i * 2]! | words[first + i * 2 + 1]!) !== 0) set |= 1 << i;
  }
  return set;
}

/** A page from a snapshot. `missing` is called for each blob that is to come in a page of its own. */
export function readJobPage(
  number: number,
  bytes: Uint8Array,
  payloads: PayloadStore,
  missing: () => void,
  tally?: Tally,
): { readonly page: JobPage; readonly version: number } {
  const reader = new ByteReader(bytes);
  const version = reader.f64();
  const count = reader.u32();
  if (count === 0 || count > JOBS_PER_PAGE) throw new MalformedBytesError(`a page of ${count} jobs`);
  const page = new JobPage(number, payloads, 2 ** Math.ceil(Math.log2(count)), tally);
  try {
    readJobs(page, count, reader, missing);
  } catch (error) {
    page.releaseBlobs();
    throw error;
  }
  noteOrder(page);
  return { page, version };
}

function readJobs(page: JobPage, count: number, reader: ByteReader, missing: () => void): void {
  for (let group = 0; group < BLOB_GROUPS; group++) page.setBlobVersion(group, reader.f64());
  for (let i = 0; i < count; i++) {
    const seq = page.first + reader.u8();
    if (page.row(seq) >= 0) throw new MalformedBytesError(`job ${seq} is in its page twice`);
    const row = page.add(seq);
    for (let field = 0; field < U_REPLICATED; field++) page.u[row * U_FIELDS + field] = reader.u32();
    for (let field = F_ORDER; field < F_REPLICATED; field++) page.f[row * F_FIELDS + field] = reader.f64();
    const has = reader.u8();
    if ((has & HAS_MORE) !== 0) {
      const set = reader.u32();
      if (set >>> M_REPLICATED !== 0)
        throw new MalformedBytesError(`job ${seq} has numbers that are not known`);
      const more = page.ownMore();
      for (let field = 0; field < M_REPLICATED; field++) {
        if ((set & (1 << field)) !== 0) more[row * M_FIELDS + field] = reader.f64();
      }
    }
    if ((has & HAS_EXTRAS) !== 0) page.setExtras(row, readExtras(reader));
    for (const [bit, column] of [
      [HAS_PAYLOAD, 0],
      [HAS_RESULT, 1],
    ] as const) {
      if ((has & bit) === 0) continue;
      const length = reader.u32();
      if (length === 0) missing();
      else page.setBlob(row, column, page.payloads.put(reader.raw(length - 1)));
    }
  }
}

function noteOrder(page: JobPage): void {
  let before = 0;
  for (const row of page.rows) {
    if (row < 0) continue;
    const order = page.f[row * F_FIELDS + F_ORDER]!;
    const waits = (page.u[row * U_FIELDS + U_FLAGS]! & FLAG_STATE) === QUEUED;
    if (order <= before || !waits || page.more !== NO_MORE) {
      page.firstOrder = Number.NaN;
      return;
    }
    if (before === 0) page.firstOrder = order;
    before = order;
  }
  page.lastOrder = before;
}
