import type { Clock, Timer } from '../base/clock.js';
import type { Channel, PeerFrame, Transport } from '../peer/types.js';

interface Question {
  readonly to: string;
  readonly resolve: (body: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly timer: Timer;
}

/** Questions and answers between nodes, by number. */
export class Asking {
  readonly #transport: Transport;
  readonly #clock: Clock;
  readonly #answer: (from: string, topic: string, body: unknown) => Promise<unknown>;
  readonly #open = new Map<number, Question>();
  #next = 1;

  constructor(
    transport: Transport,
    clock: Clock,
    answer: (from: string, topic: string, body: unknown) => Promise<unknown>,
  ) {
    this.#transport = transport;
    this.#clock = clock;
    this.#answer = answer;
  }

  /** Rejects with the other's reason, or when no answer came within `timeoutMs`. */
  ask(
    to: string,
    topic: string,
    body: unknown,
    timeoutMs: number,
    channel: Channel = 'control',
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      if (!this.#transport.send(to, channel, { type: 'ask', id, topic, body })) {
        reject(new Error(`${to} is not connected`));
        return;
      }
      const timer = this.#clock.setTimer(timeoutMs, () => {
        this.#open.delete(id);
        reject(new Error(`${to} did not answer ${topic} within ${timeoutMs} ms`));
      });
      this.#open.set(id, { to, resolve, reject, timer });
    });
  }

  frame(from: string, frame: Extract<PeerFrame, { type: 'ask' | 'answer' | 'refuse' }>): void {
    if (frame.type === 'ask') {
      this.#answer(from, frame.topic, frame.body).then(
        (body) => this.#transport.send(from, 'control', { type: 'answer', id: frame.id, body }),
        (error: unknown) =>
          this.#transport.send(from, 'control', {
            type: 'refuse',
            id: frame.id,
            reason: error instanceof Error ? error.message : String(error),
          }),
      );
      return;
    }
    const question = this.#open.get(frame.id);
    if (question === undefined || question.to !== from) return;
    this.#open.delete(frame.id);
    question.timer.cancel();
    if (frame.type === 'answer') question.resolve(frame.body);
    else question.reject(new Error(frame.reason));
  }

  /** Nobody answers any more from there. */
  lost(peer: string): void {
    for (const [id, question] of this.#open) {
      if (question.to !== peer) continue;
      this.#open.delete(id);
      question.timer.cancel();
      question.reject(new Error(`the connection to ${peer} was lost`));
    }
  }

  close(): void {
    for (const question of this.#open.values()) {
      question.timer.cancel();
      question.reject(new Error('this node is stopping'));
    }
    this.#open.clear();
  }
}
