import { describe, expect, it } from 'vitest';
import { linearize, type Model, type Operation } from '../../../src/checker/linear/linearize.js';

const ENOUGH = 10_000;
const NEVER = Number.POSITIVE_INFINITY;

interface RegisterCall extends Operation {
  readonly write?: number;
  readonly read?: number;
}

const REGISTER: Model<number, RegisterCall> = {
  initial: [0],
  key: (state) => String(state),
  step: (state, { write, read }) => (write !== undefined ? [write] : read === state ? [state] : []),
};

interface QueueCall extends Operation {
  readonly put?: string;
  /** null: it was empty. */
  readonly take?: string | null;
}

const QUEUE: Model<readonly string[], QueueCall> = {
  initial: [[]],
  key: (state) => JSON.stringify(state),
  step: (state, { put, take }) => {
    if (put !== undefined) return [[...state, put]];
    if (take === null) return state.length === 0 ? [state] : [];
    return state[0] === take ? [state.slice(1)] : [];
  },
};

function write(value: number, begin: number, end: number): RegisterCall {
  return { write: value, begin, end };
}

function read(value: number, begin: number, end: number): RegisterCall {
  return { read: value, begin, end };
}

function put(value: string, begin: number, end: number): QueueCall {
  return { put: value, begin, end };
}

function take(value: string | null, begin: number, end: number): QueueCall {
  return { take: value, begin, end };
}

function register(...calls: RegisterCall[]): string {
  return linearize(REGISTER, calls, ENOUGH).kind;
}

function queue(...calls: QueueCall[]): string {
  return linearize(QUEUE, calls, ENOUGH).kind;
}

describe('a register', () => {
  it('is linearizable without calls, and with calls one after the other', () => {
    expect(register()).toBe('linearizable');
    expect(register(write(1, 0, 1), read(1, 2, 3), write(2, 4, 5), read(2, 6, 7))).toBe('linearizable');
  });

  it('may show the old or the new value while it is written', () => {
    expect(register(write(1, 0, 10), read(0, 1, 2), read(1, 3, 4))).toBe('linearizable');
  });

  it('may not go back to the old value once a reader saw the new one', () => {
    const back = read(0, 3, 4);
    const verdict = linearize(REGISTER, [write(1, 0, 10), read(1, 1, 2), back], ENOUGH);
    expect(verdict).toMatchObject({ kind: 'not-linearizable', at: back });
  });

  it('may not show the old value after the write was answered', () => {
    expect(register(write(1, 0, 1), read(0, 2, 3))).toBe('not-linearizable');
  });

  it('may not show a value that was never written', () => {
    expect(register(write(1, 0, 1), read(2, 0, 3))).toBe('not-linearizable');
  });

  it('takes calls that touch in time for calls that overlap', () => {
    expect(register(write(1, 0, 5), read(0, 5, 6))).toBe('linearizable');
  });

  it('orders concurrent writes as the readers saw them, all in one order', () => {
    const writes = [write(1, 0, 10), write(2, 0, 10)];
    expect(register(...writes, read(2, 11, 12), read(2, 13, 14))).toBe('linearizable');
    expect(register(...writes, read(2, 11, 12), read(1, 13, 14))).toBe('not-linearizable');
    expect(register(...writes, read(1, 1, 2), read(2, 3, 4), read(1, 5, 6))).toBe('not-linearizable');
  });

  it('lets an unanswered write take effect at any later time, once, or never', () => {
    const unknown = write(1, 0, NEVER);
    expect(register(unknown, read(0, 10, 11), read(0, 20, 21))).toBe('linearizable');
    expect(register(unknown, read(0, 10, 11), read(1, 20, 21))).toBe('linearizable');
    expect(register(unknown, read(0, 10, 11), write(2, 12, 13), read(1, 20, 21))).toBe('linearizable');
    expect(register(unknown, read(1, 10, 11), write(2, 12, 13), read(1, 20, 21))).toBe('not-linearizable');
    expect(register(write(1, 15, NEVER), read(1, 10, 11))).toBe('not-linearizable');
  });

  it('lets as many unanswered writes of one value take effect as there are', () => {
    const twin = { write: 1, begin: 0, end: NEVER, twin: 'write 1' };
    const between = [read(1, 1, 2), write(2, 3, 4), read(1, 5, 6), write(3, 7, 8), read(1, 9, 10)];
    expect(register({ ...twin }, { ...twin }, { ...twin }, ...between)).toBe('linearizable');
    expect(register({ ...twin }, { ...twin }, ...between)).toBe('not-linearizable');
  });
});

describe('a queue', () => {
  it('gives what was put in its order', () => {
    expect(queue(put('a', 0, 1), put('b', 2, 3), take('a', 4, 5), take('b', 6, 7), take(null, 8, 9))).toBe(
      'linearizable',
    );
    expect(queue(put('a', 0, 1), put('b', 2, 3), take('b', 4, 5))).toBe('not-linearizable');
  });

  it('gives what was put at one time in any order', () => {
    expect(queue(put('a', 0, 3), put('b', 0, 3), take('b', 4, 5), take('a', 6, 7))).toBe('linearizable');
  });

  it('is not empty while it holds something', () => {
    expect(queue(put('a', 0, 1), take(null, 2, 3))).toBe('not-linearizable');
    expect(queue(put('a', 0, 4), take(null, 2, 3), take('a', 5, 6))).toBe('linearizable');
  });

  it('gives nothing twice', () => {
    expect(queue(put('a', 0, 1), take('a', 2, 3), take('a', 2, 3))).toBe('not-linearizable');
    expect(queue(put('a', 0, 1), put('a', 0, 1), take('a', 2, 3), take('a', 2, 3))).toBe('linearizable');
  });

  it('remembers that an order was fixed long ago', () => {
    // a before b follows from the third take alone.
    const calls = [put('a', 0, 10), put('b', 0, 10), put('c', 0, 10), take('c', 11, 12)];
    expect(queue(...calls, take('b', 13, 14), take('a', 15, 16))).toBe('linearizable');
    expect(queue(...calls, take('b', 13, 14), take('b', 15, 16))).toBe('not-linearizable');
  });
});

describe('the search', () => {
  it('does not depend on the order in which the calls are given', () => {
    const calls = [write(1, 0, 10), write(2, 0, 10), read(2, 1, 4), read(1, 5, 6)];
    expect(register(...calls)).toBe('linearizable');
    expect(register(...[...calls].reverse())).toBe('linearizable');
  });

  it('gives up after the steps that it may take, and says so', () => {
    const writes = Array.from({ length: 12 }, (_, i) => write(i + 1, 0, 10));
    expect(linearize(REGISTER, [...writes, read(5, 11, 12)], 100).kind).toBe('undecided');
    expect(linearize(REGISTER, [...writes, read(5, 11, 12)], 1_000_000).kind).toBe('linearizable');
  });

  it('starts in any of several states', () => {
    const model = { ...REGISTER, initial: [3, 4] };
    expect(linearize(model, [read(4, 0, 1), read(4, 2, 3)], ENOUGH).kind).toBe('linearizable');
    expect(linearize(model, [read(4, 0, 1), read(3, 2, 3)], ENOUGH).kind).toBe('not-linearizable');
  });
});
