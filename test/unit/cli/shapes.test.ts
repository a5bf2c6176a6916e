import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { failureOf } from '../../../src/cli/commands/work.js';
import { table } from '../../../src/cli/context.js';
import { clusterJson, contentJson, scheduleJson } from '../../../src/cli/json-shapes.js';
import { readPayload } from '../../../src/cli/read-payload.js';
import { metadataEntry, moment, someOf, time, wholeNumber } from '../../../src/cli/values.js';
import { surroundings } from './context.js';

test('what "cluster status --json" prints keeps its form', () => {
  const json = clusterJson({
    id: 'c0ffee',
    name: 'gearmesh',
    leader: 'n1',
    term: 3,
    answeredBy: 'n1',
    hashDisagreement: '',
    nodes: [
      {
        name: 'n1',
        diskId: 'd1',
        role: 'leader',
        reachable: true,
        reachableSince: new Date(0),
        grpcAddress: '127.0.0.1:7730',
        httpAddress: '127.0.0.1:7732',
        peerAddress: '127.0.0.1:7731',
        version: '0.1.0',
        appliedIndex: 12,
        commitIndex: 13,
        logBytes: 14,
        stateHash: 'abc',
        stateHashIndex: 11,
        up: true,
        stalled: false,
      },
    ],
  });
  expect(json).toEqual({
    cluster: 'gearmesh',
    cluster_id: 'c0ffee',
    leader: 'n1',
    term: 3,
    hash_disagreement: null,
    nodes: [
      {
        id: 'n1',
        role: 'leader',
        reachable: true,
        reachable_since: '1970-01-01T00:00:00.000Z',
        up: true,
        stalled: false,
        applied_index: 12,
        commit_index: 13,
        state_hash: 'abc',
        state_hash_index: 11,
        log_bytes: 14,
        grpc: '127.0.0.1:7730',
        peer: '127.0.0.1:7731',
        http: '127.0.0.1:7732',
        version: '0.1.0',
        disk_id: 'd1',
      },
    ],
  });
});

test('without a leader it is null', () => {
  const nobody = { id: '', name: '', leader: '', term: 0, answeredBy: 'n1', hashDisagreement: '', nodes: [] };
  expect(clusterJson(nobody)).toMatchObject({ leader: null });
});

test('content is text where it can be, otherwise base 64', () => {
  expect(contentJson('result', Buffer.from('Grüße'))).toEqual({ result: 'Grüße' });
  expect(contentJson('result', Uint8Array.of(0xff, 0x00))).toEqual({ result_base64: '/wA=' });
});

test('a table has columns as wide as needed, numbers to the right', () => {
  expect(
    table(
      ['name', 'n'],
      [
        ['a', 1],
        ['longer', 100],
      ],
    ),
  ).toBe('name      n\na         1\nlonger  100');
  expect(table(['name', 'n'], [])).toBe('name  n');
});

describe('the payload', () => {
  const read = async (stdin: string, argument?: string, file?: string): Promise<string> => {
    const payload = readPayload(surroundings({ stdin }).context, argument, file);
    if (typeof payload === 'string') return payload;
    if (payload instanceof Uint8Array) return Buffer.from(payload).toString();
    const chunks: Uint8Array[] = [];
    const stream = typeof payload === 'function' ? payload() : payload;
    for await (const chunk of stream) chunks.push(Buffer.from(chunk as Uint8Array));
    return Buffer.concat(chunks).toString();
  };

  test('is the argument, the file or standard input', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'gearmesh-payload-'));
    writeFileSync(join(directory, 'f'), 'from file');
    expect(await read('from stdin', 'from argument')).toBe('from argument');
    expect(await read('from stdin', undefined, join(directory, 'f'))).toBe('from file');
    expect(await read('from stdin', '-')).toBe('from stdin');
    expect(await read('from stdin', undefined, '-')).toBe('from stdin');
    expect(await read('from stdin')).toBe('from stdin');
    for (const wrong of [directory, join(directory, 'nothing')]) {
      await expect(read('', undefined, wrong)).rejects.toMatchObject({ exit: 'USAGE' });
    }
    rmSync(directory, { recursive: true });
  });
  test('is nothing at a terminal', async () => {
    const { context } = surroundings({ stdin: 'never read' });
    const terminal = { ...context, stdin: Object.assign(context.stdin, { isTTY: true }) };
    expect(readPayload(terminal, undefined, undefined)).toHaveLength(0);
  });
});

test('values of flags', () => {
  expect(time('2m')).toBe(120_000);
  expect(() => time('2 weeks')).toThrow('Expected a time');
  expect(wholeNumber(1, 9)('9')).toBe(9);
  expect(() => wholeNumber(1, 9)('10')).toThrow('from 1 to 9');
  expect(() => wholeNumber(1, 9)('1.5')).toThrow('from 1 to 9');
  expect(moment('2030-01-31T12:00:00Z').getTime()).toBe(1_896_091_200_000);
  expect(someOf('a', 'b')('a, b', ['b'])).toEqual(['b', 'a', 'b']);
  expect(metadataEntry('a=b=c', { x: 'y' })).toEqual({ x: 'y', a: 'b=c' });
});

test('what a job remembers of a command that failed', () => {
  const run = { code: 1, signal: null, errorTail: '' };
  expect(failureOf(run)).toEqual({ code: 'EXIT_1', message: 'exit code 1' });
  expect(failureOf({ ...run, errorTail: 'no such file' })).toEqual({
    code: 'EXIT_1',
    message: 'no such file',
  });
  expect(failureOf({ ...run, code: null, signal: 'SIGKILL' })).toEqual({
    code: 'SIGKILL',
    message: 'ended by SIGKILL',
  });
});

test('what "schedules get --json" prints keeps its form', () => {
  const schedule = {
    id: 's',
    namespace: 'default',
    calendar: { minute: '30', hour: '6', dayOfMonth: '*', month: '*', dayOfWeek: '0' },
    function: 'f',
    priority: 'normal',
    payload: Buffer.from('p'),
    payloadSize: 1,
    contentType: 'text/plain',
    metadata: { k: 'v' },
    traceparent: '',
    uniqueKey: 'u',
    retry: undefined,
    runTimeoutMs: undefined,
    resultRetentionMs: undefined,
    createdAt: new Date(0),
    nextAt: new Date(60_000),
    lastAt: undefined,
    fired: 1,
    coalesced: 2,
    skipped: 3,
    skippedBy: 'limits.jobs-max',
    gearmanHandle: 'H:test:1',
    revision: 'r',
  } as const;
  const basic = {
    id: 's',
    namespace: 'default',
    function: 'f',
    calendar: { minute: '30', hour: '6', day_of_month: '*', month: '*', day_of_week: '0' },
    priority: 'normal',
    unique_key: 'u',
    max_attempts: null,
    created_at: '1970-01-01T00:00:00.000Z',
    next_at: '1970-01-01T00:01:00.000Z',
    last_at: null,
    fired: 1,
    coalesced: 2,
    skipped: 3,
    skipped_by: 'limits.jobs-max',
    metadata: { k: 'v' },
    content_type: 'text/plain',
    payload_size: 1,
    gearman_handle: 'H:test:1',
    revision: 'r',
  };
  expect(scheduleJson(schedule, false)).toEqual(basic);
  expect(scheduleJson(schedule, true)).toEqual({ ...basic, payload: 'p' });
});
