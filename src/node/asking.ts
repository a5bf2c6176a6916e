import type { Clock, Timer } from '../base/clock.js';
import { GearmeshError } from '../core/errors.js';
import type { PeerFrame, Transport } from '../peer/types.js';
import { errorFromWire, errorToWire } from './wire-error.js';

/** How long a question whose asker gave up may still be answered, milliseconds: what became of it is better known. */
const LAST_WORD_MS = 60;

interface Question {
  readonly to: string;
  readonly told: (body: unknown) => void;
  readonly resolve: (body: unknown) => void;
  readonly reject: (error: Error) => void;
}

export interface AskOptions {
  /** Aborted: the other one is told to give up, and has a moment for a last word. */
  readonly signal?: AbortSignal | undefined;
  /** Hears what the other one says before its answer. */
  readonly told?: (body: unknown) => void;
}

/** What the answering side has of a question. */
export interface Asked {
  /** Aborted when the asker waits no longer. */
  readonly signal: AbortSignal;
  readonly tell: (body: unknown) => void;
}

export type Answer = (from: string, topic: string, body: unknown, asked: Asked) => Promise<unknown>;

type AskFrame = Extract<PeerFrame, { type: 'ask' | 'answer' | 'refuse' | 'told' | 'unask' }>;

/** Questions and answers between nodes, by number. */
export class Asking {
  readonly #transport: Transport;
  readonly #clock: Clock;
  readonly #answer: Answer;
  readonly #open = new Map<number, Question>();
  /** Questions of others that are being answered, by asker and number. */
  readonly #answering = new Map<string, AbortController>();
  #next = 1;

  constructor(transport: Transport, clock: Clock, answer: Answer) {
    this.#transport = transport;
    this.#clock = clock;
    this.#answer = answer;
  }

  /**
   * Rejects with the other's error, as it was; NOT_APPLIED where the question was not sent, and OUTCOME_UNKNOWN when no
   * answer came within `timeoutMs` or the connection was lost.
   */
  ask(
    to: string,
    topic: string,
    body: unknown,
    timeoutMs: number,
    options: AskOptions = {},
  ): Promise<unknown> {
    const { signal, told = () => {} } = options;
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(new GearmeshError('CANCELLED'));
        return;
      }
      const id = this.#next++;
      if (!this.#transport.send(to, 'control', { type: 'ask', id, topic, body })) {
        reject(new GearmeshError('NO_LEADER', { message: `${to} is not connected` }));
        return;
      }
      const late = (ms: number): Timer =>
        this.#clock.setTimer(ms, () =>
          this.#open.get(id)?.reject(unknown(`${to} did not answer ${topic} in time`)),
        );
      let timer = late(timeoutMs);
      const giveUp = (): void => {
        this.#transport.send(to, 'control', { type: 'unask', id });
        timer.cancel();
        timer = late(LAST_WORD_MS);
      };
      signal?.addEventListener('abort', giveUp, { once: true });
      const over = (): void => {
        this.#open.delete(id);
        timer.cancel();
        signal?.removeEventListener('abort', giveUp);
      };
      this.#open.set(id, {
        to,
        told,
        resolve: (answer) => {
          over();
          resolve(answer);
        },
        reject: (error) => {
          over();
          reject(error);
        },
      });
    });
  }

  frame(from: string, frame: AskFrame): void {
    if (frame.type === 'ask') {
      this.#asked(from, frame.id, frame.topic, frame.body);
      return;
    }
    if (frame.type === 'unask') {
      this.#answering.get(`${from} ${frame.id}`)?.abort();
      return;
    }
    const question = this.#open.get(frame.id);
    if (question === undefined || question.to !== from) return;
    if (frame.type === 'told') question.told(frame.body);
    else if (frame.type === 'answer') question.resolve(frame.body);
    else question.reject(errorFromWire(frame.reason, frame.body));
  }

  /** Nobody answers any more from there. */
  lost(peer: string): void {
    for (const question of [...this.#open.values()]) {
      if (question.to === peer) question.reject(unknown(`the connection to ${peer} was lost`));
    }
  }

  close(): void {
    for (const question of [...this.#open.values()]) question.reject(unknown('this node is stopping'));
  }

  #asked(from: string, id: number, topic: string, body: unknown): void {
    const key = `${from} ${id}`;
    const giveUp = new AbortController();
    this.#answering.set(key, giveUp);
    const say = (frame: PeerFrame): boolean => this.#transport.send(from, 'control', frame);
    this.#answer(from, topic, body, {
      signal: giveUp.signal,
      tell: (word) => say({ type: 'told', id, body: word }),
    })
      .then(
        (answer) => say({ type: 'answer', id, body: answer }),
        (error: unknown) => say({ type: 'refuse', id, ...errorToWire(error) }),
      )
      .finally(() => {
        // The asker may have started anew meanwhile and count from one again.
        if (this.#answering.get(key) === giveUp) this.#answering.delete(key);
      });
  }
}

function unknown(message: string): GearmeshError {
  return new GearmeshError('OUTCOME_UNKNOWN', { message, outcome: 'UNKNOWN' });
}
