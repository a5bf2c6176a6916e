import type { Outgoing } from './out-queue.js';

interface Place {
  out: Outgoing | null;
  /** Called once the place is the first: whatever was asked before has been answered. */
  begin: ((answer: Answer) => void) | null;
  sent: (() => void) | null;
}

const DROPPED_AT_ONCE = 256;
const LEFT = {} as Place;

/** Fills a place; `sent` is called when it was handed on to the socket. The second call does nothing. */
export type Answer = (out: Outgoing, sent?: () => void) => void;

/** Answers of one connection leave in the order of their requests, whatever each of them waits for. */
export class Answers {
  readonly #write: (out: Outgoing) => void;
  readonly #left: () => void;
  #places: Place[] = [];
  /** Places before this one have left; they are dropped many at a time. */
  #first = 0;
  #flushing = false;

  /** `left` is called when answers have left and others may wait in their stead. */
  constructor(write: (out: Outgoing) => void, left: () => void) {
    this.#write = write;
    this.#left = left;
  }

  get waiting(): number {
    return this.#places.length - this.#first;
  }

  /** A place for an answer that is being worked on already. */
  next(): Answer {
    return this.#place(null);
  }

  /** An answer that is only looked for when all earlier ones have left. */
  inTurn(begin: (answer: Answer) => void): void {
    this.#place(begin);
    this.#flush();
  }

  #place(begin: Place['begin']): Answer {
    const place: Place = { out: null, begin, sent: null };
    this.#places.push(place);
    return this.#filler(place);
  }

  #filler(place: Place): Answer {
    return (out, sent) => {
      if (place.out !== null) return;
      place.out = out;
      place.sent = sent ?? null;
      this.#flush();
    };
  }

  #flush(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    const first = this.#first;
    let done = first;
    for (; done < this.#places.length; done++) {
      const place = this.#places[done]!;
      const { begin } = place;
      if (begin !== null) {
        place.begin = null;
        begin(this.#filler(place));
      }
      if (place.out === null) break;
      this.#write(place.out);
      place.sent?.();
    }
    if (done === this.#places.length || done >= DROPPED_AT_ONCE) {
      this.#places = this.#places.slice(done);
      this.#first = 0;
    } else {
      // What they held may be large.
      this.#places.fill(LEFT, first, done);
      this.#first = done;
    }
    this.#flushing = false;
    if (done > first) this.#left();
  }
}
