import { createHash, randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GearmeshError } from '../../../src/core/errors.js';
import { packet, REQUEST_MAGIC, TYPE } from '../../../src/gearman/packets.js';
import type { SubmitResult } from '../../../src/node/interface.js';
import { argsOf, type RawGearman } from '../../support/gearman.js';
import { type FakeSession, jobView, reservation } from '../api/fake-node.js';
import { Bed, created } from './bed.js';

/**
 * Goal: payloads and results over the limit for the log stream into blobs and out of them: nothing is held whole, the
 * socket waits for the blob and the blob for the socket, answers keep their order, and whoever breaks off in the middle
 * costs his own connection and leaves nothing behind.
 */
const INLINE = 1_000;
const LARGEST = 8 << 20;
const HANDLE = 'H:test:42';

let bed: Bed;

beforeEach(async () => {
  bed = new Bed();
  bed.node.settingsNow.payloadBytesMax = INLINE;
  bed.node.settingsNow.blobBytesMax = LARGEST;
  await bed.server.listen();
});

afterEach(() => bed.close());

const bytesOf = (size: number): Buffer => randomBytes(size);

/** A worker that holds the job 42, assigned to it with this lease. */
async function worker(token: number, payload?: Buffer): Promise<{ raw: RawGearman; session: FakeSession }> {
  const { node } = bed;
  const at = node.sessions.length;
  const raw = (await bed.open()).send('CAN_DO', 'resize').send('GRAB_JOB');
  await node.until(() => node.sessions.length === at + 1);
  await raw.expect('NO_JOB');
  const given = reservation(token);
  const blob = payload === undefined ? null : node.blobs.put(payload);
  const job = {
    ...given.job,
    payload: blob === null ? given.job.payload : Buffer.alloc(0),
    payloadBlob: blob,
  };
  node.ports[at]!.assigned([{ ...given, job }]);
  return { raw, session: node.sessions[at]! };
}

