import { describe, expect, it } from 'vitest';
import { GearmeshError } from '../../../src/core/errors.js';
import { errorFromWire, errorToWire } from '../../../src/node/wire-error.js';
import type { SimNode } from '../../../src/sim/cluster.js';
import { SimBed } from './sim-bed.js';

/** Goal: what only the leader can do is answered with the same words by every node, and truthfully (promise 5). */
function transfer(node: SimNode, to: string, signal?: AbortSignal) {
  return node.node!.transferLeadership(to, signal === undefined ? {} : { signal });
}

/** A new disk, that has found the others. */
async function wipe(bed: SimBed, node: SimNode): Promise<void> {
  node.kill(true);
  node.wipe();
  void node.start();
  await bed.until(() => node.node?.phase === 'forming');
  await bed.pass(500);
}

describe('handing leadership over', () => {
  it('is answered alike by the leader and by the others', async () => {
    const bed = await SimBed.started(3);
    for (const node of [bed.leader, bed.follower]) {
      const error = await bed.settled(transfer(node, 'nope').catch((thrown: unknown) => thrown));
      expect(error).toBeInstanceOf(GearmeshError);
      expect(error).toMatchObject({ code: 'NOT_FOUND', outcome: 'NOT_APPLIED' });
      expect((error as Error).message).toBe('nope is no member that could take over');
    }
  });

  it('gives a revision with which any node shows the new leader', async () => {
    const bed = await SimBed.started(3);
    const [target, through] = bed.others(bed.leader);
    const done = await bed.settled(transfer(through, target.name));
    expect(done.leader).toBe(target.name);
    for (const node of bed.cluster.nodes) {
      const read = { consistency: 'eventual', minRevision: done.revision } as const;
      expect((await bed.settled(node.node!.cluster(read))).leader).toBe(target.name);
    }
  });

  it.each(['the leader', 'a follower'])('is unknown once it has begun, through %s', async (who) => {
    const bed = await SimBed.started(3);
    const { leader } = bed;
    const [target, other] = bed.others(leader);
    // It hears nothing, so that it cannot take over.
    bed.cluster.network.cut(leader.name, target.name);
    const begun = transfer(who === 'the leader' ? leader : other, target.name).catch(
      (error: unknown) => error,
    );
    expect(await bed.settled(begun)).toMatchObject({ code: 'OUTCOME_UNKNOWN', outcome: 'UNKNOWN' });
  });

  it('through a follower ends when its caller gives up', async () => {
    const bed = await SimBed.started(3);
    const { leader } = bed;
    const [target, other] = bed.others(leader);
    bed.cluster.network.cut(leader.name, target.name);
    const call = new AbortController();
    const begun = transfer(other, target.name, call.signal).catch((error: unknown) => error);
    await bed.pass(200);
    call.abort();
    expect(await bed.settled(begun, 100)).toMatchObject({ code: 'OUTCOME_UNKNOWN', outcome: 'UNKNOWN' });
  });

  it('without a leader ends in the moment in which its caller gives up, and was not done', async () => {
    const bed = await SimBed.started(3);
    const [alone, ...others] = bed.cluster.nodes as [SimNode, SimNode, SimNode];
    for (const other of others) {
      bed.cluster.network.cut(alone.name, other.name);
      bed.cluster.network.cut(other.name, alone.name);
    }
    await bed.pass(5_000);
    const call = new AbortController();
    const begun = transfer(alone, '', call.signal).catch((error: unknown) => error);
    await bed.pass(105);
    call.abort();
    expect(await bed.settled(begun, 2)).toMatchObject({ code: 'NO_LEADER', outcome: 'NOT_APPLIED' });
  });

  it('is not applied where the leader could not be told', async () => {
    const bed = await SimBed.started(3);
    const { follower } = bed;
    const before = bed.leader.name;
    bed.cluster.network.end(follower.name)!.drop(before, 'closed');
    const error = await bed.settled(transfer(follower, '').catch((thrown: unknown) => thrown));
    expect(error).toMatchObject({ code: 'NO_LEADER', outcome: 'NOT_APPLIED' });
  });
});

