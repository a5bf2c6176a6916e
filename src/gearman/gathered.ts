import type { JobSpec } from '../core/types.js';
import type { Answer } from './answers.js';
import type { WireError } from './errors.js';
import type { Upload } from './upload.js';

/** A submission, and where its answer goes. */
export interface Submission {
  /** Null while its large payload is on its way. */
  spec: JobSpec | null;
  /** Of a large payload. */
  upload: Upload | null;
  readonly answer: Answer;
}

/** A submission that has its place among the others while its payload is still on its way. */
export interface Place {
  fill(spec: JobSpec, upload: Upload): void;
  refuse(error: WireError): void;
}

/**
 * Submissions of one connection that are to be handed on, in their order: what came in one piece of the stream becomes
 * one call. Those behind one without its payload wait for it, or they would overtake it in their queue.
 */
export class Gathered {
  #waiting: Submission[] = [];
  #incomplete = 0;

  /** Submissions that wait for a payload before them, or for their own. */
  get held(): number {
    return this.#incomplete === 0 ? 0 : this.#waiting.length;
  }

  add(spec: JobSpec, answer: Answer): void {
    this.#waiting.push({ spec, upload: null, answer });
  }

  /** `changed` is called when submissions may be taken again; `refused` when there will be no payload. */
  place(answer: Answer, changed: () => void, refused: (error: WireError) => void): Place {
    const one: Submission = { spec: null, upload: null, answer };
    this.#waiting.push(one);
    this.#incomplete++;
    return {
      fill: (spec, upload) => {
        one.spec = spec;
        one.upload = upload;
        this.#incomplete--;
        changed();
      },
      refuse: (error) => {
        this.#waiting = this.#waiting.filter((other) => other !== one);
        this.#incomplete--;
        refused(error);
        changed();
      },
    };
  }

  /** All up to the first that has no payload yet. */
  take(): readonly Submission[] {
    const waiting = this.#waiting;
    const end = this.#incomplete === 0 ? waiting.length : waiting.findIndex(({ spec }) => spec === null);
    this.#waiting = end === waiting.length ? [] : waiting.slice(end);
    return end === waiting.length ? waiting : waiting.slice(0, end);
  }
}