describe('a large submission', () => {
  it('becomes a job with a blob, whatever follows on the connection', async () => {
    const { node } = bed;
    const payload = bytesOf(3 << 20);
    const raw = await bed.open();
    raw.send('SUBMIT_REDUCE_JOB', 'sum', 'u', 'reducer', '', payload).send('ECHO_REQ', 'after');
    expect(await raw.expect('JOB_CREATED')).toBe(HANDLE);
    expect(await raw.expect('ECHO_RES')).toBe('after');
    const [spec] = node.submitted.flat();
    expect(spec).toMatchObject({
      function: 'sum',
      uniqueKey: 'u',
      metadata: [['gearman-reducer', 'reducer']],
    });
    expect(spec!.payload).toHaveLength(0);
    expect(node.blobs.stored.get(spec!.payloadBlob!.id)!.equals(payload)).toBe(true);
    expect(node.blobs.writers[0]).toMatchObject({ size: payload.length, writingMax: 1, state: 'finished' });
  });

  it.each([INLINE, INLINE + 1, INLINE + 2_047, INLINE + 2_049])(
    'of %i bytes is kept where it belongs',
    async (size) => {
      const payload = bytesOf(size);
      const raw = await bed.open();
      await raw.submit('SUBMIT_JOB_BG', 'f', '-', payload);
      const [spec] = bed.node.submitted.flat();
      const stored =
        spec!.payloadBlob === null ? spec!.payload : bed.node.blobs.stored.get(spec!.payloadBlob.id)!;
      expect(spec!.payloadBlob === null).toBe(size <= INLINE);
      expect(payload.equals(stored)).toBe(true);
      // Either way the payload's digest is what it coalesces by.
      expect(spec!.uniqueKey).toBe(`-${createHash('sha256').update(payload).digest('hex')}`);
    },
  );

  it('is not overtaken by those behind it, in the queue as in the answers', async () => {
    const { node } = bed;
    let finish = (): void => {};
    node.blobs.finishAnswer = () =>
      new Promise((resolve) => {
        finish = resolve;
        node.note();
      });
    let seq = 0;
    node.submitAnswer = async (specs) => specs.map(() => created(++seq));
    const raw = await bed.open();
    raw.send('SUBMIT_JOB_BG', 'f', 'before', 'x');
    raw.send('SUBMIT_JOB_BG', 'f', 'large', bytesOf(100_000));
    raw.send('SUBMIT_JOB_BG', 'f', 'behind', 'x');
    const reached = node.until(() => node.blobs.writers[0]?.bytes === 100_000);
    expect(await raw.expect('JOB_CREATED')).toBe('H:test:1');
    await reached;
    finish();
    expect(await raw.expect('JOB_CREATED')).toBe('H:test:2');
    expect(await raw.expect('JOB_CREATED')).toBe('H:test:3');
    expect(node.submitted.flat().map(({ uniqueKey }) => uniqueKey)).toEqual(['before', 'large', 'behind']);
  });

  it('is read no faster than it is stored, and holds up nobody else', async () => {
    const { node } = bed;
    let go = (): void => {};
    node.blobs.writeAnswer = () => new Promise((resolve) => (go = resolve));
    const raw = await bed.open();
    const other = await bed.open();
    raw.send('SUBMIT_JOB_BG', 'f', '', bytesOf(8 << 20));
    await node.until(() => (node.blobs.writers[0]?.writing ?? 0) === 1);
    for (let i = 0; i < 20; i++) await other.before();
    const [writer] = node.blobs.writers;
    expect(writer!.writing).toBe(1);
    // What is not read stays with the client.
    expect(raw.socket.writableLength).toBeGreaterThan(1 << 20);
    node.blobs.writeAnswer = async () => {};
    go();
    await raw.expect('JOB_CREATED');
    expect(writer!.writingMax).toBe(1);
  });

  it('over the limit is skipped, and the connection lives', async () => {
    const raw = await bed.open();
    raw.send('SUBMIT_JOB', 'f', '', Buffer.alloc(LARGEST + 1));
    expect(await raw.expect('ERROR')).toMatch(
      /^ARGUMENT_TOO_LARGE\0.*the limit of a payload or result is 8388608$/,
    );
    await raw.submit('SUBMIT_JOB_BG', 'f', '', Buffer.alloc(LARGEST));
    expect(bed.node.blobs.writers).toHaveLength(1);
  });

  it.each([
    ['a function without a name', ['', 'u'], 'INVALID_ARGUMENT'],
    ['a unique id that is too long', ['f', 'u'.repeat(65)], 'ARGUMENT_TOO_LARGE'],
    ['arguments without an end', ['f'.repeat(4_000)], 'INVALID_PACKET'],
  ])('with %s is refused before anything is stored', async (_, args, code) => {
    const raw = await bed.open();
    raw.send('SUBMIT_JOB', ...args, Buffer.alloc(100_000, 'x')).send('ECHO_REQ', 'alive');
    expect(await raw.expect('ERROR')).toMatch(new RegExp(`^${code}\0`));
    await raw.expect('ECHO_RES');
    expect(bed.node.blobs.writers).toEqual([]);
  });

  it('that cannot be stored, or is not accepted, is an error in its place and leaves nothing', async () => {
    const { node } = bed;
    const raw = await bed.open();
    node.blobs.finishAnswer = async () => {
      throw new GearmeshError('NO_LEADER');
    };
    raw.send('SUBMIT_JOB', 'f', '', bytesOf(100_000)).send('SUBMIT_JOB_BG', 'f', '', 'small');
    expect(await raw.expect('ERROR')).toMatch(/^NO_LEADER\0/);
    await raw.expect('JOB_CREATED');
    node.blobs.finishAnswer = async () => {};
    const refused = { ...created(0), error: new GearmeshError('LIMIT_REACHED') };
    node.submitAnswer = async (): Promise<SubmitResult[]> => [refused];
    expect(await raw.send('SUBMIT_JOB', 'f', '', bytesOf(100_000)).expect('ERROR')).toMatch(/^QUEUE_ERROR\0/);
    node.submitAnswer = async () => [{ ...created(7), disposition: 'coalesced' }];
    await raw.submit('SUBMIT_JOB_BG', 'f', 'same', bytesOf(100_000));
    await node.until(() => node.blobs.stored.size === 0);
    expect(node.blobs.writers.map(({ state }) => state)).toEqual(['aborted', 'aborted', 'aborted']);
  });

  it('that nobody begins to store for want of a leader is given up after a while', async () => {
    const { node, clock } = bed;
    node.blobs.createAnswer = (_, { signal }) =>
      new Promise((_resolve, reject) => {
        signal!.addEventListener('abort', () => reject(new GearmeshError('NO_LEADER')));
      });
    const raw = await bed.open();
    raw.send('SUBMIT_JOB', 'f', '', bytesOf(4 << 20));
    await node.until(() => node.calls.some(([name]) => name === 'createBlob'));
    clock.advance(10_000);
    expect(await raw.expect('ERROR')).toMatch(/^NO_LEADER\0/);
    expect(await raw.send('ECHO_REQ', 'alive').expect('ECHO_RES')).toBe('alive');
  });
});

