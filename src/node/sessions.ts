import type { Clock } from '../base/clock.js';
import { GearmeshError } from '../core/errors.js';
import type { Core } from '../core/interface.js';
import type { FunctionSpec, LeaseLostReason, Outcome } from '../core/types.js';
import { leaseError, refusalError } from './answers.js';
import { type Naming, withBlobs } from './blobs/naming.js';
import type { Assignment, OutcomeBySession, OutcomeResult, SessionPort, WorkerSession } from './interface.js';
import type { LiveData } from './live-data.js';
import type { NodeObserver } from './options.js';
import type { Origin } from './origin.js';
import { inParts, outcomeBytes, resultBlob } from './outcome-parts.js';
import { Starts } from './starts.js';

/** Leases that run longer than this are acknowledged in the log; shorter ones are over before. */
const ACK_AFTER_MS = 1_000;
/** Progress of one job reaches the log at most this often; watchers get all of it directly. */
const CHECKPOINT_MS = 1_000;

export interface SessionsParts {
  readonly core: Core;
  readonly clock: Clock;
  readonly origin: Origin;
  readonly liveData: LiveData;
  readonly observer: NodeObserver;
  readonly naming: Naming;
}

interface Unsettled {
  readonly tokens: number[];
  readonly since: number;
}

/** Whether this outcome, which was accepted, was the job's last: a failed attempt may be followed by another. */
export function hasEnded(core: Core, outcome: Outcome): boolean {
  if (outcome.kind === 'complete') return true;
  const state = core.stateOf(outcome.seq);
  return state === null || state === 'failed' || state === 'cancelled';
}

/** One worker's session on this node: what its connection says becomes commands, what was applied becomes frames. */
class LocalSession implements WorkerSession {
  readonly id: number;
  readonly epoch: number;
  readonly secret: Uint8Array;
  readonly graceMs: number;
  readonly lostTokens: readonly number[];
  readonly namespace: string;
  readonly port: SessionPort;
  readonly #parts: SessionsParts;
  /** Reserved jobs that begin, by token; null where jobs are not reserved. */
  readonly #starts: Starts | null;
  readonly #gone: (session: LocalSession) => void;
  #open = true;
  /** It was asked to go elsewhere, or will be in a moment. */
  askedToGo = false;
  /** Assigned in the turn that is being applied: token and job by turns. */
  readonly fresh: { readonly seq: number; readonly token: number }[] = [];
  #ackedUpTo = 0;
  /** Leases by the time of their assignment, oldest first, until they ended or were acknowledged in the log. */
  #unsettled: Unsettled[] = [];
  readonly #checkpoints = new Map<number, number>();
  /** Submission time of what was assigned here, by token: for the time from submission to the end. */
  readonly #created = new Map<number, number>();

  constructor(
    parts: SessionsParts,
    o: {
      id: number;
      epoch: number;
      secret: Uint8Array;
      namespace: string;
      port: SessionPort;
      lostTokens: readonly number[];
      heldTokens: readonly number[];
    },
    starts: Starts,
    gone: (session: LocalSession) => void,
  ) {
    this.#parts = parts;
    this.#starts = parts.core.session(o.id)?.reserves === true ? starts : null;
    this.id = o.id;
    this.epoch = o.epoch;
    this.secret = o.secret;
    this.graceMs = parts.core.settings.sessionGraceMs;
    this.namespace = o.namespace;
    this.port = o.port;
    this.lostTokens = o.lostTokens;
    this.#gone = gone;
    if (o.heldTokens.length > 0) {
      this.#ackedUpTo = Math.max(...o.heldTokens);
      this.#unsettled.push({ tokens: [...o.heldTokens], since: parts.clock.monotonicMs() });
    }
  }

