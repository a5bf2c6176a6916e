import { describe, expect, test } from 'vitest';
import { cliError, EXIT_OF_REASON } from '../../../src/cli/ask.js';
import { EXIT_CODES } from '../../../src/cli/exit-codes.js';
import { GearmeshError } from '../../../src/client/index.js';
import { ERRORS } from '../../../src/core/errors.js';
import { gearmesh } from './context.js';

/** Nothing listens here: port 1 needs privileges that nobody uses. */
const NOBODY = ['--endpoint', '127.0.0.1:1', '--timeout', '200ms'];

test('numbers are unique, and what they are', () => {
  const codes = Object.values(EXIT_CODES).map((e) => e.code);
  expect(new Set(codes).size).toBe(codes.length);
  expect(codes).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 70, 130, 143]);
});

test('every reason of the table of errors has an exit code', () => {
  for (const reason of Object.keys(ERRORS)) expect(Object.keys(EXIT_OF_REASON)).toContain(reason);
});

test.each(Object.entries(EXIT_OF_REASON))('%s ends with %s', (reason, exit) => {
  expect(cliError(new GearmeshError('UNKNOWN', reason, 'text')).exit).toBe(exit);
});

test('"nothing was changed" is said only when it is true', () => {
  const error = new GearmeshError('UNAVAILABLE', 'CONNECTION_LOST', 'text', { outcome: 'UNKNOWN' });
  expect(cliError(error).exit).toBe('UNKNOWN');
});

test('a word that this version does not know is a failure', () => {
  expect(cliError(new GearmeshError('INTERNAL', 'BRAND_NEW', 'text')).exit).toBe('FAILED');
});

test('fields and limits are named', () => {
  const fields = new GearmeshError('INVALID_ARGUMENT', 'INVALID_FIELD', 'text', {
    violations: [{ field: 'job.function', description: 'is empty' }],
  });
  expect(cliError(fields).hint).toBe('job.function: is empty');
  const limit = new GearmeshError('RESOURCE_EXHAUSTED', 'LIMIT_REACHED', 'text', {
    metadata: { limit: 'limits.jobs-max', value: '5' },
  });
  expect(cliError(limit).hint).toBe('limit limits.jobs-max = 5');
});

describe('command lines', () => {
  test.each([
    [['cluster', 'status', ...NOBODY], 4],
    [['queues', 'list', ...NOBODY], 4],
    [['submit', 'f', 'x', ...NOBODY], 4],
    [['submit', 'f', 'x', '--wait', ...NOBODY], 4],
    [['submit'], 2],
    [['submit', 'f', 'x', '--wait', '--background'], 2],
    [['submit', 'f', 'x', '--file', 'y'], 2],
    [['submit', 'f', '--file', '/nowhere/at-all'], 2],
    [['submit', 'f', '--priority', 'highest'], 2],
    [['submit', 'f', '--delay', 'soon'], 2],
    [['submit', 'f', '--at', 'tomorrow-ish'], 2],
    [['submit', 'f', '--meta', 'novalue'], 2],
    [['jobs', 'list', '--limit', '0'], 2],
    [['queues', 'purge', 'f', '--state', 'running'], 2],
    [['no-such-command'], 2],
    [['server', '--listen-grpc', '0.0.0.0:7730', '--check'], 2],
    [['server', '--check'], 0],
    [['dev', '--nodes', '0'], 2],
    [['version'], 0],
    [['--version'], 0],
  ])('gearmesh %j ends with %i', async (words, code) => {
    const done = await gearmesh(words);
    expect(done.code, done.err).toBe(code);
    if (code !== 0) {
      expect(done.out).toBe('');
      expect(done.err).not.toBe('');
    }
  });

  test('nobody there: the message says what to do', async () => {
    const { err } = await gearmesh(['queues', 'list', ...NOBODY]);
    expect(err).toContain('127.0.0.1:1');
    expect(err).toContain('gearmesh dev');
  });

  test('the endpoint also comes from the environment', async () => {
    const environment = { GEARMESH_ENDPOINT: '127.0.0.1:2, 127.0.0.1:1' };
    const { code, err } = await gearmesh(['queues', 'list', '--timeout', '200ms'], { environment });
    expect(code).toBe(4);
    expect(err).toMatch(/127\.0\.0\.1:[12]/);
  });

  test('settings of the server come from flags, the environment and the file, and are checked', async () => {
    const environment = { GEARMESH_HEARTBEAT_MS: '1s' };
    const { code, err } = await gearmesh(['server', '--check', '--log-level', 'loud'], { environment });
    expect(code).toBe(2);
    expect(err).toContain(
      'log-level = "loud" (from flag --log-level): expected one of debug, info, warn, error',
    );
    const other = await gearmesh(['server', '--check'], { environment });
    expect(other.err).toContain(
      'heartbeat-ms = 1000: expected at most a quarter of election-timeout-ms (400)',
    );
  });

  test("a node's args may follow as dev prints them", async () => {
    const args = [process.execPath, '/nowhere/gearmesh.js', 'server', '--id', 'n1', '--check'];
    expect((await gearmesh(args)).code).toBe(0);
    expect((await gearmesh(['server', ...args])).code).toBe(0);
  });
});