describe('half a payload', () => {
  const half = (): Buffer =>
    packet(REQUEST_MAGIC, TYPE.SUBMIT_JOB, ['f', '', Buffer.alloc(1 << 20)]).subarray(0, 100_000);

  it('is given up when its connection is reset, a thousand times', async () => {
    const { node } = bed;
    for (let i = 0; i < 1_000; i++) {
      const raw = await bed.open();
      raw.bytes(half());
      if (i % 100 === 0) await node.until(() => node.blobs.writers.length > i / 2);
      raw.socket.resetAndDestroy();
    }
    await node.until(() => node.blobs.writers.every(({ state }) => state === 'aborted'));
    expect(node.submitted).toEqual([]);
    expect(await (await bed.open()).send('ECHO_REQ', 'alive').expect('ECHO_RES')).toBe('alive');
    expect(node.blobs.stored.size).toBe(0);
  });

  it('ends the connection when the client closes its side, or says nothing more', async () => {
    const { node, clock } = bed;
    // Without the header, the function's name and the NULs behind it and the unique id.
    const came = 100_000 - 12 - 3;
    const closing = await bed.open();
    closing.bytes(half());
    await node.until(() => node.blobs.writers[0]?.bytes === came);
    closing.socket.end();
    await closing.closed();
    const silent = await bed.open();
    silent.bytes(half());
    await node.until(() => node.blobs.writers[1]?.bytes === came);
    await clock.walk(60_000, 10_000);
    await silent.closed();
    await node.until(() => node.blobs.writers.every(({ state }) => state === 'aborted'));
  });

  it('keeps nobody else from uploading, however many of them say nothing', async () => {
    const { node, clock } = bed;
    node.blobs.createAnswer = async () => {
      if (node.blobs.writers.filter(({ state }) => state === 'open').length < 3) return;
      throw new GearmeshError('LIMIT_REACHED', { metadata: { limit: 'blob-uploads-max', value: '3' } });
    };
    const silent: RawGearman[] = [];
    for (let i = 0; i < 3; i++) {
      silent.push((await bed.open()).bytes(half()));
      await node.until(() => node.blobs.writers[i]?.bytes === 100_000 - 12 - 3);
      clock.advance(400);
    }
    // The first of them has been silent for 1,200 ms, the second for 800.
    const raw = await bed.open();
    raw.send('SUBMIT_JOB_BG', 'f', '', bytesOf(100_000));
    await silent[0]!.closed();
    clock.advance(50);
    await raw.expect('JOB_CREATED');
    expect(node.blobs.writers.map(({ state }) => state)).toEqual(['aborted', 'open', 'open', 'finished']);
  });

  it('keeps others waiting while it comes, but not for ever', async () => {
    const { node, clock } = bed;
    let refused = 0;
    node.blobs.createAnswer = async () => {
      if (node.blobs.writers.every(({ state }) => state !== 'open')) return;
      refused++;
      throw new GearmeshError('LIMIT_REACHED', { metadata: { limit: 'blob-uploads-max', value: '1' } });
    };
    // Nobody has been silent for so long that he had to go.
    const before = (await bed.open()).bytes(half());
    await node.until(() => node.blobs.writers[0]?.bytes === 100_000 - 12 - 3);
    const raw = await bed.open();
    raw.send('SUBMIT_JOB_BG', 'f', '', bytesOf(100_000));
    await node.until(() => refused === 1);
    before.bytes(Buffer.alloc((1 << 20) + 12 + 3 - 100_000));
    await before.expect('JOB_CREATED');
    await clock.walk(50, 50);
    await raw.expect('JOB_CREATED');

    const talker = (await bed.open()).bytes(half());
    await node.until(() => node.blobs.writers.length === 3);
    raw.send('SUBMIT_JOB_BG', 'f', '', bytesOf(100_000));
    await node.until(() => refused === 2);
    const answer = raw.next();
    for (let ms = 0; ms < 10_000; ms += 500) {
      const came = node.blobs.writers[2]!.bytes;
      talker.bytes(Buffer.alloc(100));
      await node.until(() => node.blobs.writers[2]!.bytes > came);
      await clock.walk(500, 50);
    }
    expect((await answer).body.toString()).toMatch(/^QUEUE_ERROR\0/);
  });

  it('of which only the header came costs nothing', async () => {
    const { node } = bed;
    const claims: RawGearman[] = [];
    for (let i = 0; i < 1_000; i++) {
      const header = packet(REQUEST_MAGIC, TYPE.SUBMIT_JOB);
      header.writeUInt32BE(LARGEST, 8);
      claims.push((await bed.open()).bytes(header));
    }
    await (await bed.open()).before();
    expect(node.blobs.writers).toEqual([]);
    for (const one of claims) one.end();
  });
});

