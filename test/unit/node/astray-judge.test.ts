import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { whyAstray } from '../../support/real-cluster.js';
import { SimBed } from './sim-bed.js';

/**
 * Goal: a replica that went astray mends itself, so the equal hashes at the end of a fault test say nothing; what it
 * said and left behind does. A node of the code that ships applies one entry otherwise; what it says goes to the judge.
 */
describe('the judge of the fault tests', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'gearmesh-astray-'));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  const judged = (log: string, damaged = false): string | null =>
    whyAstray({ name: 'n1', directory, log: () => log }, damaged);

  it('finds nothing at a node that is well', () => {
    mkdirSync(join(directory, 'wal'));
    expect(judged('leader known')).toBeNull();
  });

  it('finds what a node says whose state differs, also where its disk was broken on purpose', async () => {
    const bed = await SimBed.started(3);
    await bed.submit(bed.leader);
    await bed.until(() => bed.agree());
    const core = bed.core(bed.follower);
    const apply = core.apply.bind(core);
    core.apply = (index, entry, effects) => {
      const other = Buffer.from(entry);
      other.writeDoubleLE(other.readDoubleLE(9) + 1, 9);
      apply(index, other, effects);
    };
    expect(judged(bed.lines.join('\n'))).toBeNull();
    await bed.submit(bed.leader);
    await bed.until(() => bed.cluster.diverged.length > 0);
    expect(judged(bed.lines.join('\n'))).toContain('n1 had another state');
    expect(judged(bed.lines.join('\n'), true)).toContain('n1 had another state');
  });

  it('finds data that was set aside, unless the test broke that disk', () => {
    mkdirSync(join(directory, 'damaged-1'));
    expect(judged('')).toContain('damaged-1');
    expect(judged('', true)).toBeNull();
  });
});
