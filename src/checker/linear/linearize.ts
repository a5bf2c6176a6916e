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
  let configurations: Configuration<S>[] = model.initial.map((state) => ({ state, effective: 0n }));

  for (const { operation, begins } of moments(operations)) {
    if (begins) {
      slots.take(operation);
      continue;
    }
    const bit = slots.bitOf(operation);
    const next = new Map<string, Configuration<S>>();
    const visited = new Set<string>();
    const open = [...configurations];
    const pending = slots.pending();
    while (open.length > 0) {
      const one = open.pop()!;
      const state = model.key(one.state);
      const name = `${one.effective}|${state}`;
      if (visited.has(name)) continue;
      visited.add(name);
      if ((one.effective & bit) !== 0n) {
        const done = { state: one.state, effective: one.effective & ~bit };
        next.set(`${done.effective}|${state}`, done);
        continue;
      }
      const tried = new Set<string>();
      for (const call of pending) {
        if ((one.effective & call.bit) !== 0n) continue;
        const { twin, end } = call.operation;
        const forever = end === Number.POSITIVE_INFINITY;
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
    if (next.size === 0) {
      const states = [...new Set(configurations.map(({ state }) => model.key(state)))];
      return { kind: 'not-linearizable', at: operation, states };
    }
    configurations = [...next.values()];
    slots.free(operation);
  }
  return { kind: 'linearizable' };
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
    if (operation.end < Number.POSITIVE_INFINITY) all.push({ operation, at: operation.end, begins: false });
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
