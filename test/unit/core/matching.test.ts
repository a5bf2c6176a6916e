import { afterEach, describe, expect, it, vi } from 'vitest';
import { applyEntry } from '../../../src/core/apply.js';
import { FunctionState } from '../../../src/core/functions.js';
import { createBatchBuilder, encodeEntry, encodeNodeUp } from '../../../src/core/index.js';
import type { BatchBuilder } from '../../../src/core/interface.js';
import { SessionClass } from '../../../src/core/matching/class.js';
import { withDefaults } from '../../../src/core/settings.js';
import { State } from '../../../src/core/state.js';
import { asFunction, Bed, MapPayloads, Notes, SECRET, START_WALL } from './bed.js';

/** Goal: what a match costs depends neither on jobs nor on sessions (section 11 of the design, rule 16). */
describe('matching', () => {
  /** A state of which the inside can be looked at. */
  class OpenBed {
    readonly state = new State(new MapPayloads(), withDefaults({ functionsMax: 10_000 }), 'test');
    readonly #builder = createBatchBuilder();
    readonly #ids = new Bed();
    #index = 0;
    #seq = 0;

    constructor() {
      this.state.start();
      this.#apply([encodeNodeUp({ name: 'n1', nonce: 1, grpc: '', http: '', version: '' })]);
    }

    do(fill: (builder: BatchBuilder) => void): Notes {
      fill(this.#builder);
      return this.#apply([this.#builder.finish(1, ++this.#seq)]);
    }

    submit(fn: string): string[] {
      const spec = this.#ids.spec({ function: fn });
      return this.do((b) => b.submit('default', spec)).of('assigned');
    }

    open(functions: readonly string[], credit: number): number {
      const notes = this.do((b) =>
        b.sessionOpen({
          namespace: 'default',
          name: 'w',
          secretDigest: SECRET,
          functions: functions.map(asFunction),
          resumable: true,
          credit,
        }),
      );
      return notes.results.get(0)!.value;
    }

    #apply(batches: readonly Uint8Array[]): Notes {
      const notes = new Notes();
      applyEntry(this.state, ++this.#index, encodeEntry(1_000_000, START_WALL, batches), notes);
      return notes;
    }
  }

  const names = Array.from({ length: 300 }, (_, i) => `f${i}`);

  afterEach(() => {
    vi.restoreAllMocks();
  });

  it('rule: matching - equal function sets are one class, in whatever order they were said', () => {
    const bed = new OpenBed();
    for (let i = 0; i < 200; i++) bed.open(i % 2 === 0 ? ['f', 'g', 'h'] : ['h', 'f', 'g'], 1);
    expect(bed.state.classes.size).toBe(1);
    const [only] = [...bed.state.classes.values()];
    expect(only).toMatchObject({ references: 200, workers: 200, credits: 200 });
    bed.open(['f', 'g'], 1);
    expect(bed.state.classes.size).toBe(2);
  });

  it('rule: matching - a class without sessions is forgotten', () => {
    const bed = new OpenBed();
    const session = bed.open(['f', 'g'], 1);
    bed.do((b) => b.sessionClose(session, 1));
    expect(bed.state.classes.size).toBe(0);
    expect(bed.state.functions.find('default', 'f')!.classes).toEqual([]);
  });

  it('rule: matching - a session finds its job by a heap of ready functions, without a scan of functions or backlog', () => {
    const bed = new OpenBed();
    for (let i = 0; i < 9_000; i++) bed.submit(names[i % 300]!);
    const session = bed.open(names, 0);
    const best = vi.spyOn(FunctionState.prototype, 'best');
    const order = vi.spyOn(FunctionState.prototype, 'headOrder');
    for (let credit = 1; credit <= 50; credit++) {
      best.mockClear();
      order.mockClear();
      const [assigned] = bed.do((b) => b.credit(session, 1, credit)).of('assigned');
      expect(assigned).toContain(` job ${credit} `);
      expect(best.mock.calls.length + order.mock.calls.length).toBeLessThan(20);
    }
  });

  it('rule: matching - a job finds its session at the head of a queue, without a scan of sessions', () => {
    const bed = new OpenBed();
    const sessions = Array.from({ length: 1_000 }, () => bed.open(['f', 'g'], 1));
    const blocked = vi.spyOn(SessionClass.prototype, 'blocked');
    for (let i = 0; i < 20; i++) {
      blocked.mockClear();
      expect(bed.submit('f')[0]).toContain(`assigned ${sessions[i]}/1 `);
      expect(blocked.mock.calls.length).toBeLessThan(10);
    }
  });

  it('rule: matching - sessions with credit take turns', () => {
    const bed = new OpenBed();
    const sessions = [bed.open(['f'], 10), bed.open(['f'], 10), bed.open(['f'], 10)];
    const got = Array.from({ length: 6 }, () => Number(/assigned (\d+)/.exec(bed.submit('f')[0]!)![1]));
    expect(got).toEqual([...sessions, ...sessions]);
  });
});
