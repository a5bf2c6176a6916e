import type { Clock } from '../base/clock.js';
import { invariant } from '../base/invariant.js';
import { GearmeshError } from '../core/errors.js';
import type { BatchBuilder, Core } from '../core/interface.js';
import { limitReached } from '../core/limits.js';
import type { CommandResult, Disposition, Refusal } from '../core/types.js';
import type { Log, NodeObserver } from './options.js';

/** A batch is closed at this size: it must fit one log entry of at most 1 MiB. */
export const BATCH_BYTES = 768 * 1024;
/** Batches of this node under way at once. */
const WINDOW_BATCHES = 64;
/** A batch that was sent this long ago and is not applied is sent again: the leader drops what it already has. */
const RESEND_MS = 1_000;

/** The answers to one call, told while its batch is applied. Positions are relative to the call's first. */
export interface Answers {
  submitted?(
    position: number,
    disposition: Disposition,
    seq: number,
    refusal: Refusal | null,
    limit: string,
    limitValue: number,
  ): void;
  outcome?(position: number, token: number, refusal: Refusal | null, revision: number): void;
  command?(position: number, result: CommandResult): void;
}

/** One call's commands, waiting to be encoded into this turn's batch. */
export interface Proposal extends Answers {
  /** Upper bound of its encoded size, so that a batch is closed in time. */
  readonly bytes: number;
  encode(builder: BatchBuilder): void;
  /** All its answers were told: `revision` is the log index that was applied. */
  done(revision: number): void;
  failed(error: GearmeshError): void;
  /** True where repeating the commands in a later batch does no harm (job ids, lease tokens). */
  readonly repeatable: boolean;
  /** It is said again, and nobody knows whether it counted before. */
  again?(): void;
  /** False where nobody waits for the answer: the end of the node need not wait for it either. */
  readonly awaited?: false;
  /** Small, and nobody would say it again (a session's end, its credit): taken even where others are refused. */
  readonly owed?: boolean;
}

interface Placed {
  readonly proposal: Proposal;
  /** Position of the call's first answer in its batch. */
  readonly first: number;
  readonly end: number;
}

interface Batch {
  readonly seq: number;
  readonly bytes: Uint8Array;
  readonly calls: readonly Placed[];
  readonly answers: number;
  readonly bornMs: number;
  /** When it was handed over last, monotonic milliseconds; -1: never, so that nobody but this node has seen it. */
  sentMs: number;
}

export interface OriginParts {
  readonly core: Core;
  readonly builder: BatchBuilder;
  readonly clock: Clock;
  readonly log: Log;
  readonly observer: NodeObserver;
  readonly pendingBytesMax: number;
  /** Hands a batch to the leader, near or far. False: it could not be taken now. */
  readonly deliver: (incarnation: number, seq: number, bytes: Uint8Array) => boolean;
  /** False: nobody could take a batch now. */
  readonly leaderInReach: () => boolean;
  readonly askTurn: () => void;
}

/**
 * This node's own proposals. What one turn's calls ask for becomes one batch; batches are numbered within the node's
 * incarnation and stay here until this node has applied them, so that a lost one can be sent again: the state machine
 * applies each number once, and in order.
 */
export class Origin {
  readonly #parts: OriginParts;
  #waiting: Proposal[] = [];
  #waitingBytes = 0;
  #incarnation = 0;
  #nextSeq = 1;
  #flight: Batch[] = [];
  #flightBytes = 0;
  #unsent = 0;
  #applying: Batch | null = null;
  #applyingAt = 0;
  #closed: GearmeshError | null = null;
  /** Calls that wait to be sent again though the first time may have counted. */
  readonly #doubtful = new WeakSet<Proposal>();
  /** Calls that can count although their callers wait no longer. */
  readonly #givenUp = new WeakSet<Proposal>();

  constructor(parts: OriginParts) {
    this.#parts = parts;
  }

  get incarnation(): number {
    return this.#incarnation;
  }

  get pendingBytes(): number {
    return this.#waitingBytes + this.#flightBytes;
  }

  /** True while somebody waits for an answer. Looks at all that is under way: for the node's end, not for a call. */
  get awaited(): boolean {
    const awaits = (one: Proposal): boolean => one.awaited !== false && !this.#givenUp.has(one);
    return (
      this.#waiting.some(awaits) ||
      this.#flight.some((batch) => batch.calls.some((call) => awaits(call.proposal)))
    );
  }

