import { beforeEach, describe, expect, it } from 'vitest';
import type { SessionPort, WorkerSession } from '../../../src/node/index.js';
import type { SimNode } from '../../../src/sim/cluster.js';
import { jobSpec } from './parts.js';
import { SimBed } from './sim-bed.js';

const SESSION = { namespace: 'default', name: 'late', functions: [], resumable: true, credit: 0 };
const NOBODY: SessionPort = {
  assigned: () => {},
  leasesLost: () => {},
  cancelRequested: () => {},
  redirect: () => {},
  drain: () => {},
  closed: () => {},
};

/**
 * Goal: a node that did not see all entries go by one after the other, or that the others gave up, has missed what they
 * would have told its calls and connections: it behaves as if restarted (section 11 of the design, rule 4).
 */
describe('a node that skipped log', () => {
  let bed: SimBed;
  let away: SimNode;
  let before: number;
  let session: WorkerSession;
  let told: string[];
  let calls: string[];

  beforeEach(async () => {
    // So little log is kept that who was away for a while needs another node's state.
    bed = await SimBed.started(9, { snapshotLogBytes: 8 * 1024, keepLogBytes: 1024 });
    away = bed.follower;
    before = bed.incarnation(away);
    ({ session, told } = await bed.worker(away, 1));
    calls = [];
  });

  function cutOff(): void {
    for (const other of bed.others(away)) {
      bed.cluster.network.cut(away.name, other.name);
      bed.cluster.network.cut(other.name, away.name);
    }
  }

  function call(name: string, work: Promise<unknown>): void {
    work.then(
      () => calls.push(`${name} done`),
      (error: { code: string; outcome: string }) => calls.push(`${name} ${error.code} ${error.outcome}`),
    );
  }

  const back = (): boolean => bed.incarnation(away) > before && away.node!.phase === 'ready';

  it('rule: skipped log - a snapshot installed: calls are settled by job id or reported unknown, connections closed, NodeUp again', async () => {
    cutOff();
    const id = away.node!.newJobId();
    call('submit', away.node!.submit('default', [jobSpec({ id })], { allOrNothing: false }));
    call('open', away.node!.openSession(SESSION, NOBODY));
    await bed.pass(10);
    for (let i = 0; i < 100; i++) await bed.submit(bed.others(away)[0], { payload: Buffer.alloc(200) });
    expect(calls).toEqual([]);
    bed.cluster.network.heal();
    await bed.until(back);
    await bed.until(() => calls.length === 2);
    expect(bed.lines.some((line) => line.includes(`${away.name} state replaced by a snapshot`))).toBe(true);
    expect(told).toEqual(['NO_LEADER']);
    expect(calls.sort()).toEqual(['open OUTCOME_UNKNOWN UNKNOWN', 'submit done']);
    await bed.until(() => bed.agree());
    expect(bed.core(away).findJob('default', id)).not.toBeNull();
    expect(
      bed
        .core(bed.leader)
        .nodes()
        .filter((node) => node.name === away.name && node.up),
    ).toHaveLength(1);
  });

  it('reports as unknown what is refused when it is said again: the first time may have counted', async () => {
    const [other] = bed.others(away);
    const id = await bed.submit(other, { retentionMs: 0 });
    await bed.until(() => bed.agree());
    // What it says is heard, and nothing reaches it.
    for (const one of bed.others(away)) bed.cluster.network.cut(one.name, away.name);
    call('cancel', away.node!.cancelJob('default', id, 'by hand', 0, {}));
    await bed.until(() => bed.core(other).findJob('default', id) === null);
    for (let i = 0; i < 100; i++) await bed.submit(other, { payload: Buffer.alloc(200) });
    expect(calls).toEqual([]);
    bed.cluster.network.heal();
    await bed.until(() => calls.length === 1);
    expect(bed.lines.some((line) => line.includes(`${away.name} state replaced by a snapshot`))).toBe(true);
    expect(calls).toEqual(['cancel OUTCOME_UNKNOWN UNKNOWN']);
  });

  it('rule: skipped log - its own NodeDown applied: calls go on under the next incarnation, connections closed, NodeUp again', async () => {
    cutOff();
    const id = away.node!.newJobId();
    call('submit', away.node!.submit('default', [jobSpec({ id })], { allOrNothing: false }));
    call('open', away.node!.openSession(SESSION, NOBODY));
    const down = (): boolean =>
      !bed
        .core(bed.others(away)[0])
        .nodes()
        .some((node) => node.name === away.name && node.up);
    await bed.until(down);
    bed.cluster.network.heal();
    await bed.until(back);
    await bed.until(() => calls.length === 2);
    expect(bed.lines.some((line) => line.includes(`${away.name} state replaced by a snapshot`))).toBe(false);
    // The session lives: the worker is to resume it, and need not give up its jobs.
    expect(told).toEqual(['NO_LEADER']);
    const resume = { session: session.id, secret: session.secret, heldTokens: [] };
    const resumed = bed.others(away)[0]!.node!.attachSession(resume, NOBODY);
    expect((await bed.settled(resumed)).id).toBe(session.id);
    // Nothing of the old incarnation can count any more, so nothing is in doubt.
    expect(calls.sort()).toEqual(['open done', 'submit done']);
    await bed.until(() => bed.agree());
    expect(bed.core(away).findJob('default', id)).not.toBeNull();
  });
});
