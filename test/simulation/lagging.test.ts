import { beforeEach, describe, expect, it } from 'vitest';
import type { ConsensusStatus } from '../../src/consensus/types.js';
import type { SimNode } from '../../src/sim/cluster.js';
import { jobSpec } from '../unit/node/parts.js';
import { RuleBed } from './rules/bed.js';

const KEEP = 8 * 1024;
const PAYLOAD = Buffer.alloc(1_000, 7);

/** Goal: memory holds only the newest log, and a node that lags behind it still needs no snapshot. */
/** Reads that did not wait, of any file. */
const readsNow = ({ disk }: SimNode): number => Array.from(disk.readsNow.values()).reduce((a, b) => a + b, 0);

describe('a node that was away while more log was written than is kept in memory', () => {
  let bed: RuleBed;
  let leader: SimNode;
  let away: SimNode;

  const log = (node: SimNode): ConsensusStatus => node.node!.parts!.consensus.status();
  const fill = async (jobs: number): Promise<void> => {
    for (let i = 0; i < jobs; i++) await bed.submit(leader, { payload: PAYLOAD });
  };
  const leave = (): number => {
    const { lastIndex } = log(away);
    away.kill();
    return lastIndex;
  };
  const back = async (): Promise<void> => {
    void away.start();
    await bed.until(() => bed.cluster.allReady() && bed.agree(), 60_000);
  };

  const start = async (keepLogBytes = KEEP): Promise<void> => {
    bed = await RuleBed.started(11, { nodes: 5, snapshotLogBytes: 16 * 1024 * 1024, keepLogBytes });
    leader = bed.leader;
    [away] = bed.others(leader);
  };

  beforeEach(() => start());

  it('catches up by entries that the leader reads from its disk, over segments, without a snapshot', async () => {
    const last = leave();
    await fill(300);
    const { firstIndex, heldFrom, lastIndex } = log(leader);
    expect(firstIndex).toBeLessThanOrEqual(last);
    expect(heldFrom).toBeGreaterThan(lastIndex - 20);
    expect(leader.node!.parts!.wal.segments).toBeGreaterThan(2);
    await back();
    expect(bed.cluster.installs).toBe(0);
    expect(log(away).firstIndex).toBeLessThanOrEqual(last);
    expect(bed.core(away).counts().jobs).toBe(300);
    // It holds no more than the leader does.
    expect(log(away).heldFrom).toBeGreaterThan(log(away).lastIndex - 20);
  });

  it('gets no entry that another leader had replaced in the log of the one that sends, also after its start', async () => {
    const last = leave();
    await fill(40);
    // Cut off, it writes what never commits; the next leader's log takes the place of that.
    const old = leader;
    const { lastIndex } = log(old);
    bed.isolate(old);
    const lost: string[] = [];
    for (let i = 0; i < 5; i++) {
      const specs = [jobSpec({ id: old.node!.newJobId(), payload: PAYLOAD })];
      bed.heard(lost, `${i}`, old.node!.submit('default', specs, { allOrNothing: false }));
      await bed.pass(20);
    }
    const written = log(old).durableIndex;
    expect(written).toBeGreaterThan(lastIndex);
    const leads = (node: SimNode): boolean => node.node?.engine?.isOpenLeader === true;
    await bed.until(() => bed.cluster.running.some((node) => node !== old && leads(node)), 60_000);
    leader = bed.cluster.running.find((node) => node !== old && leads(node))!;
    bed.heal();
    await fill(40);
    await bed.until(() => log(old).term === log(leader).term && log(old).durableIndex > written);
    for (const restarted of [false, true]) {
      if (restarted) {
        old.kill();
        void old.start();
        await bed.until(() => old.node?.phase === 'ready', 60_000);
      }
      expect(leader.node!.engine!.transferTo(old.name)).toBe(true);
      await bed.until(() => leads(old), 60_000);
      expect(log(old).firstIndex).toBeLessThanOrEqual(last);
      expect(log(old).heldFrom).toBeGreaterThan(written);
      const { disk } = away;
      away.disk = disk.copy();
      await back();
      expect(bed.core(away).counts().jobs).toBe(bed.core(old).counts().jobs);
      away.kill();
      away.disk = disk;
      if (restarted) continue;
      const next = bed.cluster.running.find((node) => node !== old)!;
      expect(old.node!.engine!.transferTo(next.name)).toBe(true);
      await bed.until(() => leads(next), 60_000);
      leader = next;
    }
    expect(bed.cluster.installs).toBe(0);
  });

  it('needs none for what lies below a snapshot either, also where that took so long that memory is past it', async () => {
    // As much as a segment holds and more.
    await start(96 * 1024);
    await fill(40);
    await bed.until(() => bed.agree());
    const last = leave();
    await fill(70);
    const { lastIndex } = log(leader);
    const before = leader.disk.before!;
    let held = true;
    leader.disk.before = async (operation) => {
      await before(operation);
      if (operation.path.includes('/snapshots/') && operation.kind === 'write') {
        while (held) await bed.world.sleep(10);
      }
    };
    let taken = false;
    void leader.node!.engine!.snapshotting.take().then(() => {
      taken = true;
    });
    await fill(200);
    expect(taken).toBe(false);
    held = false;
    await bed.until(() => taken);
    const { mark } = leader.node!.parts!.store.newest!;
    const { firstIndex, heldFrom } = log(leader);
    expect(mark.index).toBeGreaterThanOrEqual(lastIndex);
    expect(firstIndex).toBeGreaterThan(30);
    expect(firstIndex).toBeLessThanOrEqual(last + 1);
    expect(heldFrom).toBeGreaterThan(mark.index + 50);
    await back();
    expect(bed.cluster.installs).toBe(0);
    expect(bed.core(away).counts().jobs).toBe(310);
  });

  it('ends a leader whose disk has lost what it wants, and gets it from the next', async () => {
    const last = leave();
    await fill(60);
    const segment = leader.disk.paths().find((path) => path.endsWith('.wal'))!;
    for (let block = 10; block < 40; block++) leader.disk.flipBit(segment, block * 4096 + 300);
    const broken = leader;
    void away.start();
    await bed.until(() => broken.fatal !== null, 60_000);
    expect(broken.fatal!.message).toContain(`the log is damaged at ${segment}, byte `);
    expect(last).toBeLessThan(log(bed.others(broken)[1]).heldFrom);
    await bed.until(() => bed.cluster.leader !== null && bed.cluster.leader !== broken, 60_000);
    await bed.until(() => away.up && bed.core(away).counts().jobs === 60, 60_000);
    expect(bed.cluster.installs).toBe(0);
  });
});