  settle(outcomes: readonly OutcomeBySession[], credit: number, begins = false): Promise<OutcomeResult[]> {
    if (outcomes.every((one) => resultBlob(one) === null)) return this.#settleAll(outcomes, credit, begins);
    let left = credit;
    return withBlobs<OutcomeResult>(this.#parts.naming, {
      refs: outcomes.map(resultBlob),
      field: 'result_blob',
      propose: (positions) => {
        // Once: what is said again for its blob brings no credit.
        const once = left;
        left = 0;
        return this.#settleAll(
          positions.map((position) => outcomes[position]!),
          once,
          begins,
        );
      },
      refused: (position, error) => ({ token: outcomes[position]!.token, revision: 0, error }),
    });
  }

  #settleAll(
    outcomes: readonly OutcomeBySession[],
    credit: number,
    begins: boolean,
  ): Promise<OutcomeResult[]> {
    if (outcomes.length <= 1) return this.#settlePart(outcomes, credit, begins);
    const parts = inParts(outcomes);
    // The credit of a frame counts after its outcomes.
    const last = parts.length - 1;
    const results = parts.map((part, i) => this.#settlePart(part, i === last ? credit : 0, begins));
    return Promise.all(results).then((all) => all.flat());
  }

  #settlePart(
    outcomes: readonly OutcomeBySession[],
    credit: number,
    begins: boolean,
  ): Promise<OutcomeResult[]> {
    const { core, origin } = this.#parts;
    return new Promise((resolve, reject) => {
      if (!this.#open) {
        reject(goesOn('the session is no longer attached here'));
        return;
      }
      const placed: Outcome[] = [];
      let bytes = 64;
      for (const outcome of outcomes) {
        this.#starts?.remove(outcome.token);
        const seq = core.seqToSettle(this.namespace, outcome.jobId, outcome.token);
        placed.push({ ...outcome, seq });
        bytes += outcomeBytes(outcome);
      }
      const results = new Array<OutcomeResult>(outcomes.length);
      origin.propose({
        bytes,
        repeatable: false,
        encode: (builder) => {
          builder.outcomes(this.id, this.epoch, credit, placed, begins);
        },
        outcome: (position, token, refusal, revision) => {
          const error = refusal === null ? null : leaseError(refusal, placed[position]!, core.settings);
          results[position] = { token, revision, error };
        },
        done: () => {
          // Only now do the jobs have the states that the outcomes gave them.
          for (let i = 0; i < results.length; i++) {
            const { token, error } = results[i]!;
            this.#settled(token, error === null && hasEnded(core, placed[i]!));
          }
          resolve(results);
        },
        failed: reject,
      });
    });
  }

  credit(total: number): void {
    this.#say(48, (builder) => builder.credit(this.id, this.epoch, total));
  }

  ack(tokens: readonly number[]): void {
    for (const token of tokens) if (token > this.#ackedUpTo) this.#ackedUpTo = token;
  }

  start(token: number): void {
    const { core, observer } = this.#parts;
    this.#starts?.add(token);
    if (this.#created.has(token)) observer.started(core.waitedUs(token));
  }

  progress(token: number, numerator: number, denominator: number, message: string): void {
    const seq = this.#parts.core.seqOfToken(token);
    if (seq === 0) return;
    this.#parts.liveData.progress(seq, token, numerator, denominator, message);
    const now = this.#parts.clock.monotonicMs();
    const last = this.#checkpoints.get(token);
    if (last !== undefined && now - last < CHECKPOINT_MS) return;
    this.#checkpoints.set(token, now);
    this.#say(
      64 + message.length * 3,
      (builder) => builder.progress(this.id, this.epoch, token, numerator, denominator, message),
      false,
    );
  }

  data(token: number, first: number, chunks: readonly Uint8Array[]): void {
    const seq = this.#parts.core.seqOfToken(token);
    if (seq !== 0) this.#parts.liveData.data(seq, token, first, chunks);
  }

  changeFunctions(functions: readonly FunctionSpec[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#parts.origin.propose({
        bytes: 64 + functions.length * 300,
        repeatable: true,
        encode: (builder) => {
          builder.sessionFunctions(this.id, this.epoch, functions);
        },
        command: (_, result) => {
          if (result.refusal !== null) reject(refusalError(result.refusal, result.limit, result.limitValue));
        },
        done: () => resolve(),
        failed: reject,
      });
    });
  }

  detach(): void {
    if (!this.#open) return;
    this.#end();
    // A worker that is lost with what it has just begun is a lost worker, however soon: that attempt counts.
    this.#starts?.say(this.#parts.core.heldTokens(this.id));
    this.#say(48, (builder) => builder.sessionDetach(this.id, this.epoch));
  }

  close(): Promise<void> {
    if (!this.#open) return Promise.resolve();
    this.#end();
    return new Promise((resolve, reject) => {
      this.#parts.origin.propose({
        bytes: 48,
        repeatable: true,
        owed: true,
        encode: (builder) => builder.sessionClose(this.id, this.epoch),
        done: () => resolve(),
        failed: reject,
      });
    });
  }

  lost(token: number, reason: LeaseLostReason): void {
    this.#created.delete(token);
    this.port.leasesLost([{ token, reason }]);
  }

  /** The core ended it (elsewhere attached, closed, expired): the connection learns why. */
  ended(error: GearmeshError | null): void {
    if (!this.#open) return;
    this.#end();
    this.port.closed(error);
  }

  /** Frames for what was assigned in this turn. Leases that ended in the same turn are left out. */
  deliver(): void {
    const { core, observer } = this.#parts;
    const jobs: Assignment[] = [];
    const tokens: number[] = [];
    for (const { seq, token } of this.fresh) {
      const job = core.assignedJob(seq);
      if (job === null || job.token !== token) continue;
      const begun = job.state === 'running';
      jobs.push({ token, attempt: job.attempt, deadlineWall: begun ? deadlineOf(job) : 0, job });
      this.#created.set(token, job.createdUs);
      if (!begun) continue;
      // What is reserved is acknowledged by its start.
      tokens.push(token);
      observer.started(core.waitedUs(token));
    }
    this.fresh.length = 0;
    if (jobs.length === 0) return;
    if (tokens.length > 0) this.#unsettled.push({ tokens, since: this.#parts.clock.monotonicMs() });
    this.port.assigned(jobs);
  }

  /** To be called about once a second: acknowledges in the log what the worker has had for a while. */
  acknowledge(): void {
    const { core, clock } = this.#parts;
    const before = clock.monotonicMs() - ACK_AFTER_MS;
    const held: number[] = [];
    const left: number[] = [];
    while (this.#unsettled.length > 0 && this.#unsettled[0]!.since <= before) {
      for (const token of this.#unsettled.shift()!.tokens) {
        if (core.seqOfToken(token) === 0) continue;
        (token <= this.#ackedUpTo ? held : left).push(token);
      }
    }
    if (left.length > 0) this.#unsettled.unshift({ tokens: left, since: before });
    if (held.length > 0)
      this.#say(48 + held.length * 8, (builder) => builder.acks(this.id, this.epoch, held));
    for (const token of this.#checkpoints.keys()) {
      if (core.seqOfToken(token) === 0) this.#checkpoints.delete(token);
    }
  }

  #settled(token: number, ended: boolean): void {
    const created = this.#created.get(token);
    if (created === undefined) return;
    this.#created.delete(token);
    const { core, observer } = this.#parts;
    if (ended) observer.ended(Math.max(0, core.elapsedUs - created));
  }

  #end(): void {
    this.#open = false;
    this.#gone(this);
  }

  /** A command that owes no answer; when it is lost with its node, NodeDown settles the rest. */
  #say(
    bytes: number,
    encode: (builder: Parameters<Parameters<Origin['propose']>[0]['encode']>[0]) => void,
    owed = true,
  ): void {
    this.#parts.origin.propose({
      bytes,
      repeatable: false,
      awaited: false,
      owed,
      encode,
      done: nothing,
      failed: nothing,
    });
  }
}

