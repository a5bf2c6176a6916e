import type { Fate, HistoryEvent } from '../../../src/checker/index.js';
import { Dice } from './dice.js';

/** What is to come, in one list in the order of time, and what was noted of it. */
export class Timeline {
  readonly dice: Dice;
  readonly #toCome: {
    readonly at: number;
    readonly order: number;
    readonly act: () => void;
    readonly counts: boolean;
  }[] = [];
  readonly #events: { readonly at: number; readonly order: number; readonly event: HistoryEvent }[] = [];
  now = 0;
  /** What is to come and has to be waited for. */
  #ahead = 0;
  #order = 0;
  #names = 0;

  constructor(seed: number) {
    this.dice = new Dice(seed);
  }

  /** Until nothing is to come that has to be waited for. `each`: after each step. */
  run(each: () => void): void {
    while (this.#ahead > 0) {
      const next = this.#toCome.pop()!;
      this.now = next.at;
      if (next.counts) this.#ahead--;
      next.act();
      each();
    }
  }

  /** What was noted, in the order in which those who look note it. */
  events(): HistoryEvent[] {
    return this.#events.sort((a, b) => a.at - b.at || a.order - b.order).map(({ event }) => event);
  }

  /** A number that was not given before. */
  name(): number {
    return ++this.#names;
  }

  /** `counts` false: nobody waits for it. */
  at(at: number, act: () => void, counts = true): void {
    const entry = { at: Math.max(at, this.now), order: ++this.#order, act, counts };
    if (counts) this.#ahead++;
    // Latest first.
    let i = this.#toCome.length;
    while (i > 0 && this.#toCome[i - 1]!.at <= entry.at) i--;
    this.#toCome.splice(i, 0, entry);
  }

  after(delay: number, act: () => void): void {
    this.at(this.now + delay, act);
  }

  note(event: HistoryEvent): void {
    const at = 'at' in event ? event.at : (event.end ?? event.begin + 5_000);
    this.#events.push({ at, order: ++this.#order, event });
  }

  /**
   * A call from now on: `act` is what it does at some moment, and returns its fate and answer; `note` notes it. Lost
   * ones are carried out or not, now or much later.
   */
  call<T>(
    act: () => { fate: Fate; answer: T },
    note: (begin: number, end: number | null, said: { fate: Fate; answer: T } | null) => void,
    notBefore = 0,
  ): void {
    const dice = this.dice;
    const begin = this.now;
    if (dice.chance(40)) {
      note(begin, null, null);
      return;
    }
    const lost = dice.chance(120);
    const travel = lost && dice.chance(200) ? dice.below(2_000) : dice.below(30);
    this.at(Math.max(begin + travel, notBefore), () => {
      const said = act();
      note(begin, lost ? null : this.now + dice.below(30), lost ? null : said);
    });
  }
}
