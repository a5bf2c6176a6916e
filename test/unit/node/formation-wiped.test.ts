import { describe, expect, it } from 'vitest';
import { World } from '../../../src/sim/world.js';
import { FormationBed } from './formation-bed.js';
import { pass } from './parts.js';

/**
 * Goal: whatever founders are wiped in the middle of a formation, it ends in one cluster or in a line that tells the
 * operator what to do; never in two clusters (design, "Formation and wiped disks").
 */
const NAMES = ['n1', 'n2', 'n3'];
const TWINS = ['n1', 'n2'];
const TO_EMPTY = 'empty their data directories';
const TO_REPLACE = 'gearmesh cluster replace';

/** Steps of a formation that nothing disturbs. */
async function undisturbed(names: readonly string[]): Promise<number> {
  const world = new World(1);
  const bed = new FormationBed(world, names);
  for (const name of names) bed.start(name);
  await pass(world, 2_000);
  expect(new Set(bed.clusters()).size).toBe(1);
  expect(bed.quorums()).toHaveLength(1);
  return bed.steps;
}

/** Those that run without a cluster have been told why, by a line of the last seconds. */
function expectTold(bed: FormationBed): 'formed' | 'replace' | 'empty' {
  const clusters = bed.clusters();
  const waiting = bed.names.filter((_, i) => clusters[i] === undefined);
  if (waiting.length === 0) return 'formed';
  const lines = bed.log.filter((line) => waiting.includes(line.name)).map((line) => line.message);
  if (waiting.length < bed.names.length) {
    for (const name of waiting) {
      expect(
        bed.log.some((one) => one.name === name && one.message.includes(TO_REPLACE)),
        name,
      ).toBe(true);
    }
    return 'replace';
  }
  expect(lines.some((message) => message.includes(TO_EMPTY))).toBe(true);
  return 'empty';
}

async function disturbed(names: readonly string[], at: ReadonlyMap<number, string>) {
  const world = new World(1);
  const bed = new FormationBed(world, names);
  bed.onStep = (step) => {
    const victim = at.get(step);
    if (victim !== undefined) bed.wipe(victim);
  };
  for (const name of names) bed.start(name);
  await pass(world, 5_000);
  bed.log.length = 0;
  await pass(world, 15_000);
  expect(bed.quorums().length).toBeLessThanOrEqual(1);
  const end = expectTold(bed);
  if (end === 'empty') {
    // What the line says: stop all, empty the directories, start again.
    for (const name of names) bed.kill(bed.route.get(name)!);
    for (const name of names) bed.start(name);
    await pass(world, 5_000);
    expect(new Set(bed.clusters()).size).toBe(1);
    expect(bed.quorums()).toHaveLength(1);
  }
  return { end, bed };
}

describe('a founder that is wiped', () => {
  it.each([2, 3, 4])('at any step of %i nodes leaves one cluster or a line that helps', async (count) => {
    const names = Array.from({ length: count }, (_, i) => `n${i + 1}`);
    const steps = await undisturbed(names);
    const ends = new Map<string, number>();
    for (const victim of names) {
      for (let step = 0; step < steps; step++) {
        const { end } = await disturbed(names, new Map([[step, victim]]));
        ends.set(end, (ends.get(end) ?? 0) + 1);
      }
    }
    for (const end of ['formed', 'replace', 'empty']) expect(ends.get(end), end).toBeGreaterThan(0);
  });

  it('with another one, at any two steps, does the same', async () => {
    const steps = await undisturbed(NAMES);
    for (const [one, other] of [
      ['n1', 'n2'],
      ['n1', 'n3'],
      ['n2', 'n3'],
    ] as const) {
      for (let first = 0; first < steps; first += 1) {
        for (let second = first + 1; second < steps; second += 3) {
          await disturbed(
            NAMES,
            new Map([
              [first, one],
              [second, other],
            ]),
          );
        }
      }
    }
  });

  it('before anything was promised does not matter', async () => {
    for (const victim of NAMES) {
      const { end } = await disturbed(NAMES, new Map([[0, victim]]));
      expect(end).toBe('formed');
    }
  });

  it('and that did not found it is left out by the next attempt of the founder', async () => {
    const world = new World(1);
    const bed = new FormationBed(world, NAMES);
    let cut = true;
    bed.loses = () => cut && bed.disks.some((disk) => disk.name === 'n2' && disk.promised !== null);
    for (const name of NAMES) bed.start(name);
    await pass(world, 300);
    expect(bed.clusters()).toEqual([undefined, undefined, undefined]);
    bed.wipe('n3');
    cut = false;
    await pass(world, 2_000);
    expect(new Set(bed.clusters()).size).toBe(1);
    expect(bed.route.get('n2')!.disk.joined!.attempt).toBe(2);
  });

  it('while it still runs elsewhere under its name makes no second cluster', async () => {
    let formed = 0;
    for (let seed = 1; seed <= 150; seed++) {
      const world = new World(seed);
      const { random } = world;
      const bed = new FormationBed(world, NAMES);
      bed.delayMs = () => random.between(0.1, 120);
      const lossPermille = random.pick([0, 50, 200]);
      bed.loses = () => random.chance(lossPermille);
      for (const name of NAMES) bed.start(name);
      const twins = new Map(TWINS.map((name) => [name, [bed.route.get(name)!]]));
      for (let i = 0; i < 12; i++) {
        await pass(world, random.between(1, 150));
        const name = random.pick(TWINS);
        const twin = twins.get(name)!;
        // Which of a name's processes the others reach changes; now and then there is one more, or one dies.
        if (random.chance(300)) twin.push(bed.start(name));
        else if (random.chance(200)) bed.wipe(name);
        else {
          const one = random.pick(twin);
          if (one.alive) bed.route.set(name, one);
        }
      }
      await pass(world, 5_000);
      expect(bed.quorums().length, `seed ${seed}`).toBeLessThanOrEqual(1);
      formed += bed.quorums().length;
    }
    expect(formed).toBeGreaterThan(40);
  });
});