/** Goal: the memory of a start does not grow with the log. */
describe('a cluster whose nodes all start again, with more log than is kept in memory and no snapshot of it', () => {
  const log = (node: SimNode): ConsensusStatus => node.node!.parts!.consensus.status();

  const filled = async (nodes: number): Promise<RuleBed> => {
    const options = { nodes, snapshotLogBytes: 16 * 1024 * 1024, keepLogBytes: KEEP };
    const bed = await RuleBed.started(12, options);
    for (let i = 0; i < 300; i++) await bed.submit(bed.leader, { payload: PAYLOAD });
    await bed.until(() => bed.agree());
    return bed;
  };

  it.each([1, 3])('has all jobs again, with %i nodes, and accepts more', async (nodes) => {
    const bed = await filled(nodes);
    const all = bed.cluster.nodes;
    for (const node of all) node.kill();
    const read = all.map(readsNow);
    for (const node of all) void node.start();
    const started = new Set<SimNode>();
    await bed.until(() => {
      for (const node of all) {
        if (node.node?.parts == null || started.has(node)) continue;
        started.add(node);
        const { firstIndex, heldFrom, lastIndex } = log(node);
        expect(firstIndex).toBeLessThan(10);
        expect(heldFrom).toBeGreaterThan(lastIndex - 30);
      }
      return bed.cluster.allReady() && bed.agree();
    }, 60_000);
    expect(started.size).toBe(nodes);
    for (const [i, node] of all.entries()) {
      expect(bed.core(node).counts().jobs).toBe(300);
      expect(readsNow(node)).toBeGreaterThan(read[i]!);
    }
    expect(bed.cluster.installs).toBe(0);
    await bed.submit(bed.leader, { payload: PAYLOAD });
    await bed.until(() => all.every((node) => bed.core(node).counts().jobs === 301));
  });

  it('ends a node whose disk loses some of it between the start and its use, and its next start sets that aside', async () => {
    const bed = await filled(3);
    const broken = bed.follower;
    broken.kill();
    const segment = broken.disk.paths().find((path) => path.endsWith('.wal'))!;
    void broken.start();
    const before = broken.disk.before!;
    // The folder of blobs is the last to be opened: the log was looked at by then.
    broken.disk.before = async (operation) => {
      await before(operation);
      if (!operation.path.includes('/blobs')) return;
      broken.disk.before = before;
      broken.disk.flipBit(segment, 10 * 4096 + 300);
    };
    await bed.until(() => broken.fatal !== null, 60_000);
    expect(broken.fatal!.message).toContain(`the log is damaged at ${segment}, byte `);
    void broken.start();
    await bed.until(() => broken.node?.phase === 'forming', 60_000);
    await bed.submit(bed.leader);
  });

  it('is not kept from it by a node whose log was set aside', async () => {
    const bed = await filled(3);
    const broken = bed.follower;
    const all = bed.cluster.nodes;
    for (const node of all) node.kill();
    const segment = broken.disk.paths().find((path) => path.endsWith('.wal'))!;
    broken.disk.flipBit(segment, 10 * 4096 + 300);
    for (const node of all) void node.start();
    await bed.until(() => broken.node?.phase === 'forming', 60_000);
    await bed.until(() => bed.others(broken).every((node) => node.node?.phase === 'ready'), 60_000);
    for (const node of bed.others(broken)) expect(bed.core(node).counts().jobs).toBe(300);
    await bed.submit(bed.leader);
  });
});
