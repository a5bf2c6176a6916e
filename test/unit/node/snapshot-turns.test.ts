import { beforeEach, describe, expect, it } from 'vitest';
import { type SnapshotStage, SnapshotTurns } from '../../../src/node/snapshot-turns.js';
import { status } from './parts.js';

const NAMES = ['n1', 'n2', 'n3'];

/** Goal: a snapshot slows one node at a time, so that a majority always answers at its usual pace. */
describe('turns of snapshots', () => {
  let turns: SnapshotTurns[];
  let told: SnapshotStage[];
  let apart: string[];

  /** All nodes hear of all others at once; those in `apart` are heard of no more. */
  beforeEach(() => {
    apart = [];
    told = NAMES.map(() => 'none');
    turns = NAMES.map(
      (ownName, i) =>
        new SnapshotTurns({
          ownName,
          board: {
            of: (name) => ({ status: status({ snapshot: told[NAMES.indexOf(name)]! }), atMs: 0 }),
            reachableSince: (name) => (apart.includes(name) ? 0 : 1),
          },
          peerNames: () => NAMES.filter((name) => name !== ownName),
          changed: () => {
            told[i] = turns[i]!.stage;
          },
        }),
    );
  });

  const come = (share: number): boolean[] => turns.map((one) => one.comes(share));

  it('come one after the other, by name', () => {
    expect(come(0.99)).toEqual([false, false, false]);
    expect(come(1)).toEqual([true, false, false]);
    turns[0]!.begin();
    expect(told).toEqual(['taking', 'none', 'none']);
    expect(turns[1]!.comes(1.1)).toBe(false);
    expect(turns[2]!.comes(1.1)).toBe(false);
    expect(told).toEqual(['taking', 'due', 'due']);
    turns[0]!.end();
    expect(turns[2]!.comes(1.2)).toBe(false);
    expect(turns[1]!.comes(1.2)).toBe(true);
    turns[1]!.begin();
    expect(turns[2]!.comes(1.3)).toBe(false);
    turns[1]!.end();
    expect(turns[2]!.comes(1.3)).toBe(true);
  });

  it('do not wait for a node that only waits itself and comes later', () => {
    expect(turns[2]!.comes(1.1)).toBe(true);
    turns[2]!.begin();
    expect(turns[0]!.comes(1.1)).toBe(false);
    turns[2]!.end();
    expect(turns[0]!.comes(1.1)).toBe(true);
  });

  it('do not wait for a node that cannot be reached', () => {
    turns[0]!.begin();
    apart = ['n1'];
    expect(turns[1]!.comes(1.1)).toBe(true);
  });

  it('are over where the state came from another node meanwhile', () => {
    turns[0]!.begin();
    turns[1]!.comes(1.2);
    expect(told[1]).toBe('due');
    expect(turns[1]!.comes(0)).toBe(false);
    expect(told[1]).toBe('none');
    turns[0]!.end();
    expect(turns[2]!.comes(1.2)).toBe(true);
  });

  it('wait for no one for ever', () => {
    turns[0]!.begin();
    expect(turns[1]!.comes(1.49)).toBe(false);
    expect(turns[1]!.comes(1.5)).toBe(true);
  });

  it('are told when they change, and not each time that they are asked for', () => {
    let words = 0;
    const one = new SnapshotTurns({
      ownName: 'n2',
      board: { of: () => ({ status: status({ snapshot: 'taking' }), atMs: 0 }), reachableSince: () => 1 },
      peerNames: () => ['n1'],
      changed: () => words++,
    });
    for (let i = 0; i < 10; i++) one.comes(1.2);
    expect(words).toBe(1);
    one.begin();
    one.end();
    one.end();
    expect(words).toBe(3);
  });
});