describe('a large job', () => {
  it('streams to its worker in each kind of packet', async () => {
    for (const [kind, name, count] of [
      ['GRAB_JOB', 'JOB_ASSIGN', 3],
      ['GRAB_JOB_UNIQ', 'JOB_ASSIGN_UNIQ', 4],
      ['GRAB_JOB_ALL', 'JOB_ASSIGN_UNIQ', 4],
    ] as const) {
      const payload = bytesOf(2 << 20);
      const { raw } = await worker(11, payload);
      raw.send(kind).send('ECHO_REQ', 'behind');
      const came = await raw.next();
      expect(came.name).toBe(name);
      expect(argsOf(came, count).slice(0, 2)).toEqual([HANDLE, 'resize']);
      expect(came.body.subarray(-payload.length).equals(payload)).toBe(true);
      expect(await raw.expect('ECHO_RES')).toBe('behind');
    }
  });

  it('is read no faster than its worker reads', async () => {
    const { node } = bed;
    let read = 0;
    node.blobs.readAnswer = async (at) => {
      read = at;
    };
    const { raw } = await worker(11, bytesOf(8 << 20));
    raw.socket.pause();
    raw.send('GRAB_JOB');
    const other = await bed.open();
    for (let before = -1; before !== read || read === 0; ) {
      before = read;
      for (let i = 0; i < 20; i++) await other.before();
    }
    expect(read).toBeLessThan(7 << 20);
    raw.socket.resume();
    expect((await raw.next()).name).toBe('JOB_ASSIGN');
  });

  it('goes back when its worker stops reading', async () => {
    const { node, clock } = bed;
    const { raw, session } = await worker(11, bytesOf(8 << 20));
    raw.socket.pause();
    raw.send('GRAB_JOB');
    await node.until(() => node.blobs.reading === 1);
    while (bed.server.connections > 0) await clock.walk(30_000, 30_000);
    await node.until(() => session.said.at(-1)?.[0] === 'detach');
    expect(node.blobs.reading).toBe(0);
  });

  it.each([0, 1 << 20])(
    'goes back, and its connection ends, when the blob cannot be read from byte %i on',
    async (from) => {
      const { node } = bed;
      node.blobs.readAnswer = async (at) => {
        if (at >= from) throw new GearmeshError('NOT_FOUND');
      };
      const { raw, session } = await worker(11, bytesOf(2 << 20));
      await raw.send('GRAB_JOB').closed();
      await node.until(() => session.said.at(-1)?.[0] === 'detach');
    },
  );

  it('goes back when the blob is shorter than it should be', async () => {
    const { node } = bed;
    const { raw, session } = await worker(11, bytesOf(2 << 20));
    for (const [id, bytes] of node.blobs.stored) node.blobs.stored.set(id, bytes.subarray(1));
    await raw.send('GRAB_JOB').closed();
    await node.until(() => session.said.at(-1)?.[0] === 'detach');
  });
});

