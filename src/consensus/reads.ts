interface Round {
  readonly id: string;
  readonly contexts: readonly string[];
  /** Of whom it was last asked, and how many ticks ago. */
  leader: string;
  term: number;
  ticks: number;
}

export interface ReadAnswer {
  readonly context: string;
  readonly index: number;
}

/**
 * Linearizable reads (Raft dissertation, section 6.4). One question to the leader is outstanding; whoever asks
 * meanwhile waits for the next, because an answer is good only for those who asked before the question left.
 * A question that got lost, with a message or with a leader, is asked again.
 */
export class Reads {
  readonly #nonce: string;
  readonly #retryTicks: number;
  #waiting: string[] = [];
  #round: Round | null = null;
  #answers: ReadAnswer[] = [];
  #asked = 0;

  /** `nonce` tells this start of this node from all others, so that a late answer to an earlier life is not taken. */
  constructor(nonce: string, retryTicks: number) {
    this.#nonce = nonce;
    this.#retryTicks = retryTicks;
  }

  add(context: string): void {
    this.#waiting.push(context);
  }

  tick(): void {
    if (this.#round !== null) this.#round.ticks++;
  }

  get answered(): boolean {
    return this.#answers.length > 0;
  }

  /** What to ask `leader` now, or null. A leader asks itself, once: it repeats the question with each heartbeat. */
  question(leader: string, term: number, self: boolean): string | null {
    const round = this.#round;
    if (round === null) {
      if (this.#waiting.length === 0) return null;
      this.#round = {
        id: `${this.#nonce}:${++this.#asked}`,
        contexts: this.#waiting,
        leader,
        term,
        ticks: 0,
      };
      this.#waiting = [];
      return this.#round.id;
    }
    const same = round.leader === leader && round.term === term;
    if (same && (self || round.ticks < this.#retryTicks)) return null;
    round.leader = leader;
    round.term = term;
    round.ticks = 0;
    return round.id;
  }

  answer(id: string, index: number): void {
    const round = this.#round;
    if (round === null || round.id !== id) return;
    this.#round = null;
    for (const context of round.contexts) this.#answers.push({ context, index });
  }

  take(): readonly ReadAnswer[] {
    const answers = this.#answers;
    if (answers.length > 0) this.#answers = [];
    return answers;
  }

  /** True when a question may be due. */
  get pending(): boolean {
    return this.#round !== null || this.#waiting.length > 0;
  }
}
