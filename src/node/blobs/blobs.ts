import { GearmeshError } from '../../core/errors.js';
import type { BlobCount, BlobRef } from '../../core/types.js';
import type { PeerFrame } from '../../peer/types.js';
import type { BlobDraft, StoredBlob } from '../../storage/index.js';
import type { BlobWriter, CallOptions } from '../interface.js';
import { BlobClaims } from './claims.js';
import {
  checkRef,
  diskFullError,
  gone,
  isBroken,
  isDamaged,
  isFull,
  isMismatch,
  limitError,
  MISMATCH,
  mismatch,
  NOT_HERE,
  noMajority,
  outOfReach,
  uploadsError,
} from './errors.js';
import { Intake } from './intake.js';
import { BlobKeeper } from './keeper.js';
import { Bell, type BlobsParts } from './parts.js';
import { readBlob } from './reading.js';
import { Spread } from './spread.js';
import { type BlobSink, type BlobSource, BlobTransfers } from './transfers.js';
import { Upload, type UploadHost } from './upload.js';

/** A majority that is counted anew must be found within this time, milliseconds. */
const RECOUNT_MS = 30_000;
/** Blobs of which others are still to be told that nobody needs them. */
const DROPS_MAX = 10_000;

/** Streams of a blob that its majority has, to those who are nearly done. */
interface Lingering {
  readonly id: string;
  readonly spread: Spread;
  readonly close: () => void;
}

export interface BlobStatistics {
  /** Whole blobs on this node's disk, and their bytes. */
  readonly held: number;
  readonly bytes: number;
  /** Those that jobs refer to and that are not here. */
  readonly missing: number;
  /** Of these, those that another node may have. */
  readonly wanted: number;
  readonly fetched: number;
  readonly failedFetches: number;
  /** Under way at this node. */
  readonly uploads: number;
}

/**
 * Payloads and results outside the log, on this node. A caller's upload goes to this disk and to the voters; once a
 * majority has it, a command may name it; and once a job refers to it, every node sees to having it, until no job does.
 */
export class Blobs {
  readonly claims: BlobClaims;
  readonly #parts: BlobsParts;
  readonly #transfers: BlobTransfers;
  readonly #keeper: BlobKeeper;
  readonly #uploads = new Set<Upload>();
  readonly #lingering = new Set<Lingering>();
  /** Majorities being counted anew. */
  readonly #recounts = new Set<{ readonly spread: Spread; readonly bell: Bell }>();
  /** By id: peers that are still to be told. */
  readonly #drops = new Map<string, string[]>();
  #beginning = 0;
  #stopped = false;

