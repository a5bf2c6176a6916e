import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { check, examine, type HistoryEvent } from '../../../src/checker/index.js';
import { Dice } from './dice.js';
import { MUTATIONS, mutated } from './mutations.js';
import { Reference } from './reference.js';

const LIVES = 60;

const LIFE_MS = 100_000;

/** The event in a later life of the cluster: its times, names and tokens are behind those of the lives before. */
function moved(event: HistoryEvent, life: number): HistoryEvent {
  const text = JSON.stringify(event, (key, value: unknown) => {
    if (key === 'job' || key === 'watch' || key === 'madeBy' || key === 'stream' || key === 'call') {
      return value === '' ? '' : `${life}/${String(value)}`;
    }
    if (typeof value !== 'number') return value;
    if (key === 'begin' || key === 'end' || key === 'at') return value + life * LIFE_MS;
    const none = value === 0;
    return !none && (key === 'token' || key === 'due' || key === 'startDeadline')
      ? value + life * LIFE_MS
      : value;
  });
  return JSON.parse(text) as HistoryEvent;
}

describe('histories of a cluster that keeps its promises', () => {
  it('are accepted, whatever overlaps and gets lost', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 120 }), (seed, submissions) => {
        const found = examine(new Reference(seed).run(submissions));
        expect(found.violations.map((one) => `${one.rule}: ${one.text}`)).toEqual([]);
        expect(found.undecided).toEqual([]);
      }),
      { numRuns: 100 },
    );
  });
});

describe('a long history', () => {
  it('is judged in well under a second for 20,000 events', () => {
    // One life after the other, so that there are as many as a long run has.
    const events: HistoryEvent[] = [];
    let { promises } = new Reference(0).run(1);
    for (let seed = 1; events.length < 20_000; seed++) {
      const life = new Reference(seed).run(120);
      promises = life.promises;
      events.push(...life.events.map((event) => moved(event, seed)));
    }
    const before = process.cpuUsage();
    const found = examine({ events, promises });
    const { user } = process.cpuUsage(before);
    console.log(`${events.length} events judged in ${Math.round(user / 1000)} ms of CPU`);
    expect(found.violations.map((one) => `${one.rule}: ${one.text}`)).toEqual([]);
    // Ten times what it takes: what is quadratic takes far more.
    expect(user / 1000).toBeLessThan(5_000);
  });
});

describe('histories of which one thing is changed', () => {
  const histories = Array.from({ length: LIVES }, (_, i) => new Reference(i + 1).run(60));

  for (const [name, { mutate, atLeast }] of Object.entries(MUTATIONS)) {
    it(`are rejected: ${name}`, () => {
      let tried = 0;
      let rejected = 0;
      histories.forEach((history, i) => {
        const bad = mutated(history, mutate, new Dice(i));
        if (bad === null) return;
        tried++;
        if (check(bad).length > 0) rejected++;
      });
      console.log(`${name}: ${rejected} of ${tried} rejected`);
      expect(tried).toBeGreaterThan(LIVES / 6);
      expect((rejected * 100) / tried).toBeGreaterThanOrEqual(atLeast);
    });
  }
});
