/**
 * Assignments in the order in which they were made, until they are acknowledged or over: the oldest is looked at
 * first. Entries that no longer matter stay until they come to the front. Node-local.
 */
export class AckRing {
  #tokens = new Float64Array(1024);
  #startedUs = new Float64Array(1024);
  #head = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Token of the oldest; 0 when empty. */
  get token(): number {
    return this.#size === 0 ? 0 : this.#tokens[this.#head]!;
  }

  get startedUs(): number {
    return this.#size === 0 ? Number.POSITIVE_INFINITY : this.#startedUs[this.#head]!;
  }

  push(token: number, startedUs: number): void {
    if (this.#size === this.#tokens.length) this.#grow();
    const at = (this.#head + this.#size) & (this.#tokens.length - 1);
    this.#tokens[at] = token;
    this.#startedUs[at] = startedUs;
    this.#size++;
  }

  shift(): void {
    this.#head = (this.#head + 1) & (this.#tokens.length - 1);
    this.#size--;
  }

  #grow(): void {
    const tokens = new Float64Array(this.#tokens.length * 2);
    const started = new Float64Array(this.#tokens.length * 2);
    for (let i = 0; i < this.#size; i++) {
      const from = (this.#head + i) & (this.#tokens.length - 1);
      tokens[i] = this.#tokens[from]!;
      started[i] = this.#startedUs[from]!;
    }
    this.#tokens = tokens;
    this.#startedUs = started;
    this.#head = 0;
  }
}
