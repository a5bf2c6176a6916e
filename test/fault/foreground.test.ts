import { afterEach, describe, expect, it } from 'vitest';
import type { Run, RunEvent } from '../../src/client/index.js';
import { Worker } from '../../src/worker/index.js';
import { Gate } from '../support/gate.js';
import { RealCluster, type RealNode } from '../support/real-cluster.js';

/**
 * Goal: "Background jobs and foreground jobs alike survive a leader's death; a foreground client that reconnects (any
 * node) and names its job gets the same result" (docs/guarantees.md, promise 6). The node that a foreground client
 * talks to is killed in mid-job: the client gets the result through another one, and each data chunk once, or a gap
 * that names it.
 */
const CHUNKS = 40;
const BEFORE = 20;
const WAIT_MS = 30_000;

/** A worker that sends half of its data, waits for `goOn`, sends more, waits for `finish`, and sends the rest. */
async function startTalker(
  cluster: RealCluster,
  at: RealNode,
  goOn: Gate,
  finish: Gate = goOn,
): Promise<Worker> {
  const worker = new Worker({ endpoints: cluster.endpointsFrom(at.name), order: 'listed' });
  worker.handle('talk', async (_job, ctx) => {
    for (let i = 0; i < CHUNKS; i++) {
      if (i === BEFORE) await goOn.within(WAIT_MS);
      if (i === BEFORE + 10) await finish.within(WAIT_MS);
      await ctx.data(`chunk ${i}`);
    }
    return 'said it all';
  });
  await worker.start();
  return worker;
}

/** Reads a run to its end; `onChunk` learns the number of each chunk. */
async function listen(run: Run, onChunk: (number: number) => void): Promise<RunEvent[]> {
  const events: RunEvent[] = [];
  for await (const event of run) {
    events.push(event);
    if (event.type === 'data') onChunk(event.number);
  }
  return events;
}

/** Every chunk came once, in order, or lies in a gap. */
function expectAllAccountedFor(events: readonly RunEvent[]): number {
  let next = 0;
  let lost = 0;
  for (const event of events) {
    if (event.type === 'data') {
      expect(event.number).toBe(next);
      expect(Buffer.from(event.chunk).toString()).toBe(`chunk ${next}`);
      next++;
    } else if (event.type === 'gap') {
      expect(event.from).toBe(next);
      lost += event.to - event.from + 1;
      next = event.to + 1;
    }
  }
  expect(next).toBe(CHUNKS);
  return lost;
}

describe('the node of a foreground client is killed', () => {
  let cluster: RealCluster;
  afterEach(async () => {
    await cluster.remove();
  });

  for (const role of ['follower', 'leader'] as const) {
    it(`gets result and data through another node (it was the ${role})`, async () => {
      cluster = await RealCluster.start();
      const leader = await cluster.leader();
      const node = role === 'leader' ? leader : (await cluster.followers())[0]!;
      const elsewhere = (await cluster.followers()).find((one) => one !== node)!;
      const goOn = new Gate();
      const back = new Gate();
      const worker = await startTalker(cluster, elsewhere, goOn, back);
      const client = cluster.client({ first: node.name });
      const half = new Gate();
      const run = client.run('talk');
      const listening = listen(run, (number) => {
        if (number === BEFORE - 1) half.open();
        if (number === BEFORE + 9) back.open();
      });
      await half.within(WAIT_MS);
      await node.end('SIGKILL');
      goOn.open();
      expect(await (await run.result).text()).toBe('said it all');
      const events = await listening;
      expect(events.filter((one) => one.type === 'accepted')).toHaveLength(1);
      expect(events.at(-1)).toMatchObject({
        type: 'ended',
        state: 'succeeded',
        attempt: 1,
        dataCount: CHUNKS,
      });
      // The worker's node lives, keeps the chunks that nobody heard, and says them to who comes back.
      expect(expectAllAccountedFor(events)).toBe(0);
      await worker.stop();
      await client.close();
    });
  }

  it("says which data is lost when the worker's node is killed", async () => {
    cluster = await RealCluster.start();
    const [here, there] = await cluster.followers();
    const goOn = new Gate();
    const worker = await startTalker(cluster, there!, goOn);
    const client = cluster.client({ first: here!.name });
    const half = new Gate();
    const run = client.run('talk');
    const listening = listen(run, (number) => {
      if (number === BEFORE - 1) half.open();
    });
    await half.within(WAIT_MS);
    await there!.end('SIGKILL');
    goOn.open();
    const result = await run.result;
    expect(await result.text()).toBe('said it all');
    expect(result.dataCount).toBe(CHUNKS);
    const lost = expectAllAccountedFor(await listening);
    console.log(`${lost} of ${CHUNKS} chunks lost with the worker's node`);
    await worker.stop();
    await client.close();
  });

  it('gives the same result to whoever names the job, at any node', async () => {
    cluster = await RealCluster.start();
    const node = (await cluster.followers())[0]!;
    const goOn = new Gate();
    const elsewhere = cluster.nodes.find((one) => one !== node)!;
    const worker = await startTalker(cluster, elsewhere, goOn);
    const lonely = cluster.client({ only: node.name });
    const half = new Gate();
    const run = lonely.run('talk', '', { resultRetentionMs: 60_000 });
    const listening = listen(run, () => half.open()).catch((error: Error) => error);
    await half.within(WAIT_MS);
    await node.end('SIGKILL');
    run.close();
    await expect(run.result).rejects.toMatchObject({ reason: 'CLOSED' });
    await listening;
    goOn.open();
    for (const other of cluster.nodes.filter((one) => one !== node)) {
      const client = cluster.client({ only: other.name });
      expect(await (await client.watch(run.jobId).result).text()).toBe('said it all');
      await client.close();
    }
    await worker.stop();
    await lonely.close();
  });
});