describe('a large result', () => {
  it('is stored before its job is settled, and the worker gets on meanwhile', async () => {
    const { node } = bed;
    const { raw, session } = await worker(11);
    await raw.send('GRAB_JOB').expect('JOB_ASSIGN');
    const outcomes: unknown[] = [];
    session.answer = async (all) => {
      outcomes.push(...all);
      return all.map(({ token }) => ({ token, revision: 1, error: null }));
    };
    let finish = (): void => {};
    node.blobs.finishAnswer = () =>
      new Promise((resolve) => {
        finish = resolve;
        node.note();
      });
    const result = bytesOf(1 << 20);
    const stored = node.until(() => node.blobs.writers[0]?.bytes === result.length);
    raw.send('WORK_COMPLETE', HANDLE, result).send('WORK_FAIL', HANDLE).send('GRAB_JOB');
    expect(await raw.expect('ERROR')).toMatch(/^JOB_NOT_FOUND\0/);
    await raw.expect('NO_JOB');
    await stored;
    expect(outcomes).toEqual([]);
    finish();
    await node.until(() => outcomes.length === 1);
    const [said] = outcomes as { result: Uint8Array; resultBlob: { id: string; size: number } }[];
    expect(said).toMatchObject({ kind: 'complete', token: 11, resultBlob: { size: result.length } });
    expect(said!.result).toHaveLength(0);
    expect(node.blobs.stored.get(said!.resultBlob.id)!.equals(result)).toBe(true);
  });

  it('counts though the worker goes as soon as it has said it', async () => {
    const { node } = bed;
    const { raw, session } = await worker(11);
    await raw.send('GRAB_JOB').expect('JOB_ASSIGN');
    let finish = (): void => {};
    node.blobs.finishAnswer = () =>
      new Promise((resolve) => {
        finish = resolve;
        node.note();
      });
    const ended = node.until(() => node.blobs.writers[0]?.bytes === 100_000);
    raw.send('WORK_COMPLETE', HANDLE, bytesOf(100_000));
    await ended;
    raw.end();
    while (bed.server.connections > 0) await new Promise(setImmediate);
    expect(session.said.map(([what]) => what)).not.toContain('detach');
    let settle = (): void => {};
    session.answer = (all) =>
      new Promise((resolve) => {
        settle = () => resolve(all.map(({ token }) => ({ token, revision: 1, error: null })));
      });
    finish();
    await node.until(() => session.said.at(-1)?.[0] === 'settle' && session.said.length > 2);
    await new Promise(setImmediate);
    expect(session.said.map(([what]) => what)).not.toContain('detach');
    settle();
    await node.until(() => session.said.at(-1)?.[0] === 'detach');
    expect(session.said.slice(-2)).toEqual([['settle', ['complete 11'], 0], ['detach']]);
  });

  it('that breaks off gives the job back', async () => {
    const { node } = bed;
    const { raw, session } = await worker(11);
    await raw.send('GRAB_JOB').expect('JOB_ASSIGN');
    raw.bytes(
      packet(REQUEST_MAGIC, TYPE.WORK_COMPLETE, [HANDLE, Buffer.alloc(1 << 20)]).subarray(0, 500_000),
    );
    await node.until(() => (node.blobs.writers[0]?.bytes ?? 0) > 100_000);
    raw.socket.resetAndDestroy();
    await node.until(() => session.said.at(-1)?.[0] === 'detach');
    await node.until(() => node.blobs.writers[0]!.state === 'aborted');
    expect(session.said.map(([what]) => what)).toEqual(['settle', 'start', 'detach']);
  });

  it('that cannot be stored gives the job back', async () => {
    const { node } = bed;
    const { raw, session } = await worker(11);
    await raw.send('GRAB_JOB').expect('JOB_ASSIGN');
    node.blobs.writeAnswer = async () => {
      throw new GearmeshError('LIMIT_REACHED', { message: 'limits.blobs-total-bytes-max is reached' });
    };
    raw.send('WORK_COMPLETE', HANDLE, bytesOf(1 << 20));
    expect(await raw.expect('ERROR')).toBe('QUEUE_ERROR\0limits.blobs-total-bytes-max is reached');
    expect(session.said.at(-1)).toEqual(['settle', ['release 11'], 0]);
  });

  it('over the limit fails the job', async () => {
    const { raw, session } = await worker(11);
    await raw.send('GRAB_JOB').expect('JOB_ASSIGN');
    raw.send('WORK_COMPLETE', HANDLE, Buffer.alloc(LARGEST + 1));
    expect(await raw.expect('ERROR')).toMatch(/^ARGUMENT_TOO_LARGE\0/);
    await raw.before();
    expect(session.said.at(-1)![1]).toEqual(['fail 11']);
  });

  it('of a job that the worker does not have is told once, and not stored', async () => {
    const { raw } = await worker(11);
    raw.send('WORK_COMPLETE', 'H:test:9', bytesOf(100_000)).send('WORK_DATA', 'H:test:9', bytesOf(500_000));
    const came = await raw.before();
    expect(came.map(({ name, body }) => `${name} ${body.toString().split('\0')[0]}`)).toEqual([
      'ERROR JOB_NOT_FOUND',
      'ERROR JOB_NOT_FOUND',
    ]);
    expect(bed.node.blobs.writers).toEqual([]);
  });

  it('streams to its client, and what comes meanwhile waits behind it', async () => {
    const { node } = bed;
    const raw = await bed.open();
    await raw.submit('SUBMIT_JOB', 'a', '', 'x');
    await node.until(() => node.watchers.length === 1);
    await raw.submit('SUBMIT_JOB', 'a', '', 'y');
    await node.until(() => node.watchers.length === 2);
    const result = bytesOf(2 << 20);
    const small = jobView({ state: 'succeeded', result: Buffer.from('r') });
    node.watchers[0]!.state('ended', jobView({ state: 'succeeded', resultBlob: node.blobs.put(result) }));
    node.watchers[1]!.progress(1, 2, '');
    node.watchers[1]!.state('ended', small);
    const came = await raw.next();
    expect(came.name).toBe('WORK_COMPLETE');
    expect(came.body.subarray(0, HANDLE.length + 1).toString()).toBe(`${HANDLE}\0`);
    expect(came.body.subarray(HANDLE.length + 1).equals(result)).toBe(true);
    expect((await raw.next()).name).toBe('WORK_STATUS');
    expect(await raw.expect('WORK_COMPLETE')).toBe(`${HANDLE}\0r`);
  });

  it('that is not read while more and more waits behind it ends the connection', async () => {
    await bed.close();
    bed = new Bed({ limits: { outBytesMax: 1 << 20 } });
    await bed.server.listen();
    const { node } = bed;
    const raw = await bed.open();
    await raw.submit('SUBMIT_JOB', 'a', '', 'x');
    await node.until(() => node.watchers.length === 1);
    raw.socket.pause();
    const [watcher] = node.watchers;
    watcher!.state('ended', jobView({ state: 'succeeded', resultBlob: node.blobs.put(bytesOf(8 << 20)) }));
    await node.until(() => node.blobs.reading === 1);
    watcher!.data(1, 0, [Buffer.alloc(1 << 20)]);
    await node.until(() => node.watchesClosed === 1);
    while (bed.server.connections > 0) await bed.clock.walk(30_000, 30_000);
    await node.until(() => node.blobs.reading === 0);
  });
});

