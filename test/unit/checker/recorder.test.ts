import { describe, expect, it } from 'vitest';
import { check, Recorder } from '../../../src/checker/index.js';
import { last, lease, PROMISES, submit } from './bed.js';

describe('a recorder', () => {
  it('keeps what is noted, in its order, with the promises that it was made with', () => {
    const recorder = new Recorder(PROMISES);
    const events = [submit('a', [0, 10]), lease('a', 20, 1)];
    for (const event of events) recorder.note(event);
    expect(recorder.events).toEqual(events);
    expect(recorder.history()).toEqual({ events, promises: PROMISES });
  });

  it('gives out a history that does not change any more', () => {
    const recorder = new Recorder(PROMISES);
    recorder.note(submit('a', [0, 10]));
    const before = recorder.history();
    recorder.note(last('a', 500, 'absent'));
    expect(before.events).toHaveLength(1);
    expect(check(before)).toEqual([]);
    expect(check(recorder.history()).map((one) => one.rule)).toEqual(['lost']);
  });
});
