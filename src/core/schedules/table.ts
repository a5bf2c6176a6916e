import type { ByteReader, ByteWriter } from '../../base/bytes.js';
import { MalformedBytesError } from '../../base/bytes.js';
import type { Calendar } from '../../base/calendar.js';
import { firstAtLeast } from '../../base/search.js';
import { readCalendar, writeCalendar } from '../codec.js';
import { readRetry, writeRetry } from '../jobs/extras.js';
import { type FrozenPage, type Pages, PlainPage, StatePage } from '../snapshot/page.js';
import type { JobId } from '../state.js';
import type { Hash64 } from '../tables/hash.js';
import type { PayloadStore, RetryPolicy } from '../types.js';

const SCHEDULES_PER_PAGE = 256;

/** What a schedule is and makes, fixed when it is created. */
export interface ScheduleContent extends JobId {
  readonly seq: number;
  readonly namespace: string;
  readonly function: string;
  readonly calendar: Calendar;
  /** As each of its jobs has it; the digest of the schedule itself follows from it and the calendar. */
  readonly digest: number;
  readonly seed: number;
  readonly priority: number;
  readonly uniqueKey: string;
  readonly retry: RetryPolicy | null;
  readonly runTimeoutMs: number;
  readonly retentionMs: number;
  readonly createdWall: number;
}

/** A schedule. What changes with each firing is replicated as well: whoever changes it touches the page. */
export class Schedule {
  /** When it fires next, wall ms: always a minute of its calendar. */
  nextWall = 0;
  /** The minute for which it fired last, 0 before the first. */
  lastWall = 0;
  /** Firings that made a job, that joined one with the same unique key, and that were refused. */
  fired = 0;
  coalesced = 0;
  skipped = 0;
  /** What refused the last of those: the key of a setting, or a refusal. '' while there was none. */
  skippedBy = '';
  revision = 0;

  /** Node-local: handle of its timer. */
  timer = 0;

  constructor(
    readonly content: ScheduleContent,
    readonly page: SchedulePage,
    /** Null where there is no blob. */
    readonly payload: PayloadPage | null,
  ) {}

  get seq(): number {
    return this.content.seq;
  }
}

class SchedulePage extends PlainPage {
  /** Ascending by seq. */
  readonly schedules: Schedule[] = [];

  constructor(readonly number: number) {
    super(`schedules/${number}`);
  }

  override encode(writer: ByteWriter): void {
    writer.u32(this.schedules.length);
    for (const schedule of this.schedules) {
      writeContent(writer, schedule.content);
      writer.u8(schedule.payload === null ? 0 : 1);
      writer.f64(schedule.nextWall);
      writer.f64(schedule.lastWall);
      writer.f64(schedule.fired);
      writer.f64(schedule.coalesced);
      writer.f64(schedule.skipped);
      writer.string(schedule.skippedBy);
      writer.f64(schedule.revision);
    }
  }
}

function writeContent(writer: ByteWriter, content: ScheduleContent): void {
  writer.f64(content.seq);
  for (const word of [content.a, content.b, content.c, content.d]) writer.u32(word);
  writer.string(content.namespace);
  writer.string(content.function);
  writeCalendar(writer, content.calendar);
  writer.u32(content.digest);
  writer.u32(content.seed);
  writer.u8(content.priority);
  writer.string(content.uniqueKey);
  writeRetry(writer, content.retry);
  writer.f64(content.runTimeoutMs);
  writer.f64(content.retentionMs);
  writer.f64(content.createdWall);
}

function readContent(reader: ByteReader): ScheduleContent {
  return {
    seq: reader.f64(),
    a: reader.u32(),
    b: reader.u32(),
    c: reader.u32(),
    d: reader.u32(),
    namespace: reader.string(),
    function: reader.string(),
    calendar: readCalendar(reader),
    digest: reader.u32(),
    seed: reader.u32(),
    priority: reader.u8(),
    uniqueKey: reader.string(),
    retry: readRetry(reader),
    runTimeoutMs: reader.f64(),
    retentionMs: reader.f64(),
    createdWall: reader.f64(),
  };
}

/** What one schedule submits. It never changes, so a firing writes no payload anew. */
class PayloadPage extends StatePage {
  readonly #payloads: PayloadStore;

  constructor(
    seq: number,
    readonly handle: number,
    payloads: PayloadStore,
  ) {
    super(`schedule-payload/${seq}`);
    this.#payloads = payloads;
  }

  override hash(into: Hash64): void {
    into.bytes(this.#payloads.get(this.handle));
  }

  /** Copied: its blob is released with the schedule, whatever a snapshot still wants. */
  override freeze(): FrozenPage {
    return this.#parts(Buffer.from(this.#payloads.get(this.handle)));
  }

  override present(): FrozenPage {
    return this.#parts(null);
  }

  #parts(copy: Uint8Array | null): FrozenPage {
    const { key, version } = this;
    const encode = (writer: ByteWriter): void => {
      writer.f64(version);
      writer.raw(copy ?? this.#payloads.get(this.handle));
    };
    return { parts: [{ key, version, encode }] };
  }
}

/** All schedules, by number, by id, and by function and unique key. */
export class ScheduleTable {
  readonly #pages: Pages;
  readonly #payloads: PayloadStore;
  readonly #bySeq = new Map<number, Schedule>();
  readonly #byTail = new Map<string, Schedule>();
  readonly #byUnique = new Map<string, Schedule>();
  readonly #schedulePages = new Map<number, SchedulePage>();
  /** Payloads that came before the records of their schedules, while the state is restored. */
  readonly #restored = new Map<number, PayloadPage>();
  /** Ascending; those that are gone too, until they outnumber the others. */
  #order: number[] = [];

