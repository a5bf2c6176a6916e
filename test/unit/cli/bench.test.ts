import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { GearmeshError } from '../../../src/core/errors.js';
import { type Bundle, startBundle } from '../api/harness.js';
import { gearmesh } from './context.js';

/** Goal: a measurement removes its own jobs, however it ends, and no others. */
let b: Bundle;
beforeEach(async () => {
  b = await startBundle();
});
afterEach(() => b.stop());

const bench = (words: readonly string[], signal?: AbortSignal) =>
  gearmesh(['bench', '--endpoint', b.server.address, '--jobs', '20', '--in-flight', '4', ...words], {
    ...(signal === undefined ? {} : { signal }),
  });
const accepted: string[] = [];
const cancelled = (): unknown[] =>
  b.node.calls.filter(([call]) => call === 'cancelJob').map((call) => call[2]);

/** Takes calls up to the one with the job of this number; that one, and all after it, are given to `then` first. */
function takeUntil(number: number, then: () => void): void {
  accepted.length = 0;
  const answer = b.node.submitAnswer;
  b.node.submitAnswer = async (specs) => {
    if (number >= 0 && accepted.length + specs.length > number) then();
    accepted.push(...specs.map((spec) => spec.id));
    return answer(specs);
  };
}

describe('gearmesh bench', () => {
  test('cancels its own jobs by their ids, and purges nothing', async () => {
    takeUntil(-1, () => {});
    const done = await bench(['--function', 'mail', '--json']);
    expect(done).toMatchObject({ code: 0, err: '' });
    expect(JSON.parse(done.out)).toMatchObject({ jobs: 20 });
    expect(accepted).toHaveLength(20);
    expect(cancelled().sort()).toEqual([...accepted].sort());
    expect(b.node.calls.map(([call]) => call)).not.toContain('purgeQueue');
    expect(b.node.submitted.flat().every((spec) => spec.retentionMs === 0)).toBe(true);
  });

  test('leaves them with --keep', async () => {
    expect((await bench(['--keep'])).code).toBe(0);
    expect(cancelled()).toEqual([]);
  });

  test('cancels what was accepted when a submission fails', async () => {
    takeUntil(9, () => {
      throw new GearmeshError('WRONG_STATE', { message: 'no more' });
    });
    expect(await bench([])).toMatchObject({ code: 7, err: 'gearmesh: no more\n' });
    expect(accepted.length).toBeGreaterThan(0);
    expect(cancelled().sort()).toEqual([...accepted].sort());
  });

  test('cancels what was accepted when it is stopped', async () => {
    const stop = new AbortController();
    takeUntil(9, () => stop.abort());
    expect((await bench([], stop.signal)).code).toBe(130);
    expect(cancelled().sort()).toEqual([...accepted].sort());
  });

  test('takes a job that has ended for granted, and tells of one that it could not cancel', async () => {
    const { cancelJob } = b.node;
    b.node.cancelJob = async (...words) => {
      await cancelJob.apply(b.node, words);
      throw new GearmeshError(cancelled().length === 3 ? 'INTERNAL' : 'NOT_FOUND', { message: 'gone' });
    };
    expect(await bench([])).toMatchObject({ code: 0, err: '1 of the jobs could not be cancelled\n' });
  });
});