  constructor(parts: BlobsParts) {
    this.#parts = parts;
    this.claims = new BlobClaims(parts);
    this.#transfers = new BlobTransfers({
      transport: parts.transport,
      clock: parts.clock,
      accept: (_, put) => this.#accept(put),
      serve: (ref) => this.#serve(ref),
    });
    const isClaimed = (id: string): boolean => this.claims.isNamed(id) || this.#isUploading(id);
    this.#keeper = new BlobKeeper({ ...parts, transfers: this.#transfers, isClaimed });
  }

  get statistics(): BlobStatistics {
    const { store } = this.#parts;
    const { done, failed } = this.#keeper.fetches;
    return {
      held: store.count,
      bytes: store.bytes,
      missing: this.#keeper.missing,
      wanted: this.#keeper.wanted,
      fetched: done,
      failedFetches: failed,
      uploads: this.#uploads.size,
    };
  }

  async create(size: number, call: CallOptions): Promise<BlobWriter> {
    const { core, store, random, uploadsMax, diskLow, diskReserveBytes } = this.#parts;
    if (call.signal?.aborted) throw new GearmeshError('CANCELLED');
    const { settings } = core;
    if (size > settings.blobBytesMax) throw limitError(settings, 'blobBytesMax');
    if (core.counts().blobBytes + Math.max(0, size) > settings.blobsTotalBytesMax) {
      throw limitError(settings, 'blobsTotalBytesMax');
    }
    if (diskLow() || !(await this.#hasRoom(size))) throw diskFullError(diskReserveBytes);
    if (this.#uploads.size + this.#beginning >= uploadsMax) throw uploadsError(uploadsMax);
    this.#beginning += 1;
    let draft: BlobDraft;
    try {
      draft = await store.begin(Buffer.from(random.bytes(16)).toString('hex'));
    } catch (error) {
      throw this.#diskError(error);
    } finally {
      this.#beginning -= 1;
    }
    const { signal } = call;
    const gaveUp = (): void => upload.fail(new GearmeshError('CANCELLED'));
    const upload: Upload = new Upload(
      this.#uploadHost(() => signal?.removeEventListener('abort', gaveUp)),
      draft,
      size,
    );
    this.#uploads.add(upload);
    signal?.addEventListener('abort', gaveUp, { once: true });
    if (this.#stopped) upload.fail(new GearmeshError('SHUTTING_DOWN'));
    else if (signal?.aborted) gaveUp();
    return upload;
  }

  read(ref: BlobRef, offset: number, call: CallOptions): AsyncIterable<Uint8Array> {
    checkRef(ref);
    const { store, transport, peerNames } = this.#parts;
    return readBlob(
      {
        store,
        transfers: this.#transfers,
        peers: () => peerNames().filter((name) => transport.isConnected(name)),
        damaged: (reason) => this.#keeper.damaged(ref, reason),
        absent: (lacking) => this.#absent(ref, lacking),
      },
      ref,
      offset,
      call.signal,
    );
  }

  /** Counts the majority anew, by the membership now in force. Rejects where there is none any more. */
  async recount(ref: BlobRef, signal: AbortSignal | undefined): Promise<void> {
    const { core, store, clock } = this.#parts;
    const opened = (await this.#openSound(ref)) ?? (await this.#obtain(ref));
    const { wall } = core;
    this.#keeper.counted(ref.id);
    const bell = new Bell();
    const spread = new Spread(
      { ...this.#parts, transfers: this.#transfers },
      sourceOf(opened, (reason) => this.#keeper.damaged(ref, reason)),
      () => bell.ring(),
    );
    spread.sealedHere = store.has(ref.id) && !this.#keeper.isDamaged(ref.id);
    const recount = { spread, bell };
    this.#recounts.add(recount);
    const ring = (): void => bell.ring();
    signal?.addEventListener('abort', ring, { once: true });
    const until = clock.monotonicMs() + RECOUNT_MS;
    try {
      spread.look();
      while (!spread.isCounted) {
        if (signal?.aborted) throw new GearmeshError('CANCELLED');
        if (this.#stopped) throw new GearmeshError('SHUTTING_DOWN');
        if (clock.monotonicMs() > until) throw noMajority();
        await bell.heard();
      }
      this.claims.counted(ref, { configuration: core.configuration, wall });
    } finally {
      signal?.removeEventListener('abort', ring);
      this.#recounts.delete(recount);
      this.#linger(ref.id, spread, () => void opened.close().catch(() => {}));
    }
  }

  /** No job names it and no call will: it goes, here and at the others. */
  drop(id: string): void {
    this.claims.forget(id);
    this.#end(id, 'it was given up');
    this.#keeper.remove(id);
    if (this.#drops.size < DROPS_MAX) this.#drops.set(id, [...this.#parts.peerNames()]);
    this.#tellDrops();
  }

  // Told by the node.

  taken(ref: BlobRef): void {
    this.#keeper.taken(ref);
  }

  released(id: string): void {
    this.#end(id, 'nobody needs it any more');
    this.#transfers.refuse(id, 'nobody needs it any more');
    this.#keeper.released(id);
  }

  /** Another state took the place of the one before. */
  installed(): void {
    this.#keeper.resync();
  }

  membershipChanged(): void {
    this.#lookAtCounts();
  }

  frame(from: string, frame: PeerFrame): void {
    if (this.#stopped) return;
    if (frame.type !== 'blob-drop') {
      this.#transfers.frame(from, frame);
      return;
    }
    const { id } = frame;
    this.#transfers.refuse(id, 'it was given up');
    if (this.#parts.core.blob(id) === null) this.#keeper.remove(id);
  }

  peerConnected(): void {
    if (this.#stopped) return;
    this.#lookAtCounts();
    this.#keeper.look();
  }

  peerLost(peer: string): void {
    this.#transfers.peerLost(peer);
  }

  /** To be called about once a second. */
  look(): void {
    if (this.#stopped) return;
    this.#transfers.look();
    this.#lookAtCounts();
    this.#keeper.look();
    this.claims.expire();
    this.#tellDrops();
    for (const one of this.#lingering) if (!one.spread.linger()) this.#lingered(one);
  }

  stop(): void {
    this.#stopped = true;
    for (const upload of [...this.#uploads]) upload.fail(new GearmeshError('SHUTTING_DOWN'));
    for (const { bell } of this.#recounts) bell.ring();
    for (const one of [...this.#lingering]) this.#lingered(one);
    this.#keeper.stop();
    this.#transfers.stop();
  }

  #uploadHost(ended: () => void): UploadHost {
    return {
      parts: this.#parts,
      transfers: this.#transfers,
      counted: (ref, count: BlobCount, { spread, draft }) => {
        this.claims.counted(ref, count);
        this.#linger(ref.id, spread, () => void draft.close().catch(() => {}));
      },
      sealedHere: (id) => this.#keeper.sealed(id),
      drop: (id) => this.drop(id),
      abandon: (id) => {
        if (this.claims.abandon(id)) this.drop(id);
      },
      ended: (upload) => {
        ended();
        this.#uploads.delete(upload);
      },
    };
  }

  #isUploading(id: string): boolean {
    for (const upload of this.#uploads) if (upload.id === id) return true;
    return false;
  }

  async #accept(put: Extract<PeerFrame, { type: 'blob-put' }>): Promise<BlobSink | null> {
    const { store, diskLow } = this.#parts;
    const { id, size } = put;
    const wanted = put.digest.length === 0 ? null : { size, digest: Buffer.from(put.digest) };
    if (store.has(id)) {
      const opened = wanted === null ? null : await this.#openSound({ id, ...wanted });
      if (opened !== null) {
        await opened.close();
        this.#keeper.counted(id);
        return null;
      }
      if (store.has(id) && !this.#keeper.isDamaged(id)) throw new Error('another blob of this id is here');
    }
    if (diskLow() || !(await this.#hasRoom(size))) throw new Error('the disk is nearly full');
    const replaces = this.#keeper.isDamaged(id);
    if (store.writes(id) || (store.has(id) && !replaces)) throw new Error('it is being written');
    try {
      return new Intake(this.#keeper.intake, await store.begin(id, replaces), wanted);
    } catch (error) {
      throw this.#diskError(error);
    }
  }

  /** Room for so many bytes (-1 or 0: not known) above the reserve. */
  async #hasRoom(size: number): Promise<boolean> {
    const { freeBytes, diskReserveBytes } = this.#parts;
    return size <= 0 || (await freeBytes()) - size >= diskReserveBytes;
  }

  async #serve(ref: BlobRef): Promise<{ readonly source: BlobSource; close(): void }> {
    const opened = await this.#open(ref);
    if (opened === null) throw new Error(NOT_HERE);
    const source = sourceOf(opened, (reason) => this.#keeper.damaged(ref, reason));
    return { source, close: () => void opened.close().catch(() => {}) };
  }

  async #obtain(ref: BlobRef): Promise<StoredBlob> {
    const reasons = await this.#keeper.obtain(ref);
    const said = [...(reasons ?? [])];
    if (said.some(([, reason]) => reason === MISMATCH)) throw mismatch();
    const opened = reasons === null ? await this.#open(ref) : null;
    if (opened !== null) return opened;
    throw this.#absent(ref, new Set(said.filter(([, reason]) => reason === NOT_HERE).map(([peer]) => peer)));
  }

  /** Not here, and not at `lacking`: whether it may be somewhere. */
  #absent(ref: BlobRef, lacking: ReadonlySet<string>): GearmeshError {
    const others = this.#parts.peerNames();
    const silent = others.filter((name) => !lacking.has(name));
    // Besides the others this node lacks it. One that a job refers to was accepted: whoever is silent may have it.
    const isAccepted = this.#parts.core.blob(ref.id) !== null;
    const noMajority = (lacking.size + 1) * 2 >= others.length + 1;
    return silent.length === 0 || (noMajority && !isAccepted) ? gone() : outOfReach(silent);
  }

  /** Null also where a chunk of it is known to be damaged. */
  async #openSound(ref: BlobRef): Promise<StoredBlob | null> {
    return this.#keeper.isDamaged(ref.id) ? null : this.#open(ref);
  }

  /** Null: it is not here, or damaged. Rejects where it is here with another size or digest. */
  async #open(ref: BlobRef): Promise<StoredBlob | null> {
    try {
      return await this.#parts.store.open(ref);
    } catch (error) {
      if (isMismatch(error)) throw mismatch();
      if (!isDamaged(error)) throw error;
      this.#keeper.damaged(ref, (error as Error).message);
      return null;
    }
  }

  #lookAtCounts(): void {
    for (const upload of this.#uploads) upload.look();
    for (const { spread, bell } of this.#recounts) {
      spread.look();
      bell.ring();
    }
  }

  #linger(id: string, spread: Spread, close: () => void): void {
    const one: Lingering = { id, spread, close };
    if (!this.#stopped && spread.linger()) this.#lingering.add(one);
    else this.#lingered(one);
  }

  #lingered(one: Lingering): void {
    this.#lingering.delete(one);
    one.spread.close('the node is stopping');
    one.close();
  }

  /** Ends streams of a blob that nobody needs any more. */
  #end(id: string, reason: string): void {
    for (const one of [...this.#lingering]) {
      if (one.id !== id) continue;
      one.spread.close(reason);
      this.#lingered(one);
    }
  }

  /** On the channel of the blobs themselves, so behind all that was sent of them. */
  #tellDrops(): void {
    const { transport } = this.#parts;
    for (const [id, peers] of this.#drops) {
      const left = peers.filter(
        (peer) => transport.isConnected(peer) && !transport.send(peer, 'bulk', { type: 'blob-drop', id }),
      );
      // One that is not connected finds out by itself: what nobody names goes after a while.
      if (left.length === 0) this.#drops.delete(id);
      else this.#drops.set(id, left);
    }
  }

  #diskError(error: unknown): GearmeshError {
    const { fatal, diskReserveBytes } = this.#parts;
    if (isFull(error)) return diskFullError(diskReserveBytes);
    if (isBroken(error) && !this.#stopped) fatal(error);
    return new GearmeshError('SHUTTING_DOWN', { message: (error as Error).message });
  }
}

function sourceOf(opened: StoredBlob, damaged: (reason: string) => void): BlobSource {
  const { id, chunks, size, digest } = opened;
  return {
    id,
    announced: size,
    chunks,
    end: { size, digest },
    read: (number) =>
      opened.read(number).catch((error: unknown) => {
        if (isDamaged(error)) damaged((error as Error).message);
        throw error;
      }),
  };
}