  /**
   * Takes a call's commands for the next batch, or refuses at once. Returns how to take them back while that is
   * possible, for a caller that waits no longer.
   */
  propose(proposal: Proposal): () => boolean {
    if (this.#closed !== null) {
      proposal.failed(this.#closed);
      return () => false;
    }
    if (proposal.owed !== true && this.pendingBytes + proposal.bytes > this.#parts.pendingBytesMax) {
      proposal.failed(
        limitReached(
          'pendingBytesMax',
          this.#parts.pendingBytesMax,
          `this node has ${this.pendingBytes} bytes of proposals under way`,
          100,
        ),
      );
      return () => false;
    }
    this.#waiting.push(proposal);
    this.#waitingBytes += proposal.bytes;
    this.#parts.askTurn();
    return () => {
      this.#takeApart();
      const at = this.#waiting.indexOf(proposal);
      if (at < 0 || this.#doubtful.has(proposal)) {
        this.#givenUp.add(proposal);
        return false;
      }
      this.#waiting.splice(at, 1);
      this.#waitingBytes -= proposal.bytes;
      return true;
    };
  }

  /**
   * Encodes what waits and sends it. Without an incarnation or a leader everything waits as it is, so that its callers
   * can be told that it did not happen.
   */
  flush(): void {
    if (this.#incarnation === 0) return;
    this.#send();
    while (
      this.#waiting.length > 0 &&
      this.#unsent === this.#flight.length &&
      this.#flight.length < WINDOW_BATCHES &&
      this.#parts.leaderInReach()
    ) {
      this.#encode();
      this.#send();
    }
  }

  /** Sends everything again from `seq` on: the leader changed, its connection came back, or it reported a gap. */
  resendFrom(seq: number): void {
    let at = this.#flight.findIndex((batch) => batch.seq >= seq);
    if (at < 0) at = this.#flight.length;
    this.#unsent = Math.min(this.#unsent, at);
    this.#parts.askTurn();
  }

  /** To be called a few times per second: a batch may have been lost without anybody noticing. */
  check(): void {
    const oldest = this.#flight[0];
    if (oldest === undefined || this.#unsent === 0) {
      if (oldest !== undefined) this.#parts.askTurn();
      return;
    }
    if (this.#parts.clock.monotonicMs() - oldest.sentMs > RESEND_MS) this.resendFrom(oldest.seq);
  }

  /** This node has a new number: batches count from 1. */
  begin(incarnation: number): void {
    invariant(this.#flight.length === 0, 'no batch of an earlier incarnation is left', { incarnation });
    this.#incarnation = incarnation;
    this.#nextSeq = 1;
    this.#unsent = 0;
    this.#parts.askTurn();
  }

  /**
   * The incarnation is over (declared down, or log was skipped). None of the batches under way will ever be applied
   * under its number, or nobody saw it: calls that may be repeated wait for the next incarnation, others are unknown.
   */
  retire(applied: 'none' | 'unknown'): void {
    this.#takeApart();
    const flight = this.#flight;
    this.#incarnation = 0;
    this.#flight = [];
    this.#flightBytes = 0;
    this.#unsent = 0;
    const again: Proposal[] = [];
    for (const batch of flight) {
      for (const { proposal } of batch.calls) {
        if (applied === 'none' || proposal.repeatable) {
          again.push(proposal);
          if (applied === 'unknown') {
            this.#doubtful.add(proposal);
            proposal.again?.();
          }
        } else proposal.failed(new GearmeshError('OUTCOME_UNKNOWN', { outcome: 'UNKNOWN' }));
      }
    }
    for (const proposal of again) this.#waitingBytes += proposal.bytes;
    this.#waiting = again.concat(this.#waiting);
  }

  /** The node stops: what was never sent did not happen, of the rest nobody knows. */
  close(): void {
    this.#takeApart();
    this.#closed = new GearmeshError('SHUTTING_DOWN');
    const unknown = new GearmeshError('OUTCOME_UNKNOWN', { outcome: 'UNKNOWN' });
    for (const proposal of this.#waiting) {
      proposal.failed(this.#doubtful.has(proposal) ? unknown : this.#closed);
    }
    this.#waiting = [];
    this.#waitingBytes = 0;
    for (const batch of this.#flight) for (const { proposal } of batch.calls) proposal.failed(unknown);
    this.#flight = [];
    this.#flightBytes = 0;
  }

  // What follows is called while entries are applied.

  batchStart(incarnation: number, seq: number): boolean {
    if (incarnation !== this.#incarnation || incarnation === 0) return false;
    const batch = this.#flight[0];
    invariant(batch !== undefined && batch.seq === seq, 'own batches are applied in order', {
      seq,
      oldest: batch?.seq ?? 0,
    });
    this.#applying = batch;
    this.#applyingAt = 0;
    return true;
  }

  batchEnd(revision: number): void {
    const batch = this.#applying;
    invariant(batch !== null, 'a batch ends that began');
    this.#applying = null;
    this.#flight.shift();
    this.#flightBytes -= batch.bytes.length;
    if (this.#unsent > 0) this.#unsent -= 1;
    this.#parts.observer.proposed(this.#parts.clock.monotonicMs() - batch.bornMs, batch.answers);
    for (const { proposal } of batch.calls) proposal.done(revision);
    if (this.#waiting.length > 0) this.#parts.askTurn();
  }

  batchSkipped(incarnation: number, expected: number): void {
    if (incarnation === this.#incarnation && incarnation !== 0 && expected > 0) this.resendFrom(expected);
  }

  submitted(
    position: number,
    disposition: Disposition,
    seq: number,
    refusal: Refusal | null,
    limit: string,
    limitValue: number,
  ): void {
    const call = this.#callAt(position);
    call.proposal.submitted?.(position - call.first, disposition, seq, refusal, limit, limitValue);
  }

  outcome(position: number, token: number, refusal: Refusal | null, revision: number): void {
    const call = this.#callAt(position);
    call.proposal.outcome?.(position - call.first, token, refusal, revision);
  }

  command(position: number, result: CommandResult): void {
    const call = this.#callAt(position);
    call.proposal.command?.(position - call.first, result);
  }

  /** Positions come in ascending order, so the search goes on where it stood. */
  #callAt(position: number): Placed {
    const calls = this.#applying!.calls;
    while (position >= calls[this.#applyingAt]!.end) this.#applyingAt += 1;
    return calls[this.#applyingAt]!;
  }

  /** Makes one batch of what waits, as far as it fits. */
  #encode(): void {
    const { builder, log } = this.#parts;
    const unsaid: Proposal[] = [];
    const calls: Placed[] = [];
    let taken = 0;
    while (taken < this.#waiting.length) {
      const proposal = this.#waiting[taken]!;
      // One that is larger alone goes alone.
      if (calls.length > 0 && builder.length + proposal.bytes > BATCH_BYTES) break;
      const first = builder.positions;
      this.#waitingBytes -= proposal.bytes;
      taken += 1;
      builder.mark();
      try {
        proposal.encode(builder);
      } catch (error) {
        builder.rewind();
        log.error({ err: error }, 'a defect: a call could not be encoded, and fails alone');
        unsaid.push(proposal);
        continue;
      }
      calls.push({ proposal, first, end: builder.positions });
    }
    this.#waiting = taken === this.#waiting.length ? [] : this.#waiting.slice(taken);
    if (builder.commands === 0) {
      // Nothing was left to say, and a batch of nothing is none.
      for (const { proposal } of calls) proposal.done(this.#parts.core.appliedIndex);
    } else {
      const answers = builder.positions;
      const seq = this.#nextSeq++;
      const bytes = builder.finish(this.#incarnation, seq);
      this.#flight.push({ seq, bytes, calls, answers, bornMs: this.#parts.clock.monotonicMs(), sentMs: -1 });
      this.#flightBytes += bytes.length;
    }
    for (const proposal of unsaid) proposal.failed(this.#unsaid(proposal));
  }

  /** The calls of a batch that was never handed over wait again: they can be taken back, and its number is free. */
  #takeApart(): void {
    for (let last = this.#flight.at(-1); last?.sentMs === -1; last = this.#flight.at(-1)) {
      this.#flight.pop();
      this.#flightBytes -= last.bytes.length;
      this.#nextSeq = last.seq;
      for (const { proposal } of last.calls) this.#waitingBytes += proposal.bytes;
      this.#waiting = last.calls.map((call) => call.proposal).concat(this.#waiting);
    }
  }

  /** Of what could not be encoded: it was never sent, unless an earlier incarnation did. */
  #unsaid(proposal: Proposal): GearmeshError {
    const outcome = this.#doubtful.has(proposal) ? 'UNKNOWN' : 'NOT_APPLIED';
    return new GearmeshError('INTERNAL', { message: 'the call could not be encoded', outcome });
  }

  #send(): void {
    while (this.#unsent < this.#flight.length) {
      const batch = this.#flight[this.#unsent]!;
      if (!this.#parts.deliver(this.#incarnation, batch.seq, batch.bytes)) return;
      batch.sentMs = this.#parts.clock.monotonicMs();
      this.#unsent += 1;
    }
  }
}

/** A small command that nobody waits for, and that whoever gave it gives again if it is still needed. */
export function order(origin: Origin, encode: Parameters<Origin['propose']>[0]['encode']): void {
  origin.propose({
    bytes: 32,
    repeatable: false,
    awaited: false,
    encode,
    done: () => {},
    failed: () => {},
  });
}
