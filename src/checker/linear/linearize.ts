/**
 * A linearizability checker: Wing and Gong's search in the form of Lowe's "just in time" algorithm. The history of one
 * object is walked through in the order of time with the set of all configurations that it allows, each a state of the
 * object and the calls under way that have taken effect in it. When a call returns, the configurations are carried on
 * until it has taken effect in each; where none is left, no order of the calls explains what they saw.
 */

/** A call on the object; its effect lies between the two times. */
export interface Operation {
  readonly begin: number;
  /** Infinity: no answer came. It may take effect at any later time, or never. */
  readonly end: number;
  /** Of unanswered calls with the same text one is as good as another. */
  readonly twin?: string;
}

/** What the object is and does. */
export interface Model<S, O> {
  readonly initial: readonly S[];
  /** The same text for the same state. */
  key(state: S): string;
  /** The states in which the object may be after the call, which saw what it saw; none: it cannot have been so. */
  step(state: S, operation: O): readonly S[];
}

export type Verdict<O> =
  | { readonly kind: 'linearizable' }
  /** `at`: the first call whose answer nothing explains. */
  | { readonly kind: 'not-linearizable'; readonly at: O; readonly states: readonly string[] }
  /** The search was given up after so many steps as it was allowed. */
  | { readonly kind: 'undecided' };

interface Configuration<S> {
  readonly state: S;
  /** Bits of the slots whose calls have taken effect. */
  readonly effective: bigint;
}

/** Judges one object. `maxSteps`: how often the model may be asked. */
export function linearize<S, O extends Operation>(
  model: Model<S, O>,
  operations: readonly O[],
  maxSteps: number,
): Verdict<O> {
  const slots = new Slots<O>();
  let steps = 0;
  let configurations: readonly Configuration<S>[] = model.initial.map((state) => ({ state, effective: 0n }));

  for (const { operation, begins } of moments(operations)) {
    if (begins) {
      slots.take(operation);
      continue;
    }
    const bit = slots.bitOf(operation);
    const pending = slots.pending();
    const optional = pending.reduce((bits, one) => (answered(one.operation) ? bits : bits | one.bit), 0n);
    const next = new Frontier<S>(optional);
    const visited = new Frontier<S>(optional);
    const open = [...configurations];
    // Those with the fewest calls first: they leave out what can be left out.
    for (let i = 0; i < open.length; i++) {
      const one = open[i]!;
      const state = model.key(one.state);
      if (!visited.admit(one, state)) continue;
      if ((one.effective & bit) !== 0n) {
        next.admit({ state: one.state, effective: one.effective & ~bit }, state);
        continue;
      }
      const tried = new Set<string>();
      for (const call of pending) {
        if ((one.effective & call.bit) !== 0n) continue;
        const { twin } = call.operation;
        const forever = !answered(call.operation);
        if (forever && twin !== undefined) {
          if (tried.has(twin)) continue;
          tried.add(twin);
        }
        if (++steps > maxSteps) return { kind: 'undecided' };
        for (const after of model.step(one.state, call.operation)) {
          // A call that need not take effect and changes nothing may as well wait.
          if (forever && model.key(after) === state) continue;
          open.push({ state: after, effective: one.effective | call.bit });
        }
      }
    }
    if (next.admitted.length === 0) {
      const states = [...new Set(configurations.map(({ state }) => model.key(state)))];
      return { kind: 'not-linearizable', at: operation, states };
    }
    configurations = next.admitted;
    slots.free(operation);
  }
  return { kind: 'linearizable' };
}

function answered(operation: Operation): boolean {
  return operation.end < Number.POSITIVE_INFINITY;
}

/**
 * Configurations without those that another one makes needless: in the same state, after the same answered calls, and
 * with no unanswered call used up that the other has not used up too. Whatever can follow the one can follow the other.
 */
class Frontier<S> {
  readonly admitted: Configuration<S>[] = [];
  readonly #optional: bigint;
  readonly #used = new Map<string, bigint[]>();

  /** `optional`: bits of the calls that need not take effect. */
  constructor(optional: bigint) {
    this.#optional = optional;
  }

  /** False: it is needless. */
  admit(one: Configuration<S>, state: string): boolean {
    const name = `${one.effective & ~this.#optional}|${state}`;
    const used = one.effective & this.#optional;
    const before = this.#used.get(name);
    if (before === undefined) this.#used.set(name, [used]);
    else if (before.some((bits) => (bits & used) === bits)) return false;
    else before.push(used);
    this.admitted.push(one);
    return true;
  }
}

interface Moment<O> {
  readonly operation: O;
  readonly at: number;
  readonly begins: boolean;
}

/** Begins and ends in the order of time. At one time begins come first: such calls may have overlapped. */
function moments<O extends Operation>(operations: readonly O[]): Moment<O>[] {
  const all: Moment<O>[] = [];
  for (const operation of operations) {
    all.push({ operation, at: operation.begin, begins: true });
    if (answered(operation)) all.push({ operation, at: operation.end, begins: false });
  }
  return all.sort((a, b) => {
    if (a.at !== b.at) return a.at < b.at ? -1 : 1;
    return Number(b.begins) - Number(a.begins);
  });
}

/** Calls under way, each with a bit of its own; bits of calls that have returned are used again. */
class Slots<O> {
  readonly #used: (O | null)[] = [];
  readonly #at = new Map<O, number>();

  take(operation: O): void {
    const free = this.#used.indexOf(null);
    const slot = free < 0 ? this.#used.length : free;
    this.#used[slot] = operation;
    this.#at.set(operation, slot);
  }

  bitOf(operation: O): bigint {
    return 1n << BigInt(this.#at.get(operation)!);
  }

  free(operation: O): void {
    this.#used[this.#at.get(operation)!] = null;
    this.#at.delete(operation);
  }

  pending(): { readonly operation: O; readonly bit: bigint }[] {
    const list: { operation: O; bit: bigint }[] = [];
    this.#used.forEach((operation, slot) => {
      if (operation !== null) list.push({ operation, bit: 1n << BigInt(slot) });
    });
    return list;
  }
}
