import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { GearmeshError } from '../../../src/core/errors.js';
import type { JobWatcher } from '../../../src/node/interface.js';
import { jobView } from '../api/fake-node.js';
import { type Bundle, startBundle } from '../api/harness.js';
import { gearmesh } from './context.js';

/** Commands in this process, asking a real gRPC server on a node that the test programs. */
const ID = '01ARZ3NDEKTSV4RRFFQ69G5FAV';
/** Nothing listens here: port 1 needs privileges that nobody uses. */
const NOBODY = '127.0.0.1:1';

let b: Bundle;
beforeEach(async () => {
  b = await startBundle();
});
afterEach(() => b.stop());

const at = (): string[] => ['--endpoint', b.server.address];

describe('--timeout', () => {
  test('ends "work" when no node takes the worker', async () => {
    const done = await gearmesh([
      'work',
      'f',
      '--endpoint',
      NOBODY,
      '--timeout',
      '100ms',
      '--',
      process.execPath,
    ]);
    expect(done.code).toBe(5);
    expect(done.err).toContain('no node took this worker in time');
  });

  test('does not end a worker that has begun', async () => {
    const stop = new AbortController();
    const words = ['work', 'f', ...at(), '--timeout', '200ms', '--', process.execPath];
    const done = gearmesh(words, { signal: stop.signal });
    await b.node.until(() => b.node.sessions.length === 1);
    let over = false;
    void done.then(() => {
      over = true;
    });
    await new Promise<void>((late) => AbortSignal.timeout(400).addEventListener('abort', () => late()));
    expect(over).toBe(false);
    stop.abort();
    expect((await done).code).toBe(0);
  });

  test('bounds "cluster replace" as a whole', async () => {
    let gaveUp = false;
    b.node.replaceNode = (name, call, progress) =>
      new Promise((_, reject) => {
        progress(`removed ${name}`);
        call.signal?.addEventListener('abort', () => {
          gaveUp = true;
          b.node.note();
          reject(new GearmeshError('CANCELLED', { outcome: 'UNKNOWN' }));
        });
      });
    const done = await gearmesh(['cluster', 'replace', 'n3', ...at(), '--timeout', '300ms']);
    expect(done).toMatchObject({ code: 5, out: '' });
    expect(done.err).toContain('removed n3');
    await b.node.until(() => gaveUp);
  });
});

describe('gearmesh cluster', () => {
  test('replace tells each step, and its revision to a script', async () => {
    const done = await gearmesh(['cluster', 'replace', 'n3', ...at(), '--json']);
    expect(done).toMatchObject({ code: 0, err: 'removed n3\nadded n3\n' });
    expect(JSON.parse(done.out)).toEqual({
      node: 'n3',
      replaced: true,
      revision: expect.stringMatching(/^0-/),
    });
  });

  test('transfer tells its revision to a script', async () => {
    const { out } = await gearmesh(['cluster', 'transfer', ...at(), '--json']);
    expect(JSON.parse(out)).toEqual({ leader: 'n2', term: 4, revision: expect.stringMatching(/^0-/) });
  });
});

describe('gearmesh status --eventual', () => {
  test('asks for no leader', async () => {
    const noLeader = (read: { consistency: string }): void => {
      if (read.consistency !== 'eventual') throw new GearmeshError('NO_LEADER');
    };
    const { clusterNow, queues } = b.node;
    b.node.cluster = async (read) => {
      noLeader(read);
      return { ...clusterNow, leader: '' };
    };
    b.node.listQueues = async (_, read) => {
      noLeader(read);
      return queues;
    };
    const without = await gearmesh(['status', ...at(), '--timeout', '200ms']);
    expect(without.code).not.toBe(0);
    const done = await gearmesh(['status', ...at(), '--eventual']);
    expect(done).toMatchObject({ code: 0, err: '' });
    expect(done.out).toContain('no leader');
  });
});

describe('a job in JSON', () => {
  const details = Buffer.from('more');
  const error = { code: 'E', message: 'why', details };

  test('has all that is known of it', async () => {
    b.node.job = (id) =>
      jobView({
        id,
        state: 'failed',
        foreground: true,
        traceparent: 'tp',
        runTimeoutMs: 1_500,
        startDeadlineWall: 1_800_000_000_000,
        retentionMs: 60_000,
        token: 9,
        attempt: 1,
        cancelReason: 'because',
        dataCount: 3,
        error,
        attempts: [{ number: 1, worker: 'w', node: 'n1', startedWall: 1, endedWall: 2, error }],
      });
    const job = JSON.parse((await gearmesh(['jobs', 'get', ID, ...at(), '--json'])).out) as object;
    expect(job).toMatchObject({
      foreground: true,
      traceparent: 'tp',
      max_attempts: 5,
      retry: { initial_backoff_ms: 1_000, max_backoff_ms: 300_000, multiplier: 2, jitter: 0.2 },
      run_timeout_ms: 1_500,
      start_deadline: new Date(1_800_000_000_000).toISOString(),
      result_retention_ms: 60_000,
      lease_token: 9,
      cancel_reason: 'because',
      data_count: 3,
      error: { code: 'E', message: 'why', details: 'more' },
      attempts: [{ number: 1, error: { code: 'E', message: 'why', details: 'more' } }],
    });
    const text = (await gearmesh(['jobs', 'get', ID, ...at()])).out;
    expect(text).toMatch(/^cancel_reason +because$/m);
  });

  test.each([
    ['failed', { code: 'E', message: 'why', details: 'more' }],
    ['cancelled', { code: 'E', message: 'why', details: 'more' }],
    ['expired', { code: 'E', message: 'why', details: 'more' }],
  ] as const)('is printed by --wait of one that %s too', async (state, told) => {
    b.node.watchJob = async (_namespace, id, watcher: JobWatcher) => {
      setImmediate(() => {
        watcher.state('accepted', jobView({ id }));
        watcher.data(1, 0, [Buffer.from('part')]);
        watcher.state('ended', jobView({ id, state, attempt: 1, dataCount: 1, error }));
      });
      return { close: () => {} };
    };
    const done = await gearmesh(['submit', 'f', 'x', ...at(), '--wait', '--json', '--id', ulid()]);
    expect(done.code).toBe(1);
    expect(JSON.parse(done.out)).toMatchObject({ state, attempt: 1, error: told, data: 'part' });
    expect(done.err).toContain('why');
  });
});

/** An id of now. */
function ulid(): string {
  const digits = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
  let [time, text] = [Date.now(), ''];
  for (let i = 0; i < 10; i++, time = Math.floor(time / 32)) text = digits[time % 32]! + text;
  return `${text}0000000000000000`;
}
