const TOKENS_PER_PAGE = 256;
const CACHE = 256;

interface TokenPage {
  readonly number: number;
  /** Seq by place, 0 for a lease that is over. */
  readonly seqs: Float64Array;
  count: number;
}

/**
 * Seqs of running jobs by lease token. Tokens are given out one after the other, and most end soon after each other:
 * pages of consecutive ones cost one look-up in a small cache, and go when their last lease ends.
 */
export class TokenTable {
  readonly #pages = new Map<number, TokenPage>();
  readonly #cache: (TokenPage | null)[] = new Array<TokenPage | null>(CACHE).fill(null);

  /** 0: no live lease has this token. */
  get(token: number): number {
    const page = this.#page(Math.floor(token / TOKENS_PER_PAGE));
    return page === null ? 0 : page.seqs[token % TOKENS_PER_PAGE]!;
  }

  add(token: number, seq: number): void {
    const number = Math.floor(token / TOKENS_PER_PAGE);
    let page = this.#page(number);
    if (page === null) {
      page = { number, seqs: new Float64Array(TOKENS_PER_PAGE), count: 0 };
      this.#pages.set(number, page);
      this.#cache[number & (CACHE - 1)] = page;
    }
    page.seqs[token % TOKENS_PER_PAGE] = seq;
    page.count++;
  }

  /** The token has been added. */
  remove(token: number): void {
    const page = this.#page(Math.floor(token / TOKENS_PER_PAGE))!;
    page.seqs[token % TOKENS_PER_PAGE] = 0;
    if (--page.count > 0) return;
    this.#pages.delete(page.number);
    this.#cache[page.number & (CACHE - 1)] = null;
  }

  #page(number: number): TokenPage | null {
    const cached = this.#cache[number & (CACHE - 1)]!;
    if (cached !== null && cached.number === number) return cached;
    const page = this.#pages.get(number);
    if (page === undefined) return null;
    this.#cache[number & (CACHE - 1)] = page;
    return page;
  }
}
