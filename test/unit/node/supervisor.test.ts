import { beforeEach, describe, expect, it } from 'vitest';
import { DEFAULT_TIMINGS } from '../../../src/node/options.js';
import { StatusBoard } from '../../../src/node/status.js';
import { Supervisor } from '../../../src/node/supervisor.js';
import type { World } from '../../../src/sim/world.js';
import { newWorld, pass, silent, status } from './parts.js';

describe("the leader's eye on the nodes", () => {
  let world: World;
  let board: StatusBoard;
  let supervisor: Supervisor;
  let node: { name: string; incarnation: number; up: boolean; stalled: boolean };
  let orders: string[];

  beforeEach(() => {
    world = newWorld();
    const clock = world.clock(0);
    board = new StatusBoard({ clock, core: { wall: 0 }, limitMs: 2_000, otherVoters: () => null });
    node = { name: 'n2', incarnation: 4, up: true, stalled: false };
    orders = [];
    supervisor = new Supervisor({
      core: { nodes: () => [{ name: 'n1', incarnation: 3, up: true, stalled: false }, node] } as never,
      clock,
      log: silent,
      timings: DEFAULT_TIMINGS,
      board,
      ownName: 'n1',
      nodeDown: (incarnation) => orders.push(`down ${incarnation}`),
      nodeStalled: (incarnation, stalled) => {
        orders.push(`stalled ${incarnation} ${stalled}`);
        node.stalled = stalled;
      },
    });
  });

  /** Looks five times a second, as a leader does; the node speaks when `applied` is a number. */
  async function watch(ms: number, commit: number, applied: number | null): Promise<void> {
    for (let passed = 0; passed < ms; passed += 200) {
      await pass(world, 200);
      if (applied !== null) board.heard('n2', status({ applied }));
      supervisor.look(commit);
    }
  }

  it('declares nothing while a node speaks and keeps up', async () => {
    await watch(10_000, 100, 100);
    expect(orders).toEqual([]);
  });

  it('rule: node down - it follows two seconds of silence, not less', async () => {
    await watch(400, 100, 100);
    await watch(1_800, 100, null);
    expect(orders).toEqual([]);
    await watch(600, 100, null);
    expect(orders).toContain('down 4');
  });

  it('rule: node down - a closed socket alone does not declare it', async () => {
    await watch(400, 100, 100);
    for (let time = 0; time < 5; time++) {
      board.lost('n2');
      await watch(1_600, 100, null);
      board.connected('n2');
      await watch(200, 100, 100);
    }
    expect(orders.filter((order) => order.startsWith('down'))).toEqual([]);
  });

  it('rule: node down - a new leader starts the clock anew', async () => {
    board.heard('n2', status());
    await pass(world, 60_000);
    supervisor.reset();
    supervisor.look(100);
    await watch(1_800, 100, null);
    expect(orders).not.toContain('down 4');
    await watch(600, 100, null);
    expect(orders).toContain('down 4');
  });

  it('starts the clock anew for a new incarnation', async () => {
    await watch(1_800, 100, null);
    node = { ...node, incarnation: 9 };
    await watch(1_800, 100, null);
    expect(orders.filter((order) => order.startsWith('down'))).toEqual([]);
  });

  it('rule: stalled node - a node whose applied index is a second behind gets no jobs, until it has caught up', async () => {
    await watch(400, 100, 50);
    expect(orders).toEqual([]);
    await watch(1_400, 200, 50);
    expect(orders).toEqual(['stalled 4 true']);
    await watch(400, 200, 200);
    expect(orders).toEqual(['stalled 4 true', 'stalled 4 false']);
  });

  it('rule: stalled node - one that stays behind is declared down', async () => {
    await watch(12_000, 200, 50);
    expect(orders[0]).toBe('stalled 4 true');
    expect(orders).toContain('down 4');
  });
});
