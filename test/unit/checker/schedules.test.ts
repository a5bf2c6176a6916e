import { describe, it } from 'vitest';
import { accepts, complete, last, lease, rejects, succeeded } from './bed.js';

describe('schedule', () => {
  const lives = [
    lease('a', 20, 1),
    complete('a', [30, 40], 1),
    lease('b', 50, 2),
    complete('b', [60, 70], 2),
  ];

  it('rejects two jobs of one schedule and minute', () => {
    rejects('schedule', [
      ...lives,
      last('a', 99, succeeded('a'), { madeBy: 's/1' }),
      last('b', 99, succeeded('b'), { madeBy: 's/1' }),
    ]);
  });

  it('accepts one for each minute and schedule, as every node has it', () => {
    accepts([
      ...lives,
      last('a', 99, succeeded('a'), { madeBy: 's/1' }),
      last('a', 99, succeeded('a'), { madeBy: 's/1', node: 'n2' }),
      last('b', 99, 'absent', { madeBy: 's/2' }),
    ]);
  });
});
