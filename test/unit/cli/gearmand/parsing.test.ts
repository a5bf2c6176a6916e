import { describe, expect, it } from 'vitest';
import { isUlid, ulidTimeMs, ulidToBytes } from '../../../../src/base/ulid.js';
import {
  type AssignedJob,
  assignedJob,
  importId,
  sameJobPart,
  translated,
} from '../../../../src/cli/gearmand/assigned.js';
import { AnswerReader } from '../../../../src/cli/gearmand/link.js';
import { numberOf, parseJobs, parseStatus } from '../../../../src/cli/gearmand/look.js';
import { packet, REQUEST_MAGIC, response, TYPE } from '../../../../src/gearman/packets.js';

/** Goal: what a gearmand says is understood byte by byte, however it is cut, and a job's id stands for that job alone. */
const job: AssignedJob = {
  handle: 'H:old:7',
  function: Buffer.from('resize'),
  unique: Buffer.from('u'),
  reducer: Buffer.alloc(0),
  payload: Buffer.from([0, 1, 255, 0]),
};

describe('answers', () => {
  it('are the same however the stream is cut', () => {
    const stream = Buffer.concat([
      response(TYPE.NO_JOB),
      response(TYPE.JOB_ASSIGN, ['H:old:7', 'resize', job.payload]),
      response(TYPE.ECHO_RES, [Buffer.alloc(3_000, 'e')]),
      response(TYPE.NOOP),
    ]);
    for (const step of [1, 2, 11, 12, 13, 100, stream.length]) {
      const came: [number, Buffer][] = [];
      const reader = new AnswerReader((type, body) => came.push([type, Buffer.from(body)]));
      for (let at = 0; at < stream.length; at += step) reader.push(stream.subarray(at, at + step));
      expect(came.map(([type, body]) => [type, body.length])).toEqual([
        [TYPE.NO_JOB, 0],
        [TYPE.JOB_ASSIGN, 19],
        [TYPE.ECHO_RES, 3_000],
        [TYPE.NOOP, 0],
      ]);
      expect(assignedJob(...came[1]!)!.payload).toEqual(job.payload);
    }
  });

  it('with another magic are no answers', () => {
    const reader = new AnswerReader(() => {});
    expect(() => reader.push(packet(REQUEST_MAGIC, TYPE.NOOP))).toThrow('no Gearman server');
    expect(() => new AnswerReader(() => {}).push(Buffer.from('HTTP/1.1 400 Bad'))).toThrow('no Gearman');
  });
});

describe('assignments', () => {
  it('have what their packet has', () => {
    const { payload } = job;
    const plain = assignedJob(TYPE.JOB_ASSIGN, response(TYPE.JOB_ASSIGN, ['h', 'f', payload]).subarray(12))!;
    expect([plain.handle, plain.function.toString(), plain.payload]).toEqual(['h', 'f', payload]);
    expect([plain.unique.length, plain.reducer.length]).toEqual([0, 0]);
    const unique = assignedJob(
      TYPE.JOB_ASSIGN_UNIQ,
      response(TYPE.JOB_ASSIGN_UNIQ, ['h', 'f', 'u', payload]).subarray(12),
    )!;
    expect([unique.unique.toString(), unique.payload]).toEqual(['u', payload]);
    const all = assignedJob(
      TYPE.JOB_ASSIGN_ALL,
      response(TYPE.JOB_ASSIGN_ALL, ['h', 'f', '', 'sum', payload]).subarray(12),
    )!;
    expect([all.unique.length, all.reducer.toString(), all.payload]).toEqual([0, 'sum', payload]);
    expect(assignedJob(TYPE.JOB_ASSIGN_UNIQ, Buffer.from('h\0f'))).toBeNull();
    expect(assignedJob(TYPE.NO_JOB, Buffer.from('h\0f\0u\0r\0p'))).toBeNull();
  });

  it('become what our own port makes of such a job', () => {
    expect(translated(job)).toEqual({ function: 'resize', uniqueKey: 'u', metadata: {} });
    expect(translated({ ...job, reducer: Buffer.from('sum') })).toMatchObject({
      metadata: { 'gearman-reducer': 'sum' },
    });
    const dash = translated({ ...job, unique: Buffer.from('-') });
    expect(dash).toMatchObject({ uniqueKey: expect.stringMatching(/^-[0-9a-f]{64}$/) });
    expect(translated({ ...job, unique: Buffer.from([0xff]) })).toContain('not UTF-8');
    expect(translated({ ...job, function: Buffer.from([0xff]) })).toContain("function's name");
    expect(translated({ ...job, reducer: Buffer.from([1]) })).toContain('its reducer');
  });
});

describe('ids', () => {
  const minute = Date.UTC(2030, 0, 31, 12, 0);

  it('are ULIDs of the nearest minute, the same for the same job', () => {
    const id = importId('OK 1', job, minute);
    expect(isUlid(id)).toBe(true);
    const bytes = new Uint8Array(16);
    ulidToBytes(id, bytes);
    expect(ulidTimeMs(bytes)).toBe(minute);
    for (const ms of [-30_000, -1, 1, 29_999]) expect(importId('OK 1', job, minute + ms)).toBe(id);
    const later = importId('OK 1', job, minute + 30_000);
    expect(later).not.toBe(id);
    expect(sameJobPart(later)).toBe(sameJobPart(id));
  });

  it('differ in whatever differs, wherever one field ends and the next begins', () => {
    const others: [string, AssignedJob][] = [
      ['OK 2', job],
      ['OK 1', { ...job, handle: 'H:old:8' }],
      ['OK 1', { ...job, function: Buffer.from('resizeu'), unique: Buffer.alloc(0) }],
      ['OK 1', { ...job, unique: Buffer.alloc(0), reducer: Buffer.from('u') }],
      ['OK 1', { ...job, payload: Buffer.from([0, 1, 255]) }],
    ];
    const ids = [importId('OK 1', job, minute), ...others.map(([life, one]) => importId(life, one, minute))];
    expect(new Set(ids.map(sameJobPart)).size).toBe(ids.length);
  });
});

describe('lists', () => {
  it('of functions', () => {
    expect(parseStatus('a b\t3\t1\t2\nc\t0\t0\t0\n')).toEqual([
      { name: 'a b', total: 3, running: 1, workers: 2 },
      { name: 'c', total: 0, running: 0, workers: 0 },
    ]);
    expect(parseStatus('')).toEqual([]);
    expect(() => parseStatus('ERR UNKNOWN_COMMAND x')).toThrow('cannot be read');
  });

  it('of jobs tell those that a client waits for and those that lost a worker', () => {
    const seen = parseJobs('H:old:1\t0\t0\t1\nH:old:12\t2\t0\t1\nH:old:3\t0\t0\t0\n');
    expect(seen.count).toBe(3);
    expect([...seen.foreground]).toEqual(['H:old:3']);
    expect([...seen.lost]).toEqual(['H:old:12']);
    expect(seen.lastNumber).toBe(12);
    expect(parseJobs('ERR UNKNOWN_COMMAND show').lastNumber).toBe(Infinity);
    expect(() => parseJobs('H:old:1\t0')).toThrow('cannot be read');
    expect(numberOf('without')).toBe(0);
  });
});
