import type { JobSpec, SubmitResult as WireResult } from '../../proto/gen/gearmesh/v1/job.js';
import { fromSubmitResult } from './convert.js';
import type { GearmeshError, Outcome } from './errors.js';
import type { SubmitResult } from './types.js';

/** Bytes that a job takes in a frame beside what its caller gave, generously. */
const OVERHEAD_BYTES = 96;

/** A submission on its way: waits in a lane, is sent (perhaps more than once), and is settled once. */
export abstract class Pending {
  spec: JobSpec;
  readonly bytes: number;
  /** By `performance.now()`. */
  readonly until: number;
  /** The SDK chose the id, and may choose another one while the first was certainly not accepted. */
  readonly ownId: boolean;
  /** How often it was sent. */
  sends = 0;
  /** An earlier sending may have been accepted. */
  inDoubt = false;
  settled = false;
  /** Told when it is settled. */
  onSettled: (() => void) | null = null;

  constructor(spec: JobSpec, until: number, ownId: boolean) {
    this.spec = spec;
    this.until = until;
    this.ownId = ownId;
    this.bytes = OVERHEAD_BYTES + spec.function.length + spec.payload.length + spec.uniqueKey.length;
  }

  succeed(result: WireResult): void {
    if (this.settled) return;
    this.settled = true;
    this.onSettled?.();
    this.resolved(fromSubmitResult(result));
  }

  fail(error: GearmeshError): void {
    if (this.settled) return;
    this.settled = true;
    this.onSettled?.();
    this.rejected(this.inDoubt ? error.inDoubt() : error);
  }

  /** What is to be said when nobody waits any longer: `inFlight` says that it is being sent just now. */
  outcome(inFlight: boolean): Outcome {
    return this.inDoubt || inFlight ? 'UNKNOWN' : 'NOT_APPLIED';
  }

  protected abstract resolved(result: SubmitResult): void;
  protected abstract rejected(error: GearmeshError): void;
}

/** A submission with a promise of its own. */
export class Single extends Pending {
  readonly #resolve: (result: SubmitResult) => void;
  readonly #reject: (error: GearmeshError) => void;

  constructor(
    spec: JobSpec,
    until: number,
    ownId: boolean,
    resolve: (result: SubmitResult) => void,
    reject: (error: GearmeshError) => void,
  ) {
    super(spec, until, ownId);
    this.#resolve = resolve;
    this.#reject = reject;
  }

  protected override resolved(result: SubmitResult): void {
    this.#resolve(result);
  }

  protected override rejected(error: GearmeshError): void {
    this.#reject(error);
  }
}

/** Many submissions behind one promise, which never rejects: refusals stand among the results. */
export class Group {
  readonly results: Promise<(SubmitResult | GearmeshError)[]>;
  readonly #slots: (SubmitResult | GearmeshError)[];
  #done!: (results: (SubmitResult | GearmeshError)[]) => void;
  #left: number;

  constructor(count: number) {
    this.#slots = new Array<SubmitResult | GearmeshError>(count);
    this.#left = count;
    this.results = new Promise((resolve) => {
      this.#done = resolve;
    });
  }

  put(index: number, result: SubmitResult | GearmeshError): void {
    this.#slots[index] = result;
    if (--this.#left === 0) this.#done(this.#slots);
  }
}

/** One of a group. */
export class Member extends Pending {
  readonly #group: Group;
  readonly #index: number;

  constructor(spec: JobSpec, until: number, ownId: boolean, group: Group, index: number) {
    super(spec, until, ownId);
    this.#group = group;
    this.#index = index;
  }

  protected override resolved(result: SubmitResult): void {
    this.#group.put(this.#index, result);
  }

  protected override rejected(error: GearmeshError): void {
    this.#group.put(this.#index, error);
  }
}

/** What goes out in one frame: `atomic` ones hold a whole all-or-nothing group and are never mixed or cut. */
export interface Batch {
  readonly jobs: Pending[];
  readonly atomic: boolean;
}
