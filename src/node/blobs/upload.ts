import { createHash } from 'node:crypto';
import { GearmeshError } from '../../core/errors.js';
import type { BlobCount, BlobRef } from '../../core/types.js';
import { BLOB_CHUNK_BYTES, type BlobDraft } from '../../storage/index.js';
import type { BlobWriter } from '../interface.js';
import { diskFullError, isBroken, isFull, limitError, noMajority } from './errors.js';
import { Bell, type BlobsParts } from './parts.js';
import { Spread } from './spread.js';
import { type BlobEnd, type BlobSource, type BlobTransfers, WINDOW_CHUNKS } from './transfers.js';

/** Bytes that may have been given and not be written at a majority. */
const WINDOW_BYTES = 2 * WINDOW_CHUNKS * BLOB_CHUNK_BYTES;
/** An upload that waits for this long without anything being written is given up, milliseconds. */
const STALL_MS = 30_000;
/** The same where nothing is given. */
const IDLE_MS = 120_000;

export interface UploadHost {
  readonly parts: BlobsParts;
  readonly transfers: BlobTransfers;
  /** A majority has it. The spread may go on for a while; the draft is to be closed then. */
  counted(ref: BlobRef, count: BlobCount, rest: { readonly spread: Spread; readonly draft: BlobDraft }): void;
  sealedHere(id: string): void;
  /** Nobody needs it: all that was sent of it is to go. */
  drop(id: string): void;
  /** The caller gives up what was counted. */
  abandon(id: string): void;
  ended(upload: Upload): void;
}

/** A blob that a caller gives to this node. */
export class Upload implements BlobWriter {
  readonly id: string;
  readonly #host: UploadHost;
  readonly #draft: BlobDraft;
  /** As said at the beginning; -1: not known. */
  readonly #declared: number;
  readonly #spread: Spread;
  readonly #hash = createHash('sha256');
  readonly #bell = new Bell();
  /** What was written last, for those who keep up: they need not read the disk. */
  readonly #recent = new Map<number, Promise<Uint8Array>>();
  #end: BlobEnd | null = null;
  #given = 0;
  #carry: Buffer | null = null;
  #carried = 0;
  #work: Promise<void> = Promise.resolve();
  #phase: 'open' | 'finishing' | 'done' | 'over' = 'open';
  #error: GearmeshError | null = null;
  #waits = 0;
  #movedMs: number;

  constructor(host: UploadHost, draft: BlobDraft, declared: number) {
    this.#host = host;
    this.id = draft.id;
    this.#draft = draft;
    this.#declared = declared;
    const end = (): BlobEnd | null => this.#end;
    const source: BlobSource = {
      id: draft.id,
      announced: Math.max(0, declared),
      get chunks() {
        return draft.chunks;
      },
      get end() {
        return end();
      },
      read: (number) => this.#recent.get(number) ?? draft.read(number),
    };
    this.#spread = new Spread({ ...host.parts, transfers: host.transfers }, source, () => this.#moved());
    this.#movedMs = host.parts.clock.monotonicMs();
    this.#spread.look();
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#check('open');
    this.#movedMs = this.#host.parts.clock.monotonicMs();
    if (bytes.length === 0) return;
    this.#given += bytes.length;
    const refusal = this.#refusal();
    if (refusal !== null) this.fail(refusal);
    this.#throwIfOver();
    this.#cut(bytes);
    await this.#until(() => this.#written + WINDOW_BYTES >= this.#given);
  }

  async finish(): Promise<BlobRef> {
    this.#check('open');
    this.#phase = 'finishing';
    const { core } = this.#host.parts;
    if (this.#declared >= 0 && this.#given !== this.#declared) {
      this.fail(invalid(`${this.#given} bytes came of the ${this.#declared} that were announced`));
    }
    if (this.#carry !== null) this.#append(this.#carry.subarray(0, this.#carried));
    this.#carry = null;
    await this.#work;
    this.#throwIfOver();
    // Before anybody can have sealed it: nodes count its age from then on.
    const { wall } = core;
    const end = { size: this.#given, digest: this.#hash.digest() };
    this.#end = end;
    this.#spread.kick();
    await this.#draft.seal(end.digest).catch((error: unknown) => this.#failed(error));
    this.#throwIfOver();
    this.#host.sealedHere(this.id);
    this.#spread.sealedHere = true;
    this.#spread.look();
    let configuration = 0;
    await this.#until(() => {
      // In one step: another membership may be in force by the time that this goes on.
      ({ configuration } = core);
      return this.#spread.isCounted;
    });
    // It may have been given up between the count and here.
    this.#throwIfOver();
    this.#phase = 'done';
    const ref: BlobRef = { id: this.id, ...end };
    this.#host.ended(this);
    this.#host.counted(ref, { configuration, wall }, { spread: this.#spread, draft: this.#draft });
    return ref;
  }