describe('replacing a node', () => {
  it('tells the same steps through a follower as at the leader', async () => {
    const lines: string[][] = [];
    for (const who of ['leader', 'follower'] as const) {
      const bed = await SimBed.started(3);
      const [wiped, other] = bed.others(bed.leader);
      await wipe(bed, wiped);
      const told: string[] = [];
      const through = who === 'leader' ? bed.leader : other;
      const replaced = through.node!.replaceNode(wiped.name, {}, (line) => told.push(line));
      expect((await bed.settled(replaced, 30_000)).revision).toBeGreaterThan(0);
      // How far the new disk has come when it is looked at is a matter of moments.
      const alike = told.map((line) =>
        line.replaceAll(/[0-9a-f]{16,}/g, 'DISK').replaceAll(/\d+ % of \d+ log/g, 'N % of N log'),
      );
      lines.push(alike.filter((line, i) => line !== alike[i - 1]));
    }
    const [atLeader, through] = lines as [string[], string[]];
    expect(atLeader.length).toBeGreaterThan(3);
    expect(through[0]).toMatch(/^the leader n\d does it$/);
    expect(through.slice(1)).toEqual(atLeader);
  });

  it('ends at the leader too when the caller of a follower gives up', async () => {
    const bed = await SimBed.started(3);
    const [wiped, other] = bed.others(bed.leader);
    await wipe(bed, wiped);
    const call = new AbortController();
    const told: string[] = [];
    const replaced = other
      .node!.replaceNode(wiped.name, { signal: call.signal }, (line) => told.push(line))
      .catch((error: unknown) => error);
    await bed.until(() => told.length > 1);
    call.abort();
    expect(await bed.settled(replaced)).toMatchObject({ code: 'CANCELLED', outcome: 'UNKNOWN' });
  });

  it('waits a moment for one that is just being started, and no longer', async () => {
    const bed = await SimBed.started(3);
    const [wiped] = bed.others(bed.leader);
    wiped.kill(true);
    wiped.wipe();
    await bed.pass(500);
    const replace = () => bed.leader.node!.replaceNode(wiped.name, {}, () => {});
    const refused = replace().catch((error: unknown) => error);
    expect(await bed.settled(refused, 10_000)).toMatchObject({ code: 'WRONG_STATE', outcome: 'NOT_APPLIED' });
    const replaced = replace();
    await bed.pass(1_000);
    void wiped.start();
    expect((await bed.settled(replaced, 30_000)).revision).toBeGreaterThan(0);
  });

  it('that is no member is answered alike by every node', async () => {
    const bed = await SimBed.started(3);
    for (const node of [bed.leader, bed.follower]) {
      const replaced = node.node!.replaceNode('nope', {}, () => {}).catch((error: unknown) => error);
      expect(await bed.settled(replaced)).toMatchObject({ code: 'NOT_FOUND', outcome: 'NOT_APPLIED' });
    }
  });
});

describe("another node's error", () => {
  it('arrives as it was', () => {
    const error = new GearmeshError('LIMIT_REACHED', {
      message: 'full',
      outcome: 'UNKNOWN',
      metadata: { limit: 'jobs-max', value: '7' },
      violations: [{ field: 'node', description: 'is required' }],
      retryAfterMs: 5,
    });
    const { reason, body } = errorToWire(error);
    expect(errorFromWire(reason, body)).toEqual(error);
  });

  it.each([
    ['a text', 'boom'],
    ['a code that this version does not know', { code: 'toString', outcome: 'NOT_APPLIED' }],
    ['nothing', null],
  ])('that is %s is a defect, and nobody knows what became of it', (_, body) => {
    expect(errorFromWire('boom', body)).toMatchObject({
      code: 'INTERNAL',
      outcome: 'UNKNOWN',
      message: 'boom',
    });
  });

  it('holds nothing that is not of its form', () => {
    const body = { code: 'NOT_FOUND', outcome: 3, metadata: { a: 1, b: 'c' }, violations: [7, null, {}] };
    expect(errorFromWire('gone', body)).toMatchObject({
      outcome: 'UNKNOWN',
      metadata: { b: 'c' },
      violations: [],
      retryAfterMs: undefined,
    });
  });
});
