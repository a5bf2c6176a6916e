import type { Clock, Timer } from '../base/clock.js';
import { GearmeshError } from '../core/errors.js';

/** Without a leader the question is put again after this time. What the core took it answers, over any change of leader. */
const ASK_AGAIN_MS = 250;

interface Reader {
  /** Log index that must be applied; -1 while a ReadIndex is under way. */
  index: number;
  /** The caller gave up. */
  over: boolean;
  readonly resolve: () => void;
  readonly reject: (error: GearmeshError) => void;
}

export interface ReadsParts {
  readonly clock: Clock;
  readonly appliedIndex: () => number;
  /** False: no leader is known at the moment. */
  readonly readIndex: (context: string) => boolean;
  readonly askTurn: () => void;
}

/**
 * Linearizable reads by quorum ReadIndex (Raft dissertation, section 6.4; not by leases): readers of one turn share
 * one question.
 */
export class Reads {
  readonly #parts: ReadsParts;
  readonly #asking = new Map<string, Reader[]>();
  #gathering: Reader[] = [];
  #applying: Reader[] = [];
  #next = 1;
  #retry: Timer | null = null;

  constructor(parts: ReadsParts) {
    this.#parts = parts;
  }

  /** Resolves when this node's state is at least as new as the moment of the call. */
  linearizable(signal: AbortSignal | undefined): Promise<void> {
    return this.#wait(-1, signal);
  }

  /** Resolves when the entry at `index` was applied here. */
  atLeast(index: number, signal: AbortSignal | undefined): Promise<void> {
    if (index <= this.#parts.appliedIndex()) return Promise.resolve();
    return this.#wait(index, signal);
  }

  flush(): void {
    if (this.#gathering.length === 0) return;
    if (this.#gathering.some((reader) => reader.over)) {
      this.#gathering = this.#gathering.filter((reader) => !reader.over);
      if (this.#gathering.length === 0) return;
    }
    const context = String(this.#next++);
    if (this.#parts.readIndex(context)) {
      this.#asking.set(context, this.#gathering);
      this.#gathering = [];
      return;
    }
    this.#retry ??= this.#parts.clock.setTimer(ASK_AGAIN_MS, () => {
      this.#retry = null;
      if (this.#gathering.length > 0) this.#parts.askTurn();
    });
  }

  answered(reads: readonly { readonly context: string; readonly index: number }[]): void {
    for (const { context, index } of reads) {
      const readers = this.#asking.get(context);
      if (readers === undefined) continue;
      this.#asking.delete(context);
      for (const reader of readers) {
        reader.index = index;
        this.#applying.push(reader);
      }
    }
    this.applied(this.#parts.appliedIndex());
  }

  applied(index: number): void {
    if (this.#applying.length === 0) return;
    const left: Reader[] = [];
    for (const reader of this.#applying) {
      if (reader.index <= index) reader.resolve();
      else if (!reader.over) left.push(reader);
    }
    this.#applying = left;
  }

  close(): void {
    this.#retry?.cancel();
    const error = new GearmeshError('SHUTTING_DOWN');
    const asking = [...this.#asking.values()].flat();
    for (const reader of [...asking, ...this.#gathering, ...this.#applying]) reader.reject(error);
    this.#asking.clear();
    this.#gathering = [];
    this.#applying = [];
  }

  #wait(index: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(gaveUp());
        return;
      }
      // A reader that gave up leaves its list when that is looked at next; settling it twice does nothing.
      const abort = (): void => {
        reader.over = true;
        reject(gaveUp());
      };
      signal?.addEventListener('abort', abort, { once: true });
      const reader: Reader = {
        index,
        over: false,
        resolve: () => {
          signal?.removeEventListener('abort', abort);
          resolve();
        },
        reject: (error) => {
          signal?.removeEventListener('abort', abort);
          reject(error);
        },
      };
      if (index < 0) {
        this.#gathering.push(reader);
        this.#parts.askTurn();
      } else {
        this.#applying.push(reader);
      }
    });
  }
}

function gaveUp(): GearmeshError {
  return new GearmeshError('NO_LEADER', {
    message: 'the deadline passed before a majority confirmed the read',
  });
}
