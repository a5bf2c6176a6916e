import { createHash } from 'node:crypto';
import type { BlobDraft } from '../../storage/index.js';
import { isBroken } from './errors.js';
import type { BlobEnd, BlobSink } from './transfers.js';

export interface IntakeHost {
  readonly diskLow: () => boolean;
  readonly fatal: (error: Error) => void;
  sealed(id: string): void;
  /** Its stream was ended while it was sealed. */
  stopped(id: string): void;
}

/** A blob that comes from another node, on its way to this one's disk: it counts only if it is what it should be. */
export class Intake implements BlobSink {
  readonly #host: IntakeHost;
  readonly #draft: BlobDraft;
  /** What it must be; null: as the sender says at its end. */
  readonly #wanted: BlobEnd | null;
  readonly #hash = createHash('sha256');
  #whole = false;
  readonly #over: (reason: string | null) => void;

  /** `over`: called once, with null when it is durable here. */
  constructor(
    host: IntakeHost,
    draft: BlobDraft,
    wanted: BlobEnd | null,
    over: (reason: string | null) => void = () => {},
  ) {
    this.#host = host;
    this.#draft = draft;
    this.#wanted = wanted;
    this.#over = over;
  }

  async piece(bytes: Uint8Array): Promise<void> {
    if (this.#host.diskLow()) throw new Error('the disk is nearly full');
    if (this.#wanted !== null && this.#draft.size + bytes.length > this.#wanted.size) {
      throw new Error('more bytes came than it has');
    }
    this.#hash.update(bytes);
    await this.#try(this.#draft.append(bytes));
  }

  async end(end: BlobEnd): Promise<void> {
    const wanted = this.#wanted ?? end;
    const digest = this.#hash.digest();
    if (this.#draft.size !== wanted.size || Buffer.compare(digest, wanted.digest) !== 0) {
      throw new Error('its bytes are not what its digest says');
    }
    await this.#try(this.#draft.seal(digest));
    this.#whole = true;
    await this.#draft.close();
    this.#host.sealed(this.#draft.id);
    this.#over(null);
  }

  stopped(reason: string): void {
    if (this.#whole) {
      this.#host.stopped(this.#draft.id);
      return;
    }
    this.#draft
      .discard()
      .catch(() => {})
      .finally(() => this.#over(reason));
  }

  async #try(step: Promise<void>): Promise<void> {
    try {
      await step;
    } catch (error) {
      if (isBroken(error)) this.#host.fatal(error);
      throw error;
    }
  }
}
