import { describe, expect, it } from 'vitest';
import { SimBed } from '../node/sim-bed.js';

describe('a simulated machine', () => {
  it('runs one process at a time: another start fails, and the first goes on', async () => {
    const bed = await SimBed.started(1);
    const node = bed.follower;
    const { starts } = node;
    await expect(node.start()).rejects.toThrow('a machine runs one process at a time');
    await bed.pass(1_000);
    expect(node.starts).toBe(starts);
    await bed.submit(node);
    node.kill();
    const starting = node.start();
    // Also one that is not yet up.
    await expect(node.start()).rejects.toThrow('a machine runs one process at a time');
    await bed.settled(starting);
    await bed.until(() => bed.cluster.allReady(), 30_000);
  });
});
