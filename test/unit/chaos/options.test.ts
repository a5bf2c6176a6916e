import { describe, expect, it } from 'vitest';
import { ALL_FAULTS, faultsOf } from '../../chaos/faults/kinds.js';
import { HELP, readOptions, UsageError } from '../../chaos/options.js';

const read = (...args: string[]) => readOptions(args, () => 7);

describe('the command line of the chaos runs', () => {
  it('has every fault, three nodes, five minutes and a seed of its own by default', () => {
    const options = read();
    expect(options).toMatchObject({
      minutes: 5,
      nodes: 3,
      seed: 7,
      network: 'auto',
      keep: false,
      json: false,
    });
    expect(options.faults).toEqual(ALL_FAULTS.filter((kind) => kind !== 'kill-two'));
    expect(read('--nodes', '5').faults).toEqual([...ALL_FAULTS]);
  });

  it('takes kinds and groups, each kind once', () => {
    expect(faultsOf(['partition', 'cut-one', 'pause'])).toEqual([
      'pause',
      'cut-one',
      'cut-one-way',
      'cut-halves',
      'cut-leader',
    ]);
    expect(read('--faults', 'kill').faults).toEqual(['kill', 'kill-all']);
  });

  it.each([
    ['--nodes', '4'],
    ['--minutes', 'x'],
    ['--minutes', ''],
    ['--seed', '-1'],
    ['--rate', '0'],
    ['--network', 'carrier-pigeon'],
    ['--faults', 'kill,meteor'],
    ['--nonsense'],
  ])('refuses %s %s', (...args) => {
    expect(() => read(...args)).toThrow(UsageError);
  });

  it('names every kind in its help', () => {
    for (const kind of ALL_FAULTS) expect(HELP).toContain(kind);
  });
});
