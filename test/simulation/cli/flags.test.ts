import { describe, expect, it } from 'vitest';
import { FAULT_KINDS, planOf } from '../../../src/sim/plan.js';
import { commandOf, flagsOf, planWith, UsageError } from './flags.js';

/** The words that a shell would pass to the program for a command that was printed. */
function wordsOf(command: string): string[] {
  const [npm, run, sim, dashes, ...words] = command.split(' ');
  expect([npm, run, sim, dashes]).toEqual(['npm', 'run', 'sim', '--']);
  return words;
}

describe('flags of the simulator', () => {
  it('begin with the regressions and a bounded number of seeds', () => {
    expect(flagsOf([])).toMatchObject({ first: 1, count: 100, regressions: true, overrides: {} });
    expect(flagsOf(['--seeds', '7', '--from', '40'])).toMatchObject({ first: 40, count: 7 });
    expect(flagsOf(['--seeds', '0'])).toMatchObject({ count: 0, regressions: true });
    expect(flagsOf(['--no-regressions'])).toMatchObject({ regressions: false });
  });

  it('with minutes have no limit of seeds, but that which is named', () => {
    expect(flagsOf(['--minutes', '3'])).toMatchObject({ minutes: 3, count: Number.POSITIVE_INFINITY });
    expect(flagsOf(['--minutes', '3', '--seeds', '9'])).toMatchObject({ minutes: 3, count: 9 });
  });

  it('with one seed run that seed alone', () => {
    expect(flagsOf(['--seed', '17', '--trace'])).toMatchObject({
      first: 17,
      count: 1,
      single: true,
      trace: true,
      regressions: false,
    });
  });

  it.each([
    [['--seed', 'x'], 'whole number'],
    [['--seed', ''], 'whole number'],
    [['--seeds=-1'], 'whole number'],
    [['--clients', '0'], 'from 1'],
    [['--seed', '1', '--seeds', '2'], 'do not go with it'],
    [['--trace'], 'name its --seed'],
    [['--seed', '1', '--frames'], '--trace'],
    [['--faults', 'crash,flood'], 'there is no fault "flood"'],
    [['--unheard-of'], 'unheard-of'],
    [['17'], '17'],
  ])('%j are refused', (args, why) => {
    expect(() => flagsOf(args)).toThrow(UsageError);
    expect(() => flagsOf(args)).toThrow(why);
  });

  it('repeat every plan by the command that is printed for it', () => {
    const own = planOf(17);
    expect(commandOf(own)).toBe('npm run sim -- --seed 17');
    const plans = [
      own,
      { ...own, clients: 1 },
      { ...own, workers: 1, operations: 60, chaosMs: 1_250, nodes: own.nodes === 5 ? 3 : 5 },
      { ...own, faults: [] },
      { ...own, faults: [FAULT_KINDS[0], FAULT_KINDS[2]] },
    ];
    for (const plan of plans) {
      const { first, overrides } = flagsOf(wordsOf(commandOf(plan)));
      expect(planWith(first, overrides)).toEqual(plan);
    }
  });
});