describe('other large packets', () => {
  it('data goes on in pieces, a warning and an exception are cut off', async () => {
    const { node } = bed;
    const { raw, session } = await worker(11);
    await raw.send('GRAB_JOB').expect('JOB_ASSIGN');
    const progress = (): unknown[][] => node.calls.filter(([name]) => name === 'reportProgress');
    raw
      .send('WORK_DATA', HANDLE, Buffer.alloc(500_000, 'd'))
      .send('WORK_WARNING', HANDLE, 'w'.repeat(100_000));
    await raw.before();
    const pieces = session.said.filter(([what]) => what === 'data') as [string, number, number, string[]][];
    expect(pieces.map(([, , first]) => first)).toEqual(pieces.map((_, i) => i));
    expect(pieces.map(([, , , [chunk]]) => chunk).join('')).toBe('d'.repeat(500_000));
    for (const [, , , [chunk]] of pieces) expect(chunk!.length).toBeLessThanOrEqual(64 << 10);
    expect(progress()).toEqual([['reportProgress', 11, 0, 0, 'w'.repeat(4_096)]]);
    const failures: { error: { details: Uint8Array } }[] = [];
    session.answer = async (all) => {
      failures.push(...(all as never[]));
      return all.map(({ token }) => ({ token, revision: 1, error: null }));
    };
    raw.send('WORK_EXCEPTION', HANDLE, 'e'.repeat(100_000)).send('WORK_FAIL', HANDLE);
    expect(await raw.before()).toEqual([]);
    expect(Buffer.from(failures[0]!.error.details).toString()).toBe('e'.repeat(INLINE));
  });

  it('an echo is refused', async () => {
    const raw = (await bed.open()).send('ECHO_REQ', Buffer.alloc(100_000));
    expect(await raw.expect('ERROR')).toMatch(/^ARGUMENT_TOO_LARGE\0.*the limit of such a packet is 1000$/);
  });
});
