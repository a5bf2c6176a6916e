/** What is wrong with the way from one node to another. */
export interface Condition {
  /** Nothing arrives. */
  readonly cut: boolean;
  /** So many packets of a thousand are lost. */
  readonly lossPermille: number;
  readonly delayMs: number;
}

const SOUND: Condition = { cut: false, lossPermille: 0, delayMs: 0 };

/** One direction between two nodes. */
export interface Way {
  readonly from: string;
  readonly to: string;
}

/** The ways between all nodes, and what faults make of them: several may lie on one way, and the worst of each counts. */
export class Conditions {
  readonly #faults = new Map<
    object,
    { readonly ways: readonly Way[]; readonly condition: Partial<Condition> }
  >();
  readonly #listeners: (() => void)[] = [];

  /** Returns what takes it away again. */
  add(ways: readonly Way[], condition: Partial<Condition>): () => void {
    const key = {};
    this.#faults.set(key, { ways, condition });
    this.#tell();
    return () => {
      if (this.#faults.delete(key)) this.#tell();
    };
  }

  of(from: string, to: string): Condition {
    let found = SOUND;
    for (const { ways, condition } of this.#faults.values()) {
      if (!ways.some((way) => way.from === from && way.to === to)) continue;
      found = {
        cut: found.cut || condition.cut === true,
        lossPermille: Math.max(found.lossPermille, condition.lossPermille ?? 0),
        delayMs: Math.max(found.delayMs, condition.delayMs ?? 0),
      };
    }
    return found;
  }

  /** Neither direction is cut or loses packets. */
  connected(a: string, b: string): boolean {
    return [this.of(a, b), this.of(b, a)].every((one) => !one.cut && one.lossPermille === 0);
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

/** Both directions between each node of one group and each of another. */
export function between(some: readonly string[], others: readonly string[]): Way[] {
  return some.flatMap((a) =>
    others.flatMap((b) => [
      { from: a, to: b },
      { from: b, to: a },
    ]),
  );
}

/** How the ways are spoilt on this machine. */
export interface Network {
  /** For people. */
  readonly name: string;
  readonly conditions: Conditions;
  /** So much was held up so far: packets that a filter dropped, or pieces that a proxy held back. */
  held(): Promise<number>;
  /** So many pieces were delayed so far. */
  delayed(): number;
  close(): Promise<void>;
}
