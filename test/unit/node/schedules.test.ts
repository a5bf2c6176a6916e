import { describe, expect, it } from 'vitest';
import { parseCalendar } from '../../../src/base/calendar.js';
import type { JobView, ScheduleSpec } from '../../../src/core/types.js';
import type { SimNode } from '../../../src/sim/cluster.js';
import { EPOCH_WALL_MS } from '../../../src/sim/world.js';
import { jobSpec } from './parts.js';
import { SimBed } from './sim-bed.js';

/** Goal: every due minute has exactly one job, at every node, whoever leads and whoever is down when it begins. */
const MINUTE = 60_000;
/** The minute in which virtual time begins, wall ms; the tests count from it. */
const EPOCH = Math.floor(EPOCH_WALL_MS / MINUTE) * MINUTE;
const READ = { consistency: 'linearizable', minRevision: 0 } as const;

function spec(node: SimNode, calendar = {}, fields: Parameters<typeof jobSpec>[0] = {}): ScheduleSpec {
  const any = { minute: '*', hour: '*', dayOfMonth: '*', month: '*', dayOfWeek: '*' };
  return {
    job: jobSpec({ id: node.node!.newJobId(), ...fields }),
    calendar: parseCalendar({ ...any, ...calendar }, () => {})!,
  };
}

function jobs(bed: SimBed, node: SimNode): readonly JobView[] {
  const all = { function: '', states: [], uniqueKey: '', pageSize: 10_000, after: 0, budget: 1_000_000 };
  return bed.core(node).listJobs({ namespace: 'default', ...all }).jobs;
}

/** Minutes since the epoch for which there is a job, by their ids. */
function minutes(bed: SimBed, node: SimNode): number[] {
  const digits = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
  return jobs(bed, node).map(({ id }) => {
    const time = [...id.slice(0, 10)].reduce((sum, digit) => sum * 32 + digits.indexOf(digit), 0);
    return (time - EPOCH) / MINUTE;
  });
}

/** Runs until so many milliseconds before a minute (or behind it, when negative) by the right clock. */
async function comesTo(bed: SimBed, minute: number, ms: number): Promise<void> {
  await bed.world.run(EPOCH - EPOCH_WALL_MS + minute * MINUTE - ms, () => false);
}

async function agreed(bed: SimBed): Promise<void> {
  await bed.until(() => bed.cluster.allReady() && bed.agree(), 60_000);
}

