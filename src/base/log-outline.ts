interface TermRun {
  readonly first: number;
  readonly term: number;
}

/** What is known of a part of the log without its data: each entry's term, and which ones change the membership. */
export class LogOutline {
  #first: number;
  #last: number;
  /** Each from its first entry to the one before the next run. */
  #terms: TermRun[] = [];
  #changes: number[] = [];

  /** Of no entry yet; the first one is to be `first`. */
  constructor(first: number) {
    this.#first = first;
    this.#last = first - 1;
  }

  get first(): number {
    return this.#first;
  }

  /** The one before the first where there is none. */
  get last(): number {
    return this.#last;
  }

  /** One more, or one that replaces that of its index and all behind it. */
  add(index: number, term: number, changesMembership: boolean): void {
    if (index <= this.#last) this.#cut(index);
    if (this.#terms.at(-1)?.term !== term) this.#terms.push({ first: index, term });
    if (changesMembership) this.#changes.push(index);
    this.#last = index;
  }

  dropBefore(first: number): void {
    if (first <= this.#first) return;
    this.#first = first;
    this.#last = Math.max(this.#last, first - 1);
    const begun = first > this.#last ? this.#terms.length : this.#runOf(first);
    this.#terms.splice(0, begun);
    this.#changes = this.#changes.filter((index) => index >= first);
  }

  termAt(index: number): number | null {
    return index < this.#first || index > this.#last ? null : this.#terms[this.#runOf(index)]!.term;
  }

  /** Whether any entry from `from` to `to` (both included) changes the membership. */
  changesMembership(from: number, to: number): boolean {
    const newest = this.#changes.findLast((index) => index <= to);
    return newest !== undefined && newest >= from;
  }

  /** Of the entries from `first` to `last`, as far as they are known here; on its own from now on. */
  part(first: number, last: number): LogOutline {
    const part = new LogOutline(this.#first);
    part.#terms = this.#terms.slice();
    part.#changes = this.#changes.slice();
    part.#last = this.#last;
    if (last < this.#last) part.#cut(last + 1);
    part.dropBefore(first);
    return part;
  }

  /** Those from `index` on are gone. */
  #cut(index: number): void {
    this.#first = Math.min(this.#first, index);
    this.#last = index - 1;
    while (this.#terms.length > 0 && this.#terms.at(-1)!.first >= index) this.#terms.pop();
    while (this.#changes.length > 0 && this.#changes.at(-1)! >= index) this.#changes.pop();
  }

  /** Few terms as a rule, and the newest are asked for most. */
  #runOf(index: number): number {
    return this.#terms.findLastIndex(({ first }) => first <= index);
  }
}