  constructor(pages: Pages, payloads: PayloadStore) {
    this.#pages = pages;
    this.#payloads = payloads;
  }

  get size(): number {
    return this.#bySeq.size;
  }

  get(seq: number): Schedule | null {
    return this.#bySeq.get(seq) ?? null;
  }

  /** By its id, of whatever namespace. */
  byId(id: JobId): Schedule | null {
    const found = this.likeId(id);
    return found !== null && found.content.a === id.a && found.content.b === id.b ? found : null;
  }

  /** The schedule whose id is the same but for its time: the jobs of two such would have the same ids. */
  likeId(id: JobId): Schedule | null {
    return this.#byTail.get(tailKey(id)) ?? null;
  }

  /** The schedule of this function with this key; null for a key of ''. */
  holder(namespace: string, fn: string, uniqueKey: string): Schedule | null {
    return uniqueKey === '' ? null : (this.#byUnique.get(uniqueKeyOf(namespace, fn, uniqueKey)) ?? null);
  }

  all(): IterableIterator<Schedule> {
    return this.#bySeq.values();
  }

  /** The schedule with the smallest number above `seq`; null at the end. */
  after(seq: number): Schedule | null {
    const order = this.#order;
    for (let at = firstAtLeast(order, seq + 1); at < order.length; at++) {
      const found = this.#bySeq.get(order[at]!);
      if (found !== undefined) return found;
    }
    return null;
  }

  /** `blob`: what it submits; of no length: nothing. The number is a new one, above all others. */
  create(content: ScheduleContent, blob: Uint8Array): Schedule {
    const number = Math.floor(content.seq / SCHEDULES_PER_PAGE);
    let page = this.#schedulePages.get(number);
    if (page === undefined) {
      page = new SchedulePage(number);
      this.#schedulePages.set(number, page);
      this.#pages.add(page);
    } else {
      this.#pages.touch(page);
    }
    let payload: PayloadPage | null = null;
    if (blob.length > 0) {
      payload = new PayloadPage(content.seq, this.#payloads.put(blob), this.#payloads);
      this.#pages.add(payload);
    }
    return this.#insert(new Schedule(content, page, payload));
  }

  remove(schedule: Schedule): void {
    const { page, payload, content } = schedule;
    this.#pages.touch(page);
    page.schedules.splice(page.schedules.indexOf(schedule), 1);
    if (page.schedules.length === 0) {
      this.#schedulePages.delete(page.number);
      this.#pages.drop(page);
    }
    if (payload !== null) {
      this.#pages.drop(payload);
      this.#payloads.release(payload.handle);
    }
    this.#bySeq.delete(content.seq);
    this.#byTail.delete(tailKey(content));
    if (content.uniqueKey !== '') {
      this.#byUnique.delete(uniqueKeyOf(content.namespace, content.function, content.uniqueKey));
    }
    if (this.#order.length > this.#bySeq.size * 2 + 64) {
      this.#order = this.#order.filter((seq) => this.#bySeq.has(seq));
    }
  }

  /** In ascending order of the pages' numbers, after all payloads. */
  restore(number: number, reader: ByteReader, version: number): void {
    const page = new SchedulePage(number);
    this.#schedulePages.set(number, page);
    this.#pages.restore(page, version);
    for (let left = reader.u32(); left > 0; left--) {
      const content = readContent(reader);
      const payload = reader.u8() === 0 ? null : this.#restored.get(content.seq);
      if (payload === undefined)
        throw new MalformedBytesError(`schedule ${content.seq} has lost its payload`);
      this.#restored.delete(content.seq);
      const schedule = this.#insert(new Schedule(content, page, payload));
      schedule.nextWall = reader.f64();
      schedule.lastWall = reader.f64();
      schedule.fired = reader.f64();
      schedule.coalesced = reader.f64();
      schedule.skipped = reader.f64();
      schedule.skippedBy = reader.string();
      schedule.revision = reader.f64();
    }
  }

  restorePayload(seq: number, reader: ByteReader, version: number): void {
    if (this.#restored.has(seq)) throw new MalformedBytesError(`the payload of schedule ${seq} came twice`);
    const page = new PayloadPage(seq, this.#payloads.put(reader.raw(reader.left)), this.#payloads);
    this.#pages.restore(page, version);
    this.#restored.set(seq, page);
  }

  /** The end of a restore: every payload has its schedule. */
  restored(): void {
    const [seq] = this.#restored.keys();
    if (seq !== undefined) throw new MalformedBytesError(`a payload of schedule ${seq}, which is not there`);
  }

  /** The whole state is dropped: its blobs go. */
  releaseAll(): void {
    for (const { handle } of this.#restored.values()) this.#payloads.release(handle);
    for (const { payload } of this.#bySeq.values()) {
      if (payload !== null) this.#payloads.release(payload.handle);
    }
  }

  #insert(schedule: Schedule): Schedule {
    const { content } = schedule;
    schedule.page.schedules.push(schedule);
    this.#bySeq.set(content.seq, schedule);
    this.#byTail.set(tailKey(content), schedule);
    this.#order.push(content.seq);
    if (content.uniqueKey !== '') {
      this.#byUnique.set(uniqueKeyOf(content.namespace, content.function, content.uniqueKey), schedule);
    }
    return schedule;
  }
}

/** What follows the time in an id: half of its second word, and the last two. */
function tailKey({ b, c, d }: JobId): string {
  return `${b >>> 16}/${c}/${d}`;
}

/** Names hold no control characters; a key may, and stands last. */
function uniqueKeyOf(namespace: string, fn: string, uniqueKey: string): string {
  return `${namespace}\u0000${fn}\u0000${uniqueKey}`;
}
