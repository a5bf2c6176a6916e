import { beforeEach, describe, expect, it } from 'vitest';
import type { PeerProgress, RaftId } from '../../../src/consensus/types.js';
import { News } from '../../../src/node/news.js';
import type { World } from '../../../src/sim/world.js';
import { newWorld, pass, status } from './parts.js';

describe('news of the commit index', () => {
  let world: World;
  let news: News;
  /** Null: everyone. */
  let hurried: RaftId[] | null;
  let waits: boolean;
  let told: number[];
  let attached: Record<string, boolean | null>;
  const progress = [1, 2, 3].map(
    (id): PeerProgress => ({ id, match: 0, next: 1, state: 'replicate', active: true, learner: false }),
  );
  const standing = { id: 1, progress };

  beforeEach(() => {
    world = newWorld();
    [hurried, waits, told, attached] = [[], false, [], { n2: false, n3: false }];
    news = new News({
      clock: world.clock(0),
      consensus: {
        hurry: (ids) => {
          hurried = ids === null ? null : [...ids].sort();
        },
        get newsWaits() {
          return waits;
        },
        tellNews: () => told.push(world.now),
      },
      board: {
        of: (name) => {
          const there = attached[name];
          return typeof there === 'boolean' ? { status: status({ attached: there }), atMs: 0 } : null;
        },
      },
      nameOf: (id) => `n${id}`,
      askTurn: () => {
        waits = false;
      },
    });
  });

  it('are told at once to those who have clients or workers, or of whom nothing is known', () => {
    news.weigh(standing);
    expect(hurried).toEqual([]);
    attached = { n2: true, n3: false };
    news.weigh(standing);
    expect(hurried).toEqual([2]);
    attached = { n2: false, n3: null };
    news.weigh(standing);
    expect(hurried).toEqual([3]);
  });

  it('are told at once to everyone by a node that has just begun to lead', () => {
    news.weigh(standing);
    news.weigh({ id: 1, progress: [] });
    expect(hurried).toBeNull();
  });

  it('are told at once to a node whose callers have just asked for something', async () => {
    news.weigh(standing);
    news.called('n3');
    expect(hurried).toEqual([3]);
    await pass(world, 900);
    news.weigh(standing);
    expect(hurried).toEqual([3]);
    await pass(world, 1_100);
    news.weigh(standing);
    expect(hurried).toEqual([]);
  });

  it('wait for the others a moment, and no longer where nothing goes along', async () => {
    waits = true;
    news.look();
    news.look();
    await pass(world, 4);
    expect(told).toEqual([]);
    await pass(world, 100);
    expect(told).toEqual([5]);
  });

  it('are not told again where an entry took them along', async () => {
    waits = true;
    news.look();
    waits = false;
    await pass(world, 100);
    expect(told).toEqual([]);
  });
});
