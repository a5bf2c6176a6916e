import { BLOB_COUNT_MS, sameBlob } from '../../core/index.js';
import type { BlobRef } from '../../core/types.js';
import { isBroken, NOT_HERE } from './errors.js';
import { Intake, type IntakeHost } from './intake.js';
import type { BlobsParts } from './parts.js';
import type { BlobTransfers } from './transfers.js';

/**
 * How long a blob that no job names is kept, by both clocks, ms. Apply takes a blob only for a while after it was
 * counted; this is a multiple of it, so that whatever apply may still take is there.
 */
export const UNNAMED_MS = 3 * BLOB_COUNT_MS;
/** Blobs fetched at a time. */
const FETCHES = 2;
/** Pause before a blob that nobody gave is asked for again: doubles from the first to the second. */
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;
/** Missing blobs looked at in one round. */
const LOOKS = 1_000;

interface Missing {
  readonly ref: BlobRef;
  attempts: number;
  /** Peers that lack it. */
  readonly lacking: Set<string>;
  /** Monotonic ms before which it is not asked for. */
  pausedUntil: number;
}

interface Age {
  readonly ms: number;
  readonly wall: number;
}

export interface KeeperParts extends BlobsParts {
  readonly transfers: BlobTransfers;
  /** A caller of this node may still name it. */
  readonly isClaimed: (id: string) => boolean;
}

/** Sees to it that this node has all blobs that jobs refer to, and no others for long. */
export class BlobKeeper {
  readonly #parts: KeeperParts;
  readonly #missing = new Map<string, Missing>();
  /** Whole ones that no job names, by when that was last known to be of use to somebody. */
  readonly #unnamed = new Map<string, Age>();
  /** Here, but not what they should be: kept until they are here anew, for what is sound of them. */
  readonly #damaged = new Set<string>();
  readonly #fetching = new Map<string, (reason: string) => void>();
  readonly #intake: IntakeHost;
  #fetched = 0;
  #failedFetches = 0;
  #stopped = false;

