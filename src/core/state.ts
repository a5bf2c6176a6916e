import { type ByteReader, type ByteWriter, MalformedBytesError } from '../base/bytes.js';
import { BlobTable } from './blob-table.js';
import { Dedupe } from './dedupe.js';
import { FunctionTable } from './functions.js';
import { U_FIELDS, U_ID } from './jobs/fields.js';
import { Relief } from './jobs/relief.js';
import { JobList, JobTable } from './jobs/table.js';
import { LabelTable } from './labels.js';
import type { SessionClass } from './matching/class.js';
import { type NodeState, NodeTable } from './nodes.js';
import { ScheduleTable } from './schedules/table.js';
import { type Session, SessionTable } from './sessions.js';
import { SETTING_KEYS } from './settings.js';
import { Pages, PlainPage } from './snapshot/page.js';
import type { Sweep } from './sweeps.js';
import { AckRing } from './tables/ack-ring.js';
import { HashIndex } from './tables/hash-index.js';
import { TimerHeap } from './tables/timer-heap.js';
import { TokenTable } from './tables/token-table.js';
import type { Effects, PayloadStore, Settings, SpillOptions } from './types.js';

/** Form of snapshot pages. */
const FORMAT = 2;
/** What the cluster has agreed to use. New behaviour follows a higher level, raised by a command. */
export const FEATURE_LEVEL = 1;

/**
 * Numbers of jobs and leases start above (partition, restore epoch), so that they stay distinct and ascending
 * across groups and after a restore: 5 bits of partition, 8 of epoch, 40 of counter.
 */
function numberBase(partition: number, restoreEpoch: number): number {
  return (partition * 256 + restoreEpoch) * 2 ** 40;
}

/** Everything that apply reads and changes. Replicated unless said otherwise. */
export class State {
  readonly pages = new Pages();
  readonly meta: MetaPage;

  // In the page `meta`.
  partition = 0;
  restoreEpoch = 0;
  elapsedUs = 0;
  wall = 0;
  lastJob = numberBase(0, 0);
  lastToken = numberBase(0, 0);
  lastOrder = 0;
  lastStamp = 0;
  lastSession = 0;
  lastIncarnation = 0;
  lastLabel = 0;
  /** Firings of schedules: that made a job, that joined one, that were refused. */
  firingsCreated = 0;
  firingsCoalesced = 0;
  firingsSkipped = 0;
  members: Buffer = Buffer.alloc(0);
  /** Log index of the last change of the membership. */
  configuration = 0;
  sweeps: Sweep[] = [];
  /** Lives of nodes that are over, whose clients still count as waiting until then: elapsed µs. */
  departed: { readonly incarnation: number; readonly dueUs: number }[] = [];

  // Tables with pages of their own.
  readonly jobs: JobTable;
  /** Node-local: where the pages of `jobs` are. */
  readonly relief: Relief;
  readonly schedules: ScheduleTable;
  readonly functions = new FunctionTable(this.pages);
  readonly sessions = new SessionTable(this.pages);
  readonly nodes = new NodeTable(this.pages);
  readonly labels = new LabelTable(this.pages);
  readonly dedupe = new Dedupe(this.pages);

  // Derived from the records: rebuilt on restore.
  readonly ids = new HashIndex(10);
  readonly tokens = new TokenTable();
  readonly uniqueKeys = new HashIndex(10);
  readonly elapsedTimers = new TimerHeap();
  readonly wallTimers = new TimerHeap();
  readonly acks = new AckRing();
  readonly blobs = new BlobTable();
  readonly byState = new Float64Array(8);
  /** Ended jobs by the order of their end: kept for the default times, and with a time of their own. */
  readonly endedDefault = new JobList();
  readonly endedFailed = new JobList();
  readonly endedCustom = new JobList();
  readonly classes = new Map<string, SessionClass>();

  // Of the apply under way; node-local.
  effects!: Effects;
  /** Somebody here wants the results of the batch being applied. */
  wants = false;
  position = 0;
  /** Node whose batch is being applied; the batch itself may retire it. */
  origin!: NodeState;
  /** Steps left for sweeps and due timers in this entry, and assignments left for them and for new credit. */
  steps = 0;
  matches = 0;
  readonly toMatch: Session[] = [];

  constructor(
    readonly payloads: PayloadStore,
    public settings: Settings,
    readonly clusterName: string,
    spill: SpillOptions | null = null,
  ) {
    this.jobs = new JobTable(this.pages, payloads, spill?.store ?? null);
    this.relief = new Relief(this.jobs, spill?.memoryBytes ?? Number.POSITIVE_INFINITY);
    this.schedules = new ScheduleTable(this.pages, payloads);
    this.meta = new MetaPage(this);
  }