describe('a schedule', () => {
  it('is made and asked for at any node, and ended at another', async () => {
    const bed = await SimBed.started(1);
    const [one, other] = bed.others(bed.leader);
    const wanted = spec(one, { hour: '5' }, { payload: Buffer.from('x'), uniqueKey: 'k' });
    const made = await bed.settled(one.node!.createSchedule('default', wanted, {}));
    expect(made).toMatchObject({ id: wanted.job.id, disposition: 'created' });
    const again = await bed.settled(other.node!.createSchedule('default', wanted, {}));
    expect(again).toMatchObject({ id: made.id, seq: made.seq, disposition: 'same-id' });
    const joins = spec(other, {}, { uniqueKey: 'k' });
    expect(await bed.settled(other.node!.createSchedule('default', joins, {}))).toMatchObject({
      id: made.id,
      seq: made.seq,
      disposition: 'coalesced',
    });
    const found = await bed.settled(other.node!.getSchedule('default', made.id, READ));
    expect(found).toMatchObject({ seq: made.seq, uniqueKey: 'k', nextWall: Date.UTC(2026, 0, 1, 5) });
    expect(await bed.settled(bed.leader.node!.findSchedule('default', made.seq, READ))).toEqual(found);
    expect(await bed.settled(bed.leader.node!.findSchedule('other', made.seq, READ))).toBeNull();
    const query = { namespace: null, pageSize: 10, after: 0, budget: 100 };
    const list = await bed.settled(one.node!.listSchedules(query, READ));
    expect(list).toEqual({ schedules: [found], next: 0 });
    await bed.settled(other.node!.deleteSchedule('default', made.id, {}));
    for (const { node } of bed.cluster.nodes) {
      await expect(bed.settled(node!.getSchedule('default', made.id, READ))).rejects.toMatchObject({
        code: 'NOT_FOUND',
      });
    }
    await expect(bed.settled(one.node!.deleteSchedule('default', made.id, {}))).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
  });

  it('is refused by its limits in words', async () => {
    const bed = await SimBed.started(2, { settings: { schedulesMax: 0 } });
    const node = bed.follower;
    await expect(bed.settled(node.node!.createSchedule('default', spec(node), {}))).rejects.toMatchObject({
      code: 'LIMIT_REACHED',
      metadata: { limit: 'limits.schedules-max', value: '0' },
      outcome: 'NOT_APPLIED',
    });
  });

  it('that found no leader in time was surely not made', async () => {
    const bed = await SimBed.started(3);
    const [lonely, ...others] = bed.cluster.nodes;
    for (const node of others) node.kill();
    await bed.pass(2_000);
    const abort = new AbortController();
    bed.world.after(1_000, () => abort.abort());
    const call = lonely!.node!.createSchedule('default', spec(lonely!), { signal: abort.signal });
    await expect(bed.settled(call)).rejects.toMatchObject({ code: 'NO_LEADER', outcome: 'NOT_APPLIED' });
    for (const node of others) void node.start();
    await agreed(bed);
    expect(bed.core(lonely!).counts().schedules).toBe(0);
  });

  it('has one job for each minute while leaders die before it, in it and behind it', async () => {
    const bed = await SimBed.started(4, { snapshotLogBytes: 16 * 1024, keepLogBytes: 2 * 1024 });
    const node = bed.follower;
    await bed.settled(node.node!.createSchedule('default', spec(node), {}));
    const last = 14;
    for (let minute = 1; minute <= last; minute++) {
      // From well before the minute to just behind it, by which the Tick is under way.
      await comesTo(bed, minute, [3_000, 300, 40, 5, 1, 0, -1, -3, -10][minute % 9]!);
      const { leader } = bed.cluster;
      if (minute % 4 === 0) {
        for (const one of bed.cluster.running) one.kill(true);
      } else {
        leader?.kill(minute % 2 === 0);
      }
      await comesTo(bed, minute, -8_000);
      for (const one of bed.cluster.nodes) if (!one.up) void one.start();
    }
    await comesTo(bed, last, -40_000);
    await agreed(bed);
    const expected = Array.from({ length: last }, (_, i) => i + 1);
    for (const one of bed.cluster.nodes) expect(minutes(bed, one)).toEqual(expected);
    const [schedule] = bed
      .core(bed.leader)
      .listSchedules({ namespace: null, pageSize: 9, after: 0, budget: 9 }).schedules;
    expect(schedule).toMatchObject({ fired: last, skipped: 0, coalesced: 0 });
    expect(bed.cluster.nodes.every(({ starts }) => starts > 2)).toBe(true);
  });

  it('after an outage has a job for the last minute that was missed, and for none of those before', async () => {
    const bed = await SimBed.started(5);
    const node = bed.follower;
    await bed.settled(node.node!.createSchedule('default', spec(node), {}));
    await comesTo(bed, 1, -5_000);
    for (const one of bed.cluster.nodes) one.kill();
    await comesTo(bed, 6, -20_000);
    for (const one of bed.cluster.nodes) void one.start();
    await comesTo(bed, 7, -5_000);
    await agreed(bed);
    for (const one of bed.cluster.nodes) expect(minutes(bed, one)).toEqual([1, 6, 7]);
  });

  it('reaches a worker in the minute', async () => {
    const bed = await SimBed.started(6);
    const { got } = await bed.worker(bed.follower, 5);
    const wanted = spec(bed.leader, {}, { payload: Buffer.from('tick') });
    await bed.settled(bed.leader.node!.createSchedule('default', wanted, {}));
    await comesTo(bed, 1, 100);
    expect(got).toEqual([]);
    await comesTo(bed, 1, -200);
    expect(got.map(({ job }) => String(job.payload))).toEqual(['tick']);
    expect(got[0]!.job.id.slice(10)).toBe(wanted.job.id.slice(10));
  });
});
