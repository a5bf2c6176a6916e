import { describe, expect, it } from 'vitest';
import { BLOB_COUNT_MS, type BlobRef } from '../../../src/core/index.js';
import { UNNAMED_MS } from '../../../src/node/blobs/keeper.js';
import { BlobBed, content, sha256 } from './blob-bed.js';
import { jobSpec } from './parts.js';

const MIB = 2 ** 20;

describe('a payload outside the log', () => {
  it('is accepted, read anywhere from any place, and gone with its job', async () => {
    const bed = await BlobBed.started(1);
    const bytes = content(3 * MIB + 17);
    const id = await bed.submitBlob(bed.follower, bytes);
    await bed.until(() => bed.agree());
    const ref = bed.job(bed.leader, id).payloadBlob!;
    expect(ref).toMatchObject({ size: bytes.length, digest: sha256(bytes) });
    expect(bed.job(bed.leader, id).payload).toHaveLength(0);
    await bed.until(() => bed.cluster.nodes.every((node) => bed.statistics(node).held === 1));
    for (const node of bed.cluster.nodes) {
      expect(sha256(await bed.read(node, ref))).toEqual(sha256(bytes));
      expect(bed.core(node).counts()).toMatchObject({ blobs: 1, blobBytes: bytes.length });
    }
    for (const offset of [1, 131_071, 131_072, 131_073, 3 * MIB, bytes.length - 1]) {
      expect(sha256(await bed.read(bed.follower, ref, offset))).toEqual(sha256(bytes.subarray(offset)));
    }
    expect(await bed.read(bed.follower, ref, bytes.length)).toHaveLength(0);

    await bed.settled(bed.leader.node!.cancelJob('default', id, 'enough', 0, {}));
    await bed.settled(bed.leader.node!.deleteJob('default', id, {}));
    await bed.until(() => bed.cluster.nodes.every((node) => bed.files(node).length === 0));
    expect(bed.core(bed.leader).counts()).toMatchObject({ blobs: 0, blobBytes: 0 });
    await expect(bed.read(bed.leader, ref)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('may be a result, too', async () => {
    const bed = await BlobBed.started(2);
    const { session, got } = await bed.worker(bed.follower, 1);
    const id = await bed.submit(bed.leader);
    await bed.until(() => got.length === 1);
    const bytes = content(MIB + 1);
    const resultBlob = await bed.upload(bed.follower, bytes);
    const outcome = {
      kind: 'complete' as const,
      jobId: id,
      token: got[0]!.token,
      result: Buffer.alloc(0),
      resultBlob,
      resultContentType: 'x/y',
      dataCount: 0,
    };
    const [told] = await bed.settled(session.settle([outcome], 2));
    expect(told!.error).toBeNull();
    await bed.until(() => bed.agree());
    const job = bed.job(bed.leader, id);
    expect(job).toMatchObject({
      state: 'succeeded',
      resultBlob: { id: resultBlob.id },
      resultContentType: 'x/y',
    });
    expect(sha256(await bed.read(bed.leader, job.resultBlob!))).toEqual(sha256(bytes));
    // Said again, as one who missed the answer does: the same blob is not known to this node any more.
    const [again] = await bed.settled(
      session.settle([{ ...outcome, resultBlob: await bed.upload(bed.follower, bytes) }], 2),
    );
    expect(again).toMatchObject({ error: null, revision: told!.revision });
    await bed.until(() => bed.cluster.nodes.every((node) => bed.files(node).length === 1));
  });

  it('by the plain call', async () => {
    const bed = await BlobBed.started(3);
    const node = bed.follower.node!;
    await bed.submit(bed.follower);
    const lease = node.leaseJobs(
      {
        namespace: 'default',
        worker: 'w',
        functions: [{ name: 'f', concurrency: 0, runTimeoutMs: 0 }],
        maxJobs: 1,
        waitMs: 5_000,
        durationMs: 60_000,
        requestId: 'r',
      },
      {},
    );
    const [assignment] = await bed.settled(lease);
    const { token, job } = assignment!;
    const resultBlob = await bed.upload(bed.follower, content(400_000));
    const settled = node.settle(
      'default',
      job.id,
      {
        kind: 'complete',
        seq: 0,
        token,
        result: Buffer.alloc(0),
        resultBlob,
        resultContentType: '',
        dataCount: 0,
      },
      {},
    );
    expect(await bed.settled(settled)).toMatchObject({ token, error: null });
    expect(bed.job(bed.follower, job.id)).toMatchObject({
      state: 'succeeded',
      resultBlob: { id: resultBlob.id },
    });
  });

  it('is named once: what did not take it leaves nothing behind', async () => {
    const bed = await BlobBed.started(4);
    const bytes = content(300_000);
    const first = await bed.submitBlob(bed.leader, bytes, { uniqueKey: 'k' });
    const joined = await bed.upload(bed.leader, bytes);
    const spec = { payload: Buffer.alloc(0), uniqueKey: 'k' };
    await bed.submit(bed.leader, { ...spec, payloadBlob: joined });
    await bed.until(() => bed.cluster.nodes.every((node) => bed.files(node).length === 1));
    expect(await bed.error(bed.leader, { payload: spec.payload, payloadBlob: joined })).toMatchObject({
      code: 'NOT_FOUND',
      outcome: 'NOT_APPLIED',
    });
    // The same submission again, uploaded anew: found by its content.
    const again = await bed.upload(bed.follower, bytes);
    await bed.submit(bed.follower, { ...spec, id: first, payloadBlob: again });
    const other = await bed.upload(bed.follower, content(300_000, 2));
    const reused = { ...spec, id: first, payloadBlob: other };
    expect(await bed.error(bed.follower, reused)).toMatchObject({ code: 'ID_REUSED' });
  });

  it('may be named through any node, and again by whoever missed the answer', async () => {
    const bed = await BlobBed.started(5);
    const [one, two] = bed.others(bed.leader);
    const bytes = content(MIB);
    const spec = {
      id: one.node!.newJobId(),
      payload: Buffer.alloc(0),
      payloadBlob: await bed.upload(one, bytes),
    };
    // This one does not even have it.
    two.kill();
    two.disk.lose(bed.files(two)[0]!);
    void two.start();
    await bed.until(() => bed.cluster.allReady(), 30_000);
    const calls = [one, two, bed.leader, two].map((node) => bed.submit(node, spec));
    expect(await Promise.all(calls)).toEqual(Array(4).fill(spec.id));
    await bed.until(() => bed.agree());
    await bed.pass(2_000);
    for (const node of bed.cluster.nodes) {
      expect(bed.files(node)).toHaveLength(1);
      expect(bed.job(node, spec.id).payloadBlob).toMatchObject({ id: spec.payloadBlob.id });
      expect(sha256(await bed.read(node, spec.payloadBlob))).toEqual(sha256(bytes));
    }
  });

  it('is not said to be nowhere as long as those may have it that do not answer', async () => {
    const bed = await BlobBed.started(12);
    const [one, two] = bed.others(bed.leader);
    const bytes = content(300_000);
    const blob = await bed.upload(one, bytes);
    await bed.until(() => bed.cluster.nodes.every((node) => bed.files(node).length === 1));
    two.kill();
    two.disk.lose(bed.files(two)[0]!);
    void two.start();
    await bed.until(() => bed.cluster.allReady(), 30_000);
    const { network } = bed.cluster;
    const heal: (() => void)[] = [];
    for (const other of [one, bed.leader]) {
      heal.push(network.cut(two.name, other.name), network.cut(other.name, two.name));
      network.disconnect(two.name, other.name);
    }
    await bed.pass(100);
    const failed = { code: 'NO_LEADER', message: expect.stringContaining('did not answer') };
    await expect(bed.read(two, blob)).rejects.toMatchObject(failed);
    for (const undo of heal) undo();
    await bed.pass(5_000);
    expect(sha256(await bed.read(two, blob))).toEqual(sha256(bytes));
    // All are asked, and none has it.
    const none = { id: 'ab'.repeat(16), size: 5, digest: Buffer.alloc(32) };
    await expect(bed.read(two, none)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('that nobody has is refused alone', async () => {
    const bed = await BlobBed.started(6);
    const node = bed.leader.node!;
    const none = { id: 'ab'.repeat(16), size: 5, digest: Buffer.alloc(32) };
    const good = await bed.upload(bed.leader, content(1_000));
    const specs = [null, none, good].map((payloadBlob) => jobSpec({ id: node.newJobId(), payloadBlob }));
    const told = await bed.settled(node.submit('default', specs, { allOrNothing: false }));
    expect(told.map(({ error }) => error?.code ?? null)).toEqual([null, 'NOT_FOUND', null]);
    const fresh = specs.map((spec) => ({ ...spec, id: node.newJobId() }));
    const all = await bed.settled(node.submit('default', fresh.slice(0, 2), { allOrNothing: true }));
    expect(all.map(({ error }) => error?.code)).toEqual(['NOT_FOUND', 'NOT_FOUND']);
  });
});

describe('an upload', () => {
  it('needs a majority, not all', async () => {
    const bed = await BlobBed.started(11);
    const [one, down] = bed.others(bed.leader);
    down.kill();
    const bytes = content(2 * MIB);
    const id = await bed.submitBlob(one, bytes);
    const ref = bed.job(one, id).payloadBlob!;
    expect(bed.files(bed.leader)).toHaveLength(1);
    void down.start();
    await bed.until(() => bed.cluster.allReady() && bed.statistics(down).fetched === 1, 30_000);
    expect(bed.statistics(down)).toMatchObject({ held: 1, missing: 0, fetched: 1 });
    // Both others gone: what it serves is its own.
    one.kill();
    bed.leader.kill();
    expect(sha256(await bed.read(down, ref))).toEqual(sha256(bytes));
  });

  it('is finished only when a majority has it under its name, synced', async () => {
    const bed = await BlobBed.started(18);
    const others = bed.others(bed.leader);
    const held: (() => void)[] = [];
    for (const { disk } of others) {
      const before = disk.before!;
      disk.before = async (operation) => {
        const directory = operation.kind === 'syncDirectory' && operation.path.endsWith('/blobs');
        if (directory) await new Promise<void>((resolve) => held.push(resolve));
        return before(operation);
      };
    }
    const writer = await bed.begin(bed.leader);
    await bed.settled(bed.give(writer, content(300_000)));
    let ref: BlobRef | null = null;
    void writer.finish().then((done) => {
      ref = done;
    });
    await bed.until(() => held.length === 2);
    await bed.pass(3_000);
    expect(bed.files(bed.leader)[0]).toMatch(/\.blob$/);
    expect(ref).toBeNull();
    held[0]!();
    await bed.until(() => ref !== null);
  });

  it('that no majority takes is given up, and says so', async () => {
    const bed = await BlobBed.started(12);
    const writer = await bed.begin(bed.leader);
    const { leader } = bed;
    for (const other of bed.others(leader)) other.kill();
    await expect(bed.settled(bed.give(writer, content(8 * MIB)), 60_000)).rejects.toMatchObject({
      code: 'NO_LEADER',
      outcome: 'NOT_APPLIED',
    });
    await bed.pass(1_000);
    expect(bed.files(leader)).toEqual([]);
    expect(bed.statistics(leader).uploads).toBe(0);
  });

  it('that gets nothing is given up, unless it is said to go on', async () => {
    const bed = await BlobBed.started(15);
    const [silent, alive] = [await bed.begin(bed.leader), await bed.begin(bed.leader)];
    for (let i = 0; i < 3; i++) {
      await bed.pass(60_000);
      await bed.settled(alive.write(Buffer.alloc(0)));
    }
    await expect(bed.settled(silent.write(content(10)))).rejects.toMatchObject({ code: 'CANCELLED' });
    await bed.settled(alive.write(content(10)));
    expect(await bed.settled(alive.finish())).toMatchObject({ size: 10 });
  });

  it('holds the writer back as long as the majority does not follow', async () => {
    const bed = await BlobBed.started(13);
    const writer = await bed.begin(bed.leader);
    const { leader } = bed;
    for (const other of bed.others(leader)) {
      bed.cluster.network.cut(leader.name, other.name);
      bed.cluster.network.cut(other.name, leader.name);
    }
    let taken = 0;
    const bytes = content(16 * MIB);
    const giving = (async () => {
      for (let at = 0; at < bytes.length; at += MIB) {
        await writer.write(Buffer.from(bytes.subarray(at, at + MIB)));
        taken = at + MIB;
      }
    })();
    giving.catch(() => {});
    await bed.pass(2_000);
    expect(taken).toBeLessThanOrEqual(6 * MIB);
    bed.cluster.network.heal();
    await bed.settled(giving, 60_000);
    const ref = await bed.settled(writer.finish(), 60_000);
    expect(ref.digest).toEqual(sha256(bytes));
  });

  it('leaves nothing when its node dies, when it is aborted, or when its caller goes away', async () => {
    const bed = await BlobBed.started(14);
    const [one, two] = bed.others(bed.leader);
    const writer = await bed.begin(one);
    await bed.settled(bed.give(writer, content(MIB)));
    await bed.until(() => bed.files(two).length === 1);
    one.kill();
    await bed.until(() => bed.files(two).length === 0 && bed.files(bed.leader).length === 0);
    void one.start();
    await bed.until(() => bed.cluster.allReady(), 30_000);
    expect(bed.files(one)).toEqual([]);

    const aborted = await bed.begin(one);
    await bed.settled(bed.give(aborted, content(MIB)));
    aborted.abort();
    aborted.abort();
    await expect(aborted.write(Buffer.from('x'))).rejects.toMatchObject({ code: 'CANCELLED' });
    const finished = await bed.begin(one);
    await bed.settled(bed.give(finished, content(MIB)).then(() => finished.finish()));
    finished.abort();
    const controller = new AbortController();
    const left = await bed.begin(one, -1, controller.signal);
    await bed.settled(bed.give(left, content(MIB)));
    controller.abort();
    await expect(left.finish()).rejects.toMatchObject({ code: 'CANCELLED' });
    await bed.until(() => bed.cluster.nodes.every((node) => bed.files(node).length === 0));
    expect(bed.statistics(one)).toMatchObject({ held: 0, bytes: 0, uploads: 0 });
  });

  it('is refused by the name of its limit', async () => {
    const settings = { blobBytesMax: MIB, blobsTotalBytesMax: 1_500_000 };
    const bed = await BlobBed.started(15, { settings, blobUploadsMax: 2 });
    const limit = (name: string) => ({ code: 'LIMIT_REACHED', metadata: { limit: name } });
    await expect(bed.begin(bed.leader, MIB + 1)).rejects.toMatchObject(limit('limits.blob-bytes-max'));
    const long = await bed.begin(bed.leader);
    await expect(bed.settled(bed.give(long, content(MIB + 1)))).rejects.toMatchObject(
      limit('limits.blob-bytes-max'),
    );
    await bed.submitBlob(bed.leader, content(MIB));
    await expect(bed.begin(bed.leader, 500_000)).rejects.toMatchObject(limit('limits.blobs-total-bytes-max'));
    // Two that fit one by one: the state decides.
    const [a, b] = [
      await bed.upload(bed.leader, content(300_000)),
      await bed.upload(bed.leader, content(300_000)),
    ];
    const none = Buffer.alloc(0);
    await bed.submit(bed.leader, { payload: none, payloadBlob: a });
    const error = await bed.error(bed.leader, { payload: none, payloadBlob: b });
    expect(error).toMatchObject(limit('limits.blobs-total-bytes-max'));
    const open = [await bed.begin(bed.leader), await bed.begin(bed.leader)];
    await expect(bed.begin(bed.leader)).rejects.toMatchObject(limit('blob-uploads-max'));
    for (const one of open) one.abort();
    await bed.pass(100);
    (await bed.begin(bed.leader)).abort();
  });

  it('with other bytes than announced is refused', async () => {
    const bed = await BlobBed.started(16);
    const short = await bed.begin(bed.leader, 10);
    await short.write(Buffer.from('123'));
    await expect(short.finish()).rejects.toMatchObject({ code: 'INVALID_FIELD' });
    const long = await bed.begin(bed.leader, 2);
    await expect(long.write(Buffer.from('123'))).rejects.toMatchObject({ code: 'INVALID_FIELD' });
  });

  it('that meets a full disk is refused, and the node lives on', async () => {
    const bed = await BlobBed.started(17);
    const writer = await bed.begin(bed.leader);
    bed.leader.disk.fullAfter(MIB);
    await expect(bed.settled(bed.give(writer, content(8 * MIB)))).rejects.toMatchObject({
      code: 'LIMIT_REACHED',
      metadata: { limit: 'disk-reserve-bytes' },
    });
    bed.leader.disk.fullAfter(Number.POSITIVE_INFINITY);
    await bed.submitBlob(bed.leader, content(4 * MIB));
  });
});

describe('the rule of blobs', () => {
  it('rule: blobs - what was counted by another membership is counted anew, unseen by the caller', async () => {
    const bed = await BlobBed.started(21);
    const [one, wiped] = bed.others(bed.leader);
    const ref = await bed.upload(one, content(MIB));
    const before = bed.core(one).configuration;
    wiped.kill();
    wiped.wipe();
    void wiped.start();
    await bed.pass(1_000);
    await bed.settled(
      bed.leader.node!.replaceNode(wiped.name, {}, () => {}),
      60_000,
    );
    await bed.until(() => bed.core(one).configuration > before && bed.agree());
    const id = await bed.submit(one, { payload: Buffer.alloc(0), payloadBlob: ref });
    expect(bed.job(one, id).payloadBlob).toMatchObject({ id: ref.id });
  });

  it('rule: blobs - one counted too long ago is counted anew, however long the call waited', async () => {
    const bed = await BlobBed.started(22);
    const { leader } = bed;
    const ref = await bed.upload(leader, content(400_000));
    const countedWall = bed.core(leader).wall;
    const between = (act: (from: string, to: string) => void) => {
      for (const a of bed.cluster.nodes) for (const b of bed.cluster.nodes) if (a !== b) act(a.name, b.name);
    };
    await bed.pass(BLOB_COUNT_MS - 30_000);
    between((from, to) => bed.cluster.network.cut(from, to));
    await bed.pass(5_000);
    const submitted = bed.submit(leader, { payload: Buffer.alloc(0), payloadBlob: ref }, 120_000);
    await bed.pass(60_000);
    bed.cluster.network.heal();
    const id = await submitted;
    expect(bed.job(leader, id).payloadBlob).toMatchObject({ id: ref.id });
    expect(bed.job(leader, id).createdWall - countedWall).toBeGreaterThan(BLOB_COUNT_MS);
  });

  it('rule: blobs - a learner gets its vote only when it holds all of them', async () => {
    const bed = await BlobBed.started(23);
    const [one, wiped] = bed.others(bed.leader);
    const ids: string[] = [];
    for (let i = 0; i < 5; i++) ids.push(await bed.submitBlob(one, content(600_000, i)));
    wiped.kill();
    wiped.wipe();
    void wiped.start();
    await bed.pass(2_000);
    // Its disk takes no blob for a while.
    const before = wiped.disk.before!;
    let refused = 0;
    let full = true;
    wiped.disk.before = (operation) => {
      if (
        full &&
        operation.kind === 'open' &&
        operation.path.endsWith('.tmp') &&
        operation.path.includes('/blobs/')
      ) {
        refused += 1;
        throw Object.assign(new Error('ENOSPC: no space left'), { code: 'ENOSPC' });
      }
      return before(operation);
    };
    const lines: string[] = [];
    const replacing = bed.leader.node!.replaceNode(wiped.name, {}, (line) => lines.push(line));
    replacing.catch(() => {});
    await bed.pass(10_000);
    expect(refused).toBeGreaterThan(0);
    expect(bed.voters()).not.toContain(bed.raftId(wiped));
    expect(lines.at(-1)).toMatch(/5 payloads and results outside the log are missing/);
    full = false;
    await bed.settled(replacing, 60_000);
    expect(bed.voters()).toContain(bed.raftId(wiped));
    expect(bed.statistics(wiped)).toMatchObject({ held: 5, missing: 0 });
  });

  it('rule: blobs - one that no node has any more keeps no learner waiting', async () => {
    const bed = await BlobBed.started(26);
    const lost = await bed.submitBlob(bed.leader, content(200_000));
    const kept = await bed.submitBlob(bed.leader, content(200_000, 2));
    const [, wiped] = bed.others(bed.leader);
    await bed.until(() => bed.cluster.nodes.every((node) => bed.statistics(node).held === 2));
    const ref = bed.job(bed.leader, lost).payloadBlob!;
    for (const node of bed.cluster.nodes) {
      node.kill();
      node.disk.lose(bed.files(node).find((path) => path.includes(ref.id))!);
    }
    wiped.wipe();
    for (const node of bed.cluster.nodes) void node.start();
    await bed.until(() => bed.cluster.leader !== null, 30_000);
    await bed.pass(2_000);
    await bed.settled(
      bed.leader.node!.replaceNode(wiped.name, {}, () => {}),
      60_000,
    );
    expect(bed.statistics(wiped)).toMatchObject({ held: 1, missing: 1, wanted: 0 });
    await expect(bed.read(wiped, ref)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    expect(await bed.read(wiped, bed.job(wiped, kept).payloadBlob!)).toHaveLength(200_000);
    // What the operator does about it.
    await bed.settled(wiped.node!.cancelJob('default', lost, 'lost', 0, {}));
    await bed.settled(wiped.node!.deleteJob('default', lost, {}));
    await bed.until(() => bed.cluster.nodes.every((node) => bed.statistics(node).missing === 0));
  });

  it('rule: blobs - what no job names vanishes everywhere, and never what one may still name', async () => {
    const bed = await BlobBed.started(24);
    const { follower } = bed;
    await bed.upload(follower, content(400_000));
    await bed.until(() => bed.cluster.nodes.every((node) => bed.files(node).length === 1));
    // Its node dies for good: nobody else knows whether it was to be named.
    follower.kill(true);
    const others = bed.cluster.nodes.filter((node) => node !== follower);
    await bed.pass(UNNAMED_MS - 60_000);
    for (const node of others) expect(bed.files(node)).toHaveLength(1);
    await bed.pass(120_000);
    for (const node of others) expect(bed.files(node)).toEqual([]);
  });

  it('rule: blobs - one that its node forgot to name goes, too', async () => {
    const bed = await BlobBed.started(25);
    await bed.upload(bed.follower, content(400_000));
    await bed.pass(UNNAMED_MS - 10_000);
    for (const node of bed.cluster.nodes) expect(bed.files(node)).toHaveLength(1);
    await bed.pass(20_000);
    for (const node of bed.cluster.nodes) expect(bed.files(node)).toEqual([]);
  });
});

describe('a blob on a disk', () => {
  it('that lost or damaged it is fetched from another node', async () => {
    const bed = await BlobBed.started(31);
    const bytes = content(MIB);
    const ids = [await bed.submitBlob(bed.leader, bytes), await bed.submitBlob(bed.leader, content(MIB, 2))];
    const [one] = bed.others(bed.leader);
    await bed.until(() => bed.statistics(one).held === 2);
    const refs = ids.map((id) => bed.job(bed.leader, id).payloadBlob!);
    const path = (n: number) => bed.files(one).find((name) => name.includes(refs[n]!.id))!;
    one.disk.flipBit(path(0), 400_000);
    expect(sha256(await bed.read(one, refs[0]!))).toEqual(sha256(bytes));
    await bed.until(() => bed.statistics(one).fetched === 1);
    expect(sha256(await bed.read(one, refs[0]!))).toEqual(sha256(bytes));
    one.kill();
    one.disk.lose(path(1));
    void one.start();
    await bed.until(() => bed.cluster.allReady() && bed.statistics(one).held === 2, 30_000);
    expect(sha256(await bed.read(one, refs[1]!))).toEqual(sha256(content(MIB, 2)));
  });

  it('survives power loss of all nodes at once', async () => {
    const bed = await BlobBed.started(32);
    const bytes = content(2 * MIB);
    const id = await bed.submitBlob(bed.leader, bytes);
    const ref = bed.job(bed.leader, id).payloadBlob!;
    for (const node of bed.cluster.nodes) node.kill(true);
    for (const node of bed.cluster.nodes) void node.start();
    await bed.until(() => bed.cluster.allReady(), 30_000);
    for (const node of bed.cluster.nodes) expect(sha256(await bed.read(node, ref))).toEqual(sha256(bytes));
    await bed.until(() => bed.cluster.nodes.every((node) => bed.statistics(node).missing === 0));
  });

  it('is fetched by a node that comes back behind a snapshot', async () => {
    const bed = await BlobBed.started(33, { snapshotLogBytes: 64 * 1024, keepLogBytes: 4 * 1024 });
    const [one, down] = bed.others(bed.leader);
    down.kill();
    const id = await bed.submitBlob(one, content(MIB));
    for (let i = 0; i < 60; i++) await bed.submit(one, { payload: Buffer.alloc(4_000, i) });
    void down.start();
    await bed.until(() => bed.cluster.allReady() && bed.agree(), 30_000);
    expect(bed.cluster.installs).toBeGreaterThan(0);
    await bed.until(() => bed.statistics(down).held === 1, 30_000);
    expect(sha256(await bed.read(down, bed.job(down, id).payloadBlob!))).toEqual(sha256(content(MIB)));
  });
});
