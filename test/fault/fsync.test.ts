import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { RealCluster } from '../support/real-cluster.js';
import { REQUIRED } from '../support/required.js';
import { NO_STRACE, readTrace, straceTo, type Traced, whyNoStrace } from '../support/strace.js';

/**
 * Goal: "An acknowledged submission is on disk (fdatasync returned) on a majority" (docs/guarantees.md, promise 1).
 * SIGKILL leaves the page cache alone, so the other tests prove nothing about syncing. Here every node runs under
 * strace: for each submission, two nodes wrote its payload to their log and had the fdatasync of that file return,
 * all between the submission and its acknowledgement.
 */
const reason = whyNoStrace();
const SUBMISSIONS = 30;

interface Submission {
  readonly marker: string;
  readonly sentMs: number;
  readonly acknowledgedMs: number;
}

/** When the payload with this marker was durable at a node: a sync begun after its write had returned. */
function durableMs(trace: readonly Traced[], marker: string): number {
  const write = trace.find((one) => one.kind === 'write' && one.shown.includes(marker));
  if (write === undefined) return Number.POSITIVE_INFINITY;
  const sync = trace.find(
    (one) => one.kind === 'sync' && one.file === write.file && one.begunMs >= write.doneMs,
  );
  return sync?.doneMs ?? Number.POSITIVE_INFINITY;
}

it.runIf(REQUIRED)('where strace can be installed, it is there', () => {
  // A system that forbids to trace is another matter, which the title of the skipped test names.
  expect(reason).not.toBe(NO_STRACE);
});

describe.skipIf(reason !== null)(`syncing${reason === null ? '' : ` (skipped: ${reason})`}`, () => {
  let cluster: RealCluster;
  afterEach(async () => {
    await cluster.remove();
  });

  it('acknowledges a submission only after two nodes have it on disk', async () => {
    const traces = new Map<string, string>();
    cluster = await RealCluster.prepare({
      wrap: (name, directory) => {
        traces.set(name, join(directory, `${name}.trace`));
        return straceTo(traces.get(name)!);
      },
      // A traced process is slow: nobody is to be taken for dead because of it.
      flags: ['--election-timeout-ms', '3000', '--node-down-ms', '10000'],
    });
    for (const node of cluster.nodes) node.start();
    await cluster.ready();

    const submissions: Submission[] = [];
    for (const node of cluster.nodes) {
      const client = cluster.client({ only: node.name });
      await client.submit('warm-up');
      for (let i = 0; i < SUBMISSIONS; i++) {
        const marker = `<${node.name} marker ${i}>`;
        // Whole milliseconds, rounded to the side that makes the window larger on neither end by more than one.
        const sentMs = Date.now();
        await client.submit('sync', marker);
        submissions.push({ marker, sentMs, acknowledgedMs: Date.now() + 1 });
      }
      await client.close();
    }
    await Promise.all(cluster.nodes.map((node) => node.end('SIGTERM')));

    const logs = [...traces.values()].map(readTrace);
    let waits = 0;
    for (const { marker, sentMs, acknowledgedMs } of submissions) {
      const durable = logs.map((log) => durableMs(log, marker)).sort((a, b) => a - b);
      expect(durable[0]!, marker).toBeGreaterThanOrEqual(sentMs);
      expect(durable[1]!, `${marker}: second node`).toBeLessThanOrEqual(acknowledgedMs);
      waits += acknowledgedMs - durable[1]!;
    }
    console.log(
      `${submissions.length} submissions; acknowledged ${(waits / submissions.length).toFixed(1)} ms after the second sync`,
    );
  });
});
