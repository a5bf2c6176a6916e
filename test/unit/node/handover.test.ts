import { describe, expect, it } from 'vitest';
import { SimBed } from './sim-bed.js';

/** Goal: time goes on in an idle cluster, also where it stood still for a moment: delays, graces and timeouts depend on it. */
describe('a leader that hands over to a node which does not answer', () => {
  it('lets a timer fire that was due meanwhile, although nobody does anything else', async () => {
    const bed = await SimBed.started(8);
    const { leader, follower } = bed;
    const id = await bed.submit(leader, { delayMs: 300 });
    const state = () => bed.core(leader).findJob('default', id)!.state;
    expect(state()).toBe('scheduled');
    await bed.pass(200);
    bed.cluster.network.cut(leader.name, follower.name);
    bed.cluster.network.cut(follower.name, leader.name);
    expect(leader.node!.engine!.transferTo(follower.name)).toBe(true);
    await bed.pass(150);
    expect(state()).toBe('scheduled');
    await bed.pass(850);
    expect(bed.leader).toBe(leader);
    expect(state()).toBe('queued');
  });
});
