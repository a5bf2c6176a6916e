import type { ByteReader, ByteWriter } from '../base/bytes.js';
import { JobList } from './jobs/table.js';
import type { SessionClass } from './matching/class.js';
import { type Pages, PlainPage } from './snapshot/page.js';
import type { FunctionSpec } from './types.js';

const SESSIONS_PER_PAGE = 32;

/** A worker's session, or a long poll for jobs (`requestId` not ''). */
export class Session {
  // Replicated.
  epoch = 1;
  /** Node it is attached to; 0 when detached. */
  incarnation = 0;
  node = '';
  /** NodeStalled came for its node: no assignments. */
  stalled = false;
  /** On its way out: takes nothing, and a sweep gives its jobs back. */
  closing = false;
  /** Long polls: takes no more; goes when it holds nothing. */
  stopped = false;
  granted = 0;
  /** Assignments in this epoch. */
  assigned = 0;
  /** Orders the sessions that wait for jobs: the smallest is served first. */
  stamp = 0;
  /** End of its grace while detached, elapsed µs; 0 when it is attached. */
  graceDueUs = 0;
  functions: readonly FunctionSpec[] = [];

  // Derived.
  cls!: SessionClass;
  readonly held = new JobList();
  /** Label of its attempts in the table of labels, 0 until the first. */
  label = 0;
  timer = 0;
  listed = false;
  prev: Session | null = null;
  next: Session | null = null;
  /** What it adds to the views of its class. */
  shownCredit = 0;
  shownWorker = 0;
  waitsForMatch = false;
  /** It waits: a job that the command under way gives it is not reserved, but begins at once. */
  begins = false;
  removed = false;

  constructor(
    readonly id: number,
    readonly namespace: string,
    readonly name: string,
    readonly secretDigest: Buffer,
    readonly resumable: boolean,
    readonly requestId: string,
    readonly durationMs: number,
    readonly page: SessionPage,
    /** Jobs are reserved for it, until it says that it begins them. */
    readonly reserves: boolean,
  ) {}

  get isLease(): boolean {
    return this.requestId !== '';
  }

  /** Jobs it may be given now. */
  get available(): number {
    if (this.incarnation === 0 || this.stalled || this.closing || this.stopped) return 0;
    return this.granted > this.assigned ? this.granted - this.assigned : 0;
  }
}

class SessionPage extends PlainPage {
  /** Ascending by id. */
  readonly sessions: Session[] = [];

  constructor(readonly number: number) {
    super(`sessions/${number}`);
  }

  override encode(writer: ByteWriter): void {
    writer.u32(this.sessions.length);
    for (const session of this.sessions) {
      writer.f64(session.id);
      writer.string(session.namespace);
      writer.string(session.name);
      writer.bytes(session.secretDigest);
      writer.u8((session.resumable ? 1 : 0) | (session.reserves ? 2 : 0));
      writer.string(session.requestId);
      writer.f64(session.durationMs);
      writer.f64(session.epoch);
      writer.f64(session.incarnation);
      writer.string(session.node);
      writer.u8((session.stalled ? 1 : 0) | (session.closing ? 2 : 0) | (session.stopped ? 4 : 0));
      writer.f64(session.granted);
      writer.f64(session.assigned);
      writer.f64(session.stamp);
      writer.f64(session.graceDueUs);
      writer.u32(session.functions.length);
      for (const fn of session.functions) {
        writer.string(fn.name);
        writer.u32(fn.concurrency);
        writer.f64(fn.runTimeoutMs);
      }
    }
  }
}

/** All sessions, by id and (long polls) by request. */
export class SessionTable {
  readonly #pages: Pages;
  readonly #byId = new Map<number, Session>();
  readonly #byRequest = new Map<string, Session>();
  /** Ascending: ids are never given twice, so pages are made in order. */
  readonly #sessionPages = new Map<number, SessionPage>();

  constructor(pages: Pages) {
    this.#pages = pages;
  }

  get size(): number {
    return this.#byId.size;
  }

  get(id: number): Session | null {
    return this.#byId.get(id) ?? null;
  }

  byRequest(namespace: string, requestId: string): Session | null {
    return this.#byRequest.get(`${namespace}\u0000${requestId}`) ?? null;
  }

  all(): IterableIterator<Session> {
    return this.#byId.values();
  }

  /** Calls `visit` for the sessions with an id above `after`, ascending, until it says false. */
  visit(after: number, visit: (session: Session) => boolean): void {
    const first = Math.floor((after + 1) / SESSIONS_PER_PAGE);
    for (const page of this.#sessionPages.values()) {
      if (page.number < first) continue;
      // A copy: the visitor may remove sessions.
      for (const session of page.sessions.slice()) {
        if (session.id > after && !visit(session)) return;
      }
    }
  }

  create(
    id: number,
    namespace: string,
    name: string,
    secretDigest: Buffer,
    resumable: boolean,
    requestId: string,
    durationMs: number,
    reserves = false,
  ): Session {
    const number = Math.floor(id / SESSIONS_PER_PAGE);
    let page = this.#sessionPages.get(number);
    if (page === undefined) {
      page = new SessionPage(number);
      this.#sessionPages.set(number, page);
      this.#pages.add(page);
    } else {
      this.#pages.touch(page);
    }
    const session = new Session(
      id,
      namespace,
      name,
      secretDigest,
      resumable,
      requestId,
      durationMs,
      page,
      reserves,
    );
    this.#insert(session);
    return session;
  }

  remove(session: Session): void {
    const { page } = session;
    this.#pages.touch(page);
    page.sessions.splice(page.sessions.indexOf(session), 1);
    this.#byId.delete(session.id);
    if (session.isLease) this.#byRequest.delete(`${session.namespace}\u0000${session.requestId}`);
    session.removed = true;
    if (page.sessions.length > 0) return;
    this.#sessionPages.delete(page.number);
    this.#pages.drop(page);
  }

  /** To be called ascending by number. */
  restore(number: number, reader: ByteReader, version: number): void {
    const page = new SessionPage(number);
    this.#sessionPages.set(number, page);
    this.#pages.restore(page, version);
    for (let left = reader.u32(); left > 0; left--) {
      const id = reader.f64();
      const [namespace, name] = [reader.string(), reader.string()];
      const secretDigest = Buffer.from(reader.bytes());
      const kind = reader.u8();
      const session = new Session(
        id,
        namespace,
        name,
        secretDigest,
        (kind & 1) !== 0,
        reader.string(),
        reader.f64(),
        page,
        (kind & 2) !== 0,
      );
      session.epoch = reader.f64();
      session.incarnation = reader.f64();
      session.node = reader.string();
      const flags = reader.u8();
      session.stalled = (flags & 1) !== 0;
      session.closing = (flags & 2) !== 0;
      session.stopped = (flags & 4) !== 0;
      session.granted = reader.f64();
      session.assigned = reader.f64();
      session.stamp = reader.f64();
      session.graceDueUs = reader.f64();
      const functions: FunctionSpec[] = [];
      for (let count = reader.u32(); count > 0; count--) {
        functions.push({ name: reader.string(), concurrency: reader.u32(), runTimeoutMs: reader.f64() });
      }
      session.functions = functions;
      this.#insert(session);
    }
  }

  #insert(session: Session): void {
    session.page.sessions.push(session);
    this.#byId.set(session.id, session);
    if (session.isLease) this.#byRequest.set(`${session.namespace}\u0000${session.requestId}`, session);
  }
}
