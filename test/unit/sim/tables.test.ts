import { describe, expect, it } from 'vitest';
import type { Core } from '../../../src/core/interface.js';
import { DEFAULT_SETTINGS, type JobView } from '../../../src/core/types.js';
import { checkTables, Limits } from '../../../src/sim/tables.js';

const RUNNING: Partial<JobView> = {
  id: 'a',
  seq: 1,
  namespace: 'default',
  function: 'f',
  state: 'running',
  token: 5,
  session: 9,
  uniqueKey: '',
};

/** The tables of a core as far as they are looked at. */
function coreOf(jobs: readonly Partial<JobView>[], more: object = {}): Core {
  const held = jobs.filter(({ token }) => token !== 0).length;
  return {
    appliedIndex: 10,
    settings: DEFAULT_SETTINGS,
    queues: () => [
      { namespace: 'default', function: 'f', waiting: [0, 0, 0], scheduled: 0, running: jobs.length },
    ],
    listJobs: () => ({ jobs, next: 0 }),
    seqOfToken: (token: number) => jobs.find((job) => job.token === token)?.seq ?? 0,
    session: () => ({ held }),
    heldTokens: () => jobs.filter(({ token }) => token !== 0).map(({ token }) => token!),
    counts: () => ({
      waiting: 0,
      running: jobs.length,
      sessions: 1,
      functions: 1,
      schedules: 0,
      blobBytes: 0,
    }),
    ...more,
  } as unknown as Core;
}

function broken(core: Core): string[] {
  const rules: string[] = [];
  checkTables('n1', core, (rule) => rules.push(rule));
  return rules;
}

describe('the tables of a core', () => {
  const other = { ...RUNNING, id: 'b', seq: 2, token: 6 };
  it.each([
    ['two jobs under one lease', coreOf([RUNNING, { ...other, token: 5 }]), 'one-lease'],
    ['a job that runs without a lease', coreOf([{ ...RUNNING, token: 0 }]), 'one-lease'],
    ['a lease of a session that is gone', coreOf([RUNNING], { session: () => null }), 'one-lease'],
    ['a lease that leads to another job', coreOf([RUNNING], { seqOfToken: () => 3 }), 'one-lease'],
    ['a session that counts otherwise', coreOf([RUNNING], { session: () => ({ held: 2 }) }), 'one-lease'],
    [
      'two live jobs under one key',
      coreOf([
        { ...RUNNING, uniqueKey: 'k' },
        { ...other, uniqueKey: 'k', state: 'queued', token: 0 },
      ]),
      'unique-key',
    ],
  ])('are wrong with %s', (_, core, rule) => {
    expect(broken(core)).toContain(rule);
  });

  it('are right with leases of their own, and with one key in two functions', () => {
    expect(broken(coreOf([RUNNING, other]))).toEqual([]);
    const elsewhere = { ...other, function: 'g', uniqueKey: 'k' };
    expect(broken(coreOf([{ ...RUNNING, uniqueKey: 'k' }, elsewhere]))).toEqual([]);
  });
});

describe('limits', () => {
  function looks(counts: readonly (readonly [running: number, limit: number, index: number])[]): string[] {
    const limits = new Limits();
    const rules: string[] = [];
    for (const [running, jobsMax, appliedIndex] of counts) {
      const core = coreOf([], {
        appliedIndex,
        settings: { ...DEFAULT_SETTINGS, jobsMax },
        queues: () => [],
        counts: () => ({ waiting: 0, running, sessions: 0, functions: 0, schedules: 0, blobBytes: 0 }),
      });
      limits.look('n1', core, (rule) => rules.push(rule));
    }
    return rules;
  }

  it('are broken by one job more than allowed', () => {
    expect(looks([[4, 5, 1], [5, 5, 2], [6, 5, 3]])).toEqual(['limits']); // biome-ignore format: a row per look
  });

  it('leave what was there when they were lowered, which must not become more', () => {
    expect(looks([[9, 10, 1], [9, 5, 2], [8, 5, 3], [5, 5, 4]])).toEqual([]); // biome-ignore format: a row per look
    expect(looks([[9, 10, 1], [9, 5, 2], [8, 5, 3], [9, 5, 4]])).toEqual(['limits']); // biome-ignore format: a row per look
  });
});