  abort(): void {
    if (this.#phase === 'done') this.#host.abandon(this.id);
    else this.fail(new GearmeshError('CANCELLED', { message: 'the payload or result was given up' }));
  }

  /** Ends it before it is counted; repeated it does nothing. */
  fail(error: GearmeshError): void {
    if (this.#phase === 'done' || this.#phase === 'over') return;
    this.#phase = 'over';
    this.#error = error;
    this.#spread.close('it was given up');
    this.#host.drop(this.id);
    void this.#work
      .then(() => this.#draft.discard())
      .catch(() => {})
      .finally(() => this.#host.ended(this));
    this.#bell.ring();
  }

  /** To be called about once a second, and when peers or members changed. */
  look(): void {
    this.#spread.look();
    const { clock, diskLow, diskReserveBytes } = this.#host.parts;
    const silentMs = clock.monotonicMs() - this.#movedMs;
    if (diskLow()) this.fail(diskFullError(diskReserveBytes));
    else if (this.#waits > 0 && silentMs > STALL_MS) this.fail(noMajority());
    else if (silentMs > IDLE_MS) {
      this.fail(new GearmeshError('CANCELLED', { message: `nothing more came for ${IDLE_MS / 1_000} s` }));
    }
    // Another membership may find a majority in what there is.
    this.#bell.ring();
  }

  /** Why what was given is too much. */
  #refusal(): GearmeshError | null {
    const { settings } = this.#host.parts.core;
    if (this.#given > settings.blobBytesMax) return limitError(settings, 'blobBytesMax');
    if (this.#declared >= 0 && this.#given > this.#declared) {
      return invalid(`more than the ${this.#declared} bytes that were announced came`);
    }
    const total = this.#host.parts.core.counts().blobBytes + this.#given;
    return total > settings.blobsTotalBytesMax ? limitError(settings, 'blobsTotalBytesMax') : null;
  }

  /** Bytes that a majority, this node among them or not, and this node have written; what is carried over counts too. */
  get #written(): number {
    return Math.min(this.#draft.chunks, this.#spread.pace) * BLOB_CHUNK_BYTES + this.#carried;
  }

  #cut(bytes: Uint8Array): void {
    let at = 0;
    while (at < bytes.length) {
      const left = bytes.length - at;
      if (this.#carried === 0 && left >= BLOB_CHUNK_BYTES) {
        this.#append(bytes.subarray(at, at + BLOB_CHUNK_BYTES));
        at += BLOB_CHUNK_BYTES;
        continue;
      }
      this.#carry ??= Buffer.allocUnsafeSlow(BLOB_CHUNK_BYTES);
      const take = Math.min(left, BLOB_CHUNK_BYTES - this.#carried);
      this.#carry.set(bytes.subarray(at, at + take), this.#carried);
      this.#carried += take;
      at += take;
      if (this.#carried < BLOB_CHUNK_BYTES) continue;
      this.#append(this.#carry);
      this.#carry = null;
      this.#carried = 0;
    }
  }

  #append(chunk: Uint8Array): void {
    this.#work = this.#work
      .then(async () => {
        if (this.#error !== null) return;
        // Chunk by chunk: a large write must not hold the loop up.
        this.#hash.update(chunk);
        await this.#draft.append(chunk);
        this.#remember(this.#draft.chunks - 1, chunk);
        this.#spread.kick();
        this.#moved();
      })
      .catch((error: unknown) => this.#failed(error));
  }

  #remember(number: number, chunk: Uint8Array): void {
    this.#recent.set(number, Promise.resolve(chunk));
    this.#recent.delete(number - WINDOW_CHUNKS);
  }

  #failed(error: unknown): void {
    const { diskReserveBytes, fatal } = this.#host.parts;
    if (isFull(error)) {
      this.fail(diskFullError(diskReserveBytes));
      return;
    }
    this.fail(new GearmeshError('SHUTTING_DOWN', { message: (error as Error).message }));
    if (isBroken(error)) fatal(error);
  }

  #moved(): void {
    this.#movedMs = this.#host.parts.clock.monotonicMs();
    this.#bell.ring();
  }

  async #until(condition: () => boolean): Promise<void> {
    this.#waits += 1;
    while (this.#error === null && !condition()) await this.#bell.heard();
    this.#waits -= 1;
    this.#throwIfOver();
  }

  #throwIfOver(): void {
    if (this.#error !== null) throw this.#error;
  }

  #check(phase: 'open'): void {
    this.#throwIfOver();
    if (this.#phase === phase) return;
    throw new GearmeshError('WRONG_STATE', { message: 'the payload or result was finished already' });
  }
}

function invalid(message: string): GearmeshError {
  return new GearmeshError('INVALID_FIELD', {
    message,
    violations: [{ field: 'size', description: message }],
  });
}
