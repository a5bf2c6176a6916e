import type {
  BlobRef,
  CommandResult,
  Disposition,
  Effects,
  JobEventKind,
  LeaseLostReason,
  Refusal,
} from '../core/types.js';
import type { Blobs } from './blobs/blobs.js';
import type { LiveData } from './live-data.js';
import type { Origin } from './origin.js';
import type { Sessions } from './sessions.js';
import type { Watching } from './watching.js';

export interface LocalEffectsParts {
  readonly origin: Origin;
  readonly sessions: Sessions;
  readonly watching: Watching;
  readonly liveData: LiveData;
  readonly blobs: Pick<Blobs, 'taken' | 'released'>;
  /** A job was assigned to this session, whichever it is: the unary calls may wait for it. */
  readonly polled: (session: number) => void;
  readonly nodeUp: (name: string, nonce: number, incarnation: number) => void;
  readonly nodeRetired: (incarnation: number) => void;
}

/** What an apply has to say, handed to the part of this node that it concerns; all else is another node's business. */
export class LocalEffects implements Effects {
  /** Log index being applied. */
  index = 0;
  readonly #parts: LocalEffectsParts;
  #own = false;

  constructor(parts: LocalEffectsParts) {
    this.#parts = parts;
  }

  batchStart(incarnation: number, seq: number): boolean {
    this.#own = this.#parts.origin.batchStart(incarnation, seq);
    return this.#own;
  }

  batchEnd(): void {
    if (!this.#own) return;
    this.#own = false;
    this.#parts.origin.batchEnd(this.index);
  }

  batchSkipped(incarnation: number, _seq: number, expected: number): void {
    this.#parts.origin.batchSkipped(incarnation, expected);
  }

  submitted(
    position: number,
    disposition: Disposition,
    seq: number,
    refusal: Refusal | null,
    limit: string,
    limitValue: number,
  ): void {
    this.#parts.origin.submitted(position, disposition, seq, refusal, limit, limitValue);
  }

  outcome(position: number, token: number, refusal: Refusal | null, revision: number): void {
    this.#parts.origin.outcome(position, token, refusal, revision);
  }

  command(position: number, result: CommandResult): void {
    this.#parts.origin.command(position, result);
  }

  assigned(session: number, epoch: number, seq: number, token: number): void {
    this.#parts.polled(session);
    this.#parts.sessions.assigned(session, epoch, seq, token, this.#own);
  }

  leaseLost(session: number, epoch: number, seq: number, token: number, reason: LeaseLostReason): void {
    this.#parts.liveData.leaseEnded(seq);
    this.#parts.sessions.leaseLost(session, epoch, token, reason);
  }

  cancelRequested(
    session: number,
    epoch: number,
    _seq: number,
    token: number,
    reason: string,
    graceMs: number,
  ): void {
    this.#parts.sessions.cancelRequested(session, epoch, token, reason, graceMs);
  }

  job(seq: number, kind: JobEventKind): void {
    if (kind === 'ended') this.#parts.liveData.jobEnded(seq);
    else if (kind === 'attempt-failed') this.#parts.liveData.leaseEnded(seq);
    this.#parts.watching.job(seq, kind);
  }

  sessionDetached(session: number, epoch: number): void {
    this.#parts.sessions.detached(session, epoch);
  }

  sessionClosed(session: number): void {
    this.#parts.sessions.closed(session);
  }

  nodeUp(name: string, nonce: number, incarnation: number): void {
    this.#parts.nodeUp(name, nonce, incarnation);
  }

  nodeRetired(incarnation: number): void {
    this.#parts.nodeRetired(incarnation);
  }

  blobTaken(ref: BlobRef): void {
    this.#parts.blobs.taken(ref);
  }

  blobReleased(id: string): void {
    this.#parts.blobs.released(id);
  }
}