  get index(): number {
    return this.pages.index;
  }

  /** The pages that exist from the beginning. */
  start(): void {
    this.pages.add(this.meta);
    this.pages.add(this.nodes);
    this.pages.add(this.dedupe);
  }

  readonly nextLabel = (): number => ++this.lastLabel;

  readonly idMatches = (id: JobId, seq: number): boolean => {
    const page = this.jobs.pageOf(seq);
    const at = page.row(seq) * U_FIELDS + U_ID;
    return (
      page.u[at + 3] === id.d && page.u[at + 2] === id.c && page.u[at + 1] === id.b && page.u[at] === id.a
    );
  };
}

/** A ULID's bytes as four little-endian words. */
export interface JobId {
  a: number;
  b: number;
  c: number;
  d: number;
}

/** Counters, clocks, settings, members and sweeps. */
class MetaPage extends PlainPage {
  readonly #state: State;

  constructor(state: State) {
    super('meta');
    this.#state = state;
  }

  override encode(writer: ByteWriter): void {
    const state = this.#state;
    writer.u32(FORMAT);
    writer.u32(FEATURE_LEVEL);
    writer.string(state.clusterName);
    for (const value of [
      state.index,
      state.partition,
      state.restoreEpoch,
      state.elapsedUs,
      state.wall,
      state.lastJob,
      state.lastToken,
      state.lastOrder,
      state.lastStamp,
      state.lastSession,
      state.lastIncarnation,
      state.lastLabel,
      state.firingsCreated,
      state.firingsCoalesced,
      state.firingsSkipped,
      state.configuration,
    ]) {
      writer.f64(value);
    }
    writer.bytes(state.members);
    writer.u32(SETTING_KEYS.length);
    for (const key of SETTING_KEYS) writer.f64(state.settings[key]);
    writer.u32(state.sweeps.length);
    for (const sweep of state.sweeps) {
      writer.u8(sweep.kind);
      writer.f64(sweep.subject);
      writer.f64(sweep.detail);
      writer.f64(sweep.cursor);
      writer.u32(sweep.tokens.length);
      for (const token of sweep.tokens) writer.f64(token);
    }
    writer.u32(state.departed.length);
    for (const { incarnation, dueUs } of state.departed) {
      writer.f64(incarnation);
      writer.f64(dueUs);
    }
  }

  restore(reader: ByteReader): void {
    const state = this.#state;
    const format = reader.u32();
    if (format !== FORMAT) throw new MalformedBytesError(`snapshot format ${format} is not known`);
    const level = reader.u32();
    if (level > FEATURE_LEVEL) throw new MalformedBytesError(`feature level ${level} is not known`);
    const cluster = reader.string();
    if (cluster !== state.clusterName) throw new MalformedBytesError(`a snapshot of the cluster ${cluster}`);
    state.pages.index = reader.f64();
    state.partition = reader.f64();
    state.restoreEpoch = reader.f64();
    state.elapsedUs = reader.f64();
    state.wall = reader.f64();
    state.lastJob = reader.f64();
    state.lastToken = reader.f64();
    state.lastOrder = reader.f64();
    state.lastStamp = reader.f64();
    state.lastSession = reader.f64();
    state.lastIncarnation = reader.f64();
    state.lastLabel = reader.f64();
    state.firingsCreated = reader.f64();
    state.firingsCoalesced = reader.f64();
    state.firingsSkipped = reader.f64();
    state.configuration = reader.f64();
    state.members = Buffer.from(reader.bytes());
    const settings = { ...state.settings };
    const count = reader.u32();
    for (let i = 0; i < count; i++) {
      const key = SETTING_KEYS[i];
      if (key === undefined) throw new MalformedBytesError(`setting ${i} is not known`);
      (settings as Record<string, number>)[key] = reader.f64();
    }
    state.settings = settings;
    for (let left = reader.u32(); left > 0; left--) {
      state.sweeps.push({
        kind: reader.u8() as Sweep['kind'],
        subject: reader.f64(),
        detail: reader.f64(),
        cursor: reader.f64(),
        tokens: Array.from({ length: reader.u32() }, () => reader.f64()),
      });
    }
    for (let left = reader.u32(); left > 0; left--) {
      state.departed.push({ incarnation: reader.f64(), dueUs: reader.f64() });
    }
  }
}
