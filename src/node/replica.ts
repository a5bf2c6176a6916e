import type { Clock } from '../base/clock.js';
import type { Consensus, LogEntry, Output, RaftMessage, Standing } from '../consensus/types.js';
import type { Wal } from '../storage/types.js';
import type { NodeObserver } from './options.js';

/** Applying pauses after this many milliseconds, so that heartbeats and sockets get their turn. */
const APPLY_SLICE_MS = 10;

export interface ReplicaParts {
  readonly consensus: Consensus;
  readonly wal: Wal;
  readonly clock: Clock;
  readonly observer: NodeObserver;
  /** Carries messages to other members; those that name a snapshot come here too. */
  readonly send: (messages: readonly RaftMessage[]) => void;
  /** One committed entry, in order. */
  readonly apply: (entry: LogEntry) => void;
  /** After a run of applies: effects may leave. */
  readonly applied: (index: number) => void;
  readonly reads: (reads: Output['reads']) => void;
  readonly standing: (standing: Standing) => void;
  /** Replaces state and log by the snapshot that was fetched before. */
  readonly install: (output: Output) => Promise<void>;
  readonly fatal: (error: Error) => void;
}

/**
 * Drives the Raft core: takes its output, writes and syncs the log, sends, applies. The one place where the order
 * of those acts is decided: messages that attest durability are released by the core only after `persisted`, and
 * at most one sync is under way while the next batch gathers behind it (group commit).
 */
export class Replica {
  readonly #parts: ReplicaParts;
  #written = 0;
  #durable = 0;
  #mustSync = false;
  #syncing: Promise<void> | null = null;
  #installing: Promise<void> | null = null;
  #pumping = false;
  #stopped = false;
  #backlog: LogEntry[] = [];
  #backlogAt = 0;
  #applyDeferred = false;

  constructor(parts: ReplicaParts) {
    this.#parts = parts;
  }

  /** Does all that the core has to do by now. Cheap when there is nothing. */
  pump(): void {
    if (this.#pumping || this.#installing !== null || this.#stopped) return;
    this.#pumping = true;
    try {
      do {
        for (
          let output = this.#parts.consensus.take();
          output !== null;
          output = this.#parts.consensus.take()
        ) {
          if (output.snapshot !== null) {
            this.#install(output);
            return;
          }
          this.#handle(output);
        }
      } while (this.#passUnsynced());
    } catch (error) {
      this.#stopped = true;
      this.#parts.fatal(error as Error);
      return;
    } finally {
      this.#pumping = false;
    }
    this.#sync();
  }

  /** Resolves once nothing is being written any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#syncing;
    await this.#installing;
  }

  /** Entries that are committed and not yet applied here. */
  get applyBacklog(): number {
    return this.#backlog.length - this.#backlogAt;
  }

  #handle(output: Output): void {
    const parts = this.#parts;
    if (output.write !== 0) {
      parts.wal.append(output.hardState, output.entries);
      this.#written = output.write;
      if (output.mustSync) this.#mustSync = true;
    }
    if (output.messages.length > 0) parts.send(output.messages);
    if (output.standing !== null) parts.standing(output.standing);
    if (output.committed.length > 0) {
      if (this.applyBacklog === 0) {
        this.#backlog = output.committed as LogEntry[];
        this.#backlogAt = 0;
      } else {
        this.#backlog = this.#backlog.slice(this.#backlogAt).concat(output.committed);
        this.#backlogAt = 0;
      }
      if (!this.#applyDeferred) this.#applySlice();
    }
    if (output.reads.length > 0) parts.reads(output.reads);
  }

  #applySlice(): void {
    const parts = this.#parts;
    const until = parts.clock.monotonicMs() + APPLY_SLICE_MS;
    let count = 0;
    let last = 0;
    while (this.#backlogAt < this.#backlog.length) {
      const entry = this.#backlog[this.#backlogAt++]!;
      parts.apply(entry);
      last = entry.index;
      count += 1;
      if (parts.clock.monotonicMs() > until) break;
    }
    if (count > 0) {
      parts.consensus.applied(last);
      parts.observer.applied(count);
      parts.applied(last);
    }
    if (this.#backlogAt < this.#backlog.length) {
      this.#applyDeferred = true;
      parts.clock.defer(() => {
        this.#applyDeferred = false;
        // A snapshot takes the place of what is left: nothing may be applied to a state that is being replaced.
        if (this.#stopped || this.#installing !== null) return;
        try {
          this.#applySlice();
        } catch (error) {
          this.#stopped = true;
          parts.fatal(error as Error);
          return;
        }
        this.pump();
      });
    } else {
      this.#backlog = [];
      this.#backlogAt = 0;
    }
  }

  /** Where only a commit index changed, the next write that matters carries it to the disk: nothing waits for it. */
  #passUnsynced(): boolean {
    if (this.#syncing !== null || this.#mustSync || this.#written === this.#durable) return false;
    this.#durable = this.#written;
    this.#parts.consensus.persisted(this.#written);
    return true;
  }

  #sync(): void {
    if (this.#syncing !== null || this.#stopped || !this.#mustSync) return;
    const write = this.#written;
    this.#mustSync = false;
    const began = this.#parts.clock.monotonicMs();
    this.#syncing = this.#parts.wal.sync().then(
      () => {
        this.#syncing = null;
        this.#parts.observer.synced(this.#parts.clock.monotonicMs() - began);
        if (this.#stopped) return;
        this.#durable = write;
        this.#parts.consensus.persisted(write);
        this.pump();
      },
      (error: unknown) => {
        // After a failed sync nobody knows what is on disk: never tried again (the kernel may drop dirty pages).
        this.#syncing = null;
        this.#stopped = true;
        this.#parts.fatal(error as Error);
      },
    );
  }

  #install(output: Output): void {
    const parts = this.#parts;
    // The sync under way may be of a write that the snapshot makes void: the log is one writer's at a time.
    const before = this.#syncing ?? Promise.resolve();
    this.#installing = before
      .then(async () => {
        if (this.#stopped) return;
        await parts.install(output);
        this.#installing = null;
        if (this.#stopped) return;
        this.#backlog = [];
        this.#backlogAt = 0;
        parts.wal.append(null, output.entries);
        this.#written = output.write;
        this.#mustSync = true;
        if (output.messages.length > 0) parts.send(output.messages);
        if (output.standing !== null) parts.standing(output.standing);
        if (output.reads.length > 0) parts.reads(output.reads);
        this.pump();
      })
      .catch((error: unknown) => {
        this.#stopped = true;
        parts.fatal(error as Error);
      });
  }

  get installing(): boolean {
    return this.#installing !== null;
  }
}
