import { beforeAll, describe, expect, it } from 'vitest';
import { check, type HistoryEvent, Recorder } from '../../src/checker/index.js';
import { DEFAULT_SETTINGS } from '../../src/core/types.js';
import { SimCluster } from '../../src/sim/cluster.js';
import { Workload } from '../../src/sim/workload/index.js';
import { World } from '../../src/sim/world.js';

const BUSY_MS = 60_000;
const REST_MS = 120_000;
const RETENTION_MS = 60_000;
/** The last one is a backlog: where jobs wait, many expire, in the other lives a few or none. */
const SEEDS = [1, 3, 5];

interface Life {
  readonly events: readonly HistoryEvent[];
  readonly trace: string;
  readonly workload: Workload;
  readonly unfinished: string | null;
  readonly violations: readonly string[];
}

/** A minute of load on three nodes, one of which dies every few seconds and comes back. */
async function live(seed: number): Promise<Life> {
  const world = new World(seed);
  const cluster = new SimCluster(world, { nodes: 3, settings: { retentionMs: RETENTION_MS } });
  for (const node of cluster.nodes) void node.start();
  expect(await world.run(30_000, () => cluster.allReady())).toBe(true);
  const recorder = new Recorder({
    ...DEFAULT_SETTINGS,
    retentionMs: RETENTION_MS,
    skewMs: 1_000,
    unseenLeaseMs: 5_000,
  });
  const workload = new Workload(cluster, recorder, { clients: 3, workers: 4 });
  workload.start();
  const end = world.now + BUSY_MS;
  for (let i = 0; world.now < end; i++) {
    await world.run(world.now + 1_600, () => false);
    const node = cluster.nodes[i % 3]!;
    // With calls under way, of which nobody will hear: a batch of them has just left for the leader.
    let sent = 0;
    cluster.network.passing = (frame, from) => {
      if (frame.type === 'batch' && from === node.name) sent += 1;
    };
    await world.run(world.now + 500, () => sent > 0);
    node.kill(i % 2 === 0);
    await world.run(world.now + 600, () => false);
    void node.start();
  }
  await world.run(world.now + 10_000, () => cluster.allReady());
  workload.quiesce();
  await world.run(world.now + REST_MS, () => workload.unfinished() === null);
  const unfinished = workload.unfinished();
  workload.observe();
  workload.stop();
  const violations = check(recorder.history()).map(({ rule, text }) => `${rule}: ${text}`);
  return { events: recorder.events, trace: world.traceHash, workload, unfinished, violations };
}

function kindOf(event: HistoryEvent): string {
  switch (event.type) {
    case 'submit':
      return `submit ${event.answer?.disposition ?? event.fate} ${event.error}`.trim();
    case 'settle':
      return event.fate === 'unknown' ? 'settle unknown' : `settle ${event.outcome} ${event.fate}`;
    case 'read':
      return `read ${event.consistency} ${event.answer === 'absent' ? 'absent' : event.fate}`;
    case 'watched':
      return `watched ${event.event}`;
    case 'last':
      return `last ${event.seen === 'absent' ? 'absent' : event.seen.state}${event.madeBy === '' ? '' : ' made by a schedule'}`;
    case 'lease':
      return `lease ${event.token === 0 ? 'reserved' : 'given'}`;
    case 'cancel':
    case 'retry':
    case 'delete':
      return `${event.type} ${event.fate}`;
    default:
      return event.type;
  }
}

describe('the load of a simulated cluster', () => {
  const lives: Life[] = [];

  beforeAll(async () => {
    for (const seed of SEEDS) lives.push(await live(seed));
  }, 240_000);

  it('is thousands of calls in a minute, all of which come to an end', () => {
    for (const { workload, unfinished } of lives) {
      expect(workload.broken).toEqual([]);
      expect(workload.violations).toEqual([]);
      expect(unfinished).toBeNull();
      expect(workload.operations).toBeGreaterThan(1_500);
      expect(workload.acknowledged).toBeGreaterThan(300);
    }
  });

  it('leaves a history that the checker accepts', () => {
    expect(lives.flatMap(({ violations }) => violations)).toEqual([]);
  });

  it('does all that there is to do, and meets refusals, losses and silence', () => {
    const kinds = new Set(lives.flatMap(({ events }) => events.map(kindOf)));
    const wanted = [
      'submit created',
      'submit same-id',
      'submit coalesced',
      'submit not-applied LIMIT_REACHED',
      'submit unknown',
      'lease given',
      'lease reserved',
      'lease-lost',
      'interrupted',
      'settle complete done',
      'settle complete not-applied',
      'settle unknown',
      'settle fail done',
      'settle release done',
      'cancel done',
      'retry done',
      'delete done',
      'read linearizable done',
      'read linearizable absent',
      'read local done',
      'watched attempt-failed',
      'watched ended',
      'watched broken',
      'last absent',
      'last succeeded',
      'last failed',
      'last cancelled',
      'last expired',
      'last succeeded made by a schedule',
    ];
    expect(wanted.filter((kind) => !kinds.has(kind))).toEqual([]);
  });

  it('says outcomes again that have counted, also at two nodes at once', () => {
    const settles = lives.flatMap(({ events }, life) =>
      events.flatMap((event) =>
        event.type === 'settle' && event.fate === 'done' && event.token > 0 && event.end !== null
          ? [{ key: `${life}/${event.token}`, node: event.node, begin: event.begin, end: event.end }]
          : [],
      ),
    );
    const first = new Map(settles.map((one) => [one.key, one] as const).reverse());
    const pairs = settles.flatMap((one) => {
      const before = first.get(one.key)!;
      return before === one || before.node === one.node ? [] : [{ before, one }];
    });
    expect(pairs.filter(({ before, one }) => before.end < one.begin).length).toBeGreaterThan(5);
    expect(pairs.filter(({ before, one }) => before.end > one.begin).length).toBeGreaterThan(5);
  });

  it('differs in character from seed to seed, and is the same for the same seed', async () => {
    const styles = lives.map(({ workload }) => workload.style);
    expect(new Set(styles).size).toBeGreaterThan(1);
    expect(styles).toContain('backlog');
    const again = await live(SEEDS[0]!);
    expect(again.trace).toBe(lives[0]!.trace);
    expect(again.events).toEqual(lives[0]!.events);
  }, 120_000);
});