/** The sessions whose workers are connected to this node. */
export class Sessions {
  readonly #parts: SessionsParts;
  readonly #local = new Map<number, LocalSession>();
  readonly #touched = new Set<LocalSession>();
  /** Assigned in the same apply in which the session was opened or attached: its object does not exist yet. */
  #early: { session: number; epoch: number; seq: number; token: number }[] = [];
  readonly #starts: Starts;

  constructor(parts: SessionsParts) {
    this.#parts = parts;
    this.#starts = new Starts(parts.clock, parts.origin);
  }

  get size(): number {
    return this.#local.size;
  }

  /** True while a worker connected here holds a job. */
  get holding(): boolean {
    for (const id of this.#local.keys()) if ((this.#parts.core.session(id)?.held ?? 0) > 0) return true;
    return false;
  }

  /** Jobs that the workers connected here would still take. Looks at every session: for a scrape, not for a call. */
  get credits(): number {
    let credits = 0;
    for (const id of this.#local.keys()) credits += this.#parts.core.session(id)?.credit ?? 0;
    return credits;
  }

  /** Called while the command that opened or attached it is applied. */
  add(o: {
    id: number;
    epoch: number;
    secret: Uint8Array;
    namespace: string;
    port: SessionPort;
    lostTokens: readonly number[];
    heldTokens: readonly number[];
  }): WorkerSession {
    this.#local
      .get(o.id)
      ?.ended(new GearmeshError('SESSION_UNKNOWN', { message: 'the worker attached anew' }));
    const session = new LocalSession(this.#parts, o, this.#starts, (gone) => {
      if (this.#local.get(gone.id) === gone) this.#local.delete(gone.id);
      this.#touched.delete(gone);
    });
    this.#local.set(o.id, session);
    return session;
  }

  assigned(session: number, epoch: number, seq: number, token: number, mine: boolean): void {
    const local = this.#local.get(session);
    if (local === undefined) {
      if (mine) this.#early.push({ session, epoch, seq, token });
      return;
    }
    if (local.epoch !== epoch) return;
    local.fresh.push({ seq, token });
    this.#touched.add(local);
  }

  leaseLost(session: number, epoch: number, token: number, reason: LeaseLostReason): void {
    const local = this.#local.get(session);
    if (local !== undefined && local.epoch === epoch) local.lost(token, reason);
  }

  cancelRequested(session: number, epoch: number, token: number, reason: string, graceMs: number): void {
    const local = this.#local.get(session);
    if (local !== undefined && local.epoch === epoch) local.port.cancelRequested(token, reason, graceMs);
  }

  detached(session: number, epoch: number): void {
    const local = this.#local.get(session);
    if (local !== undefined && local.epoch === epoch) {
      local.ended(goesOn('the session was detached'));
    }
  }

  closed(session: number): void {
    this.#local.get(session)?.ended(new GearmeshError('SESSION_UNKNOWN', { message: 'the session is over' }));
  }

  /** After a run of applies. */
  deliver(): void {
    if (this.#early.length > 0) {
      const early = this.#early;
      this.#early = [];
      for (const one of early) this.assigned(one.session, one.epoch, one.seq, one.token, false);
    }
    for (const session of this.#touched) session.deliver();
    this.#touched.clear();
  }

  acknowledge(): void {
    for (const session of this.#local.values()) session.acknowledge();
  }

  drain(reason: string): void {
    for (const session of this.#local.values()) session.port.drain(reason);
  }

  redirect(endpoints: readonly string[], reason: string): void {
    for (const session of this.#local.values()) session.port.redirect(endpoints, reason);
  }

  /** Asks up to `count` of those to go elsewhere that were not asked yet, each after a delay, if it is still wanted then. */
  redirectSome(
    endpoints: readonly string[],
    reason: string,
    pace: { readonly count: number; readonly delayMs: () => number; readonly stillWanted: () => boolean },
  ): void {
    let left = pace.count;
    for (const session of this.#local.values()) {
      if (left === 0) return;
      if (session.askedToGo) continue;
      session.askedToGo = true;
      left -= 1;
      this.#parts.clock.setTimer(pace.delayMs(), () => {
        if (this.#local.get(session.id) !== session || !pace.stillWanted()) return;
        session.port.redirect(endpoints, reason);
      });
    }
  }

  /** Those who are still here may be asked anew another time. */
  stay(): void {
    for (const session of this.#local.values()) session.askedToGo = false;
  }

  /** Every connection is told that its session is not here any more (the node was declared down, or stops). */
  endAll(error: GearmeshError): void {
    this.#starts.void();
    for (const session of [...this.#local.values()]) session.ended(error);
  }
}

function nothing(): void {}

/** Why a connection ends whose session does not: its worker keeps its jobs, and resumes. */
export function goesOn(why: string): GearmeshError {
  return new GearmeshError('NO_LEADER', { message: `${why}: resume it at any node` });
}

export function deadlineOf(job: { runTimeoutMs: number; startedWall: number }): number {
  return job.runTimeoutMs > 0 ? job.startedWall + job.runTimeoutMs : 0;
}