  constructor(parts: KeeperParts) {
    this.#parts = parts;
    this.#intake = {
      diskLow: parts.diskLow,
      fatal: parts.fatal,
      sealed: (id) => this.sealed(id),
      stopped: (id) => {
        if (parts.core.blob(id) === null) this.remove(id);
      },
    };
    this.resync();
  }

  get missing(): number {
    return this.#missing.size;
  }

  /** Missing ones that another node may have: not those of which all others said that they lack them. */
  get wanted(): number {
    const peers = this.#parts.peerNames();
    let wanted = 0;
    for (const { lacking } of this.#missing.values())
      if (!peers.every((peer) => lacking.has(peer))) wanted += 1;
    return wanted;
  }

  /** Since the start: blobs fetched from other nodes, and tries that failed. */
  get fetches(): { readonly done: number; readonly failed: number } {
    return { done: this.#fetched, failed: this.#failedFetches };
  }

  get intake(): IntakeHost {
    return this.#intake;
  }

  /** Compares what jobs refer to with what is here: at the start, and when a snapshot took the place of the state. */
  resync(): void {
    const { core, store } = this.#parts;
    this.#missing.clear();
    for (const ref of core.blobs()) {
      this.#unnamed.delete(ref.id);
      if (!this.#isSound(ref.id)) this.#miss(ref);
    }
    for (const id of store.ids()) if (core.blob(id) === null && !this.#unnamed.has(id)) this.#age(id);
    for (const [id, stop] of this.#fetching) if (core.blob(id) === null) stop('nobody needs it any more');
  }

  taken(ref: BlobRef): void {
    this.#unnamed.delete(ref.id);
    if (!this.#isSound(ref.id)) this.#miss(ref);
  }

  released(id: string): void {
    this.#missing.delete(id);
    this.#fetching.get(id)?.('nobody needs it any more');
    this.remove(id);
  }

  /** It is durable here. */
  sealed(id: string): void {
    this.#missing.delete(id);
    this.#damaged.delete(id);
    if (this.#parts.core.blob(id) === null) this.#age(id);
  }

  /** Somebody counts on it from now on. */
  counted(id: string): void {
    if (this.#unnamed.has(id)) this.#age(id);
  }

  /** What is here of it is known to be damaged. */
  isDamaged(id: string): boolean {
    return this.#damaged.has(id);
  }

  /** What is here of it is not what it should be. */
  damaged(ref: BlobRef, reason: string): void {
    if (!this.#isSound(ref.id)) return;
    const named = this.#parts.core.blob(ref.id);
    // Who asks for something else says nothing about what is here.
    if (named !== null && !sameBlob(named, ref)) return;
    if (this.#parts.peerNames().length === 0) {
      // What is sound of it may be all that is left.
      this.#parts.log.error({ blob: ref.id, reason }, 'a blob is damaged on the only disk');
      return;
    }
    this.#parts.log.error(
      { blob: ref.id, reason },
      'a blob is damaged on this disk: it is fetched from another node',
    );
    this.#damaged.add(ref.id);
    if (named !== null) this.#miss(named);
  }

  remove(id: string): void {
    this.#unnamed.delete(id);
    this.#damaged.delete(id);
    this.#parts.store.remove(id).catch((error: unknown) => {
      this.#parts.log.warn({ blob: id, reason: (error as Error).message }, 'a blob could not be removed');
    });
  }

  /** To be called about once a second, and when a peer connected. */
  look(): void {
    this.#sweep();
    this.#fetchMore();
  }

  stop(): void {
    this.#stopped = true;
    for (const stop of [...this.#fetching.values()]) stop('the node is stopping');
  }

  #isSound(id: string): boolean {
    return this.#parts.store.has(id) && !this.#damaged.has(id);
  }

  #miss(ref: BlobRef): void {
    this.#missing.set(ref.id, { ref, attempts: 0, lacking: new Set(), pausedUntil: 0 });
  }

  #age(id: string): void {
    const { clock, core } = this.#parts;
    this.#unnamed.set(id, { ms: clock.monotonicMs(), wall: Math.max(core.wall, clock.wallMs()) });
  }

  /** By both clocks, so that one that was set makes nothing old; and never while the log may hold a job that names it. */
  #sweep(): void {
    const { clock, core, store, isClaimed, upToDate } = this.#parts;
    if (this.#unnamed.size === 0 || !upToDate()) return;
    const now = clock.monotonicMs();
    const wallNow = Math.max(core.wall, clock.wallMs());
    for (const [id, { ms, wall }] of this.#unnamed) {
      if (now - ms < UNNAMED_MS || wallNow - wall < UNNAMED_MS || isClaimed(id)) continue;
      if (store.has(id)) this.remove(id);
      else this.#unnamed.delete(id);
    }
  }

  #fetchMore(): void {
    const { clock, transfers, diskLow } = this.#parts;
    if (this.#stopped || diskLow()) return;
    const now = clock.monotonicMs();
    let looks = LOOKS;
    for (const missing of this.#missing.values()) {
      if (this.#stopped || this.#fetching.size >= FETCHES || looks-- === 0) return;
      const { id } = missing.ref;
      // What a peer is sending here anyway will be whole soon.
      if (missing.pausedUntil > now || this.#fetching.has(id) || transfers.receives(id)) continue;
      this.#fetch(missing);
    }
  }

  #fetch(missing: Missing): void {
    const { ref } = missing;
    const peers = this.#peers();
    const peer = peers[missing.attempts % Math.max(1, peers.length)];
    // Nobody to ask: that is no attempt, so that who connects then is asked at once.
    if (peer === undefined) return;
    const pauseMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(10, missing.attempts));
    missing.attempts += 1;
    missing.pausedUntil = this.#parts.clock.monotonicMs() + pauseMs;
    void this.#fetchFrom(peer, ref).then((reason) => {
      if (reason !== null && this.#missing.get(ref.id) === missing) this.#failed(missing, peer, reason);
      this.#fetchMore();
    });
  }

  /**
   * Asks the connected nodes one by one for a blob that no job refers to yet. Null: it is here; else what each of them
   * said.
   */
  async obtain(ref: BlobRef): Promise<ReadonlyMap<string, string> | null> {
    const reasons = new Map<string, string>();
    for (const peer of this.#peers()) {
      if (this.#stopped || this.#isSound(ref.id)) break;
      const reason = await this.#fetchFrom(peer, ref);
      if (reason !== null) reasons.set(peer, reason);
    }
    return this.#isSound(ref.id) ? null : reasons;
  }

  /** Null: it is here now; else why not. */
  async #fetchFrom(peer: string, ref: BlobRef): Promise<string | null> {
    const { transfers, store, diskLow, fatal } = this.#parts;
    if (diskLow()) return 'the disk is nearly full';
    if (this.#isSound(ref.id)) return null;
    if (this.#stopped || this.#fetching.has(ref.id) || store.writes(ref.id)) return 'it is being written';
    let given: string | null = null;
    let stop: ((reason: string) => void) | null = null;
    this.#fetching.set(ref.id, (reason) => {
      given = reason;
      stop?.(reason);
    });
    try {
      const draft = await store.begin(ref.id, this.#damaged.has(ref.id));
      const reason = await new Promise<string | null>((over) => {
        const sink = new Intake(this.#intake, draft, ref, over);
        stop = given === null ? transfers.get(peer, ref, 0, sink) : null;
        if (stop === null) sink.stopped(given ?? 'it cannot be asked');
      });
      if (reason === null) this.#fetched += 1;
      return reason;
    } catch (error) {
      if (isBroken(error) && !this.#stopped) fatal(error);
      return (error as Error).message;
    } finally {
      this.#fetching.delete(ref.id);
    }
  }

  #failed(missing: Missing, peer: string, reason: string): void {
    this.#failedFetches += 1;
    if (reason === NOT_HERE) missing.lacking.add(peer);
    else missing.lacking.delete(peer);
    const fields = { blob: missing.ref.id, peer, attempts: missing.attempts, reason };
    const tried = missing.attempts === this.#parts.peerNames().length;
    // Once, when all were asked: the metric tells how it goes on.
    if (tried)
      this.#parts.log.warn(fields, 'a blob that a job refers to is not here and could not be fetched yet');
    else this.#parts.log.debug(fields, 'a blob was not fetched');
  }

  #peers(): string[] {
    return this.#parts.peerNames().filter((name) => this.#parts.transport.isConnected(name));
  }
}
