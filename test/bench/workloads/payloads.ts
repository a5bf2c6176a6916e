import { randomFillSync } from 'node:crypto';
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from '../../../src/client/index.js';
import { Worker } from '../../../src/worker/index.js';
import type { RealCluster } from '../../support/real-cluster.js';
import { FUNCTION, serversCpu, waiting } from '../bench-cluster.js';
import { startCluster } from '../clusters.js';
import type { Context } from '../context.js';
import { spin } from '../gauge.js';
import { shareOf } from '../options.js';

const MIB = 1024 * 1024;
const NODES = 3;
const IN_FLIGHT = 4;
/** What is written at a time to the file that the disk is gauged by. */
const CHUNK = MIB;
const TIMEOUT_MS = 120_000;
const ECHO = 'echo';

/** Payloads of one size, and how many of them. */
const SIZES = [
  { mib: 1, count: 64 },
  { mib: 64, count: 4 },
] as const;

/**
 * Large payloads against what the disk takes: `in` is submitted until accepted (three nodes have it on disk), `through`
 * goes to a worker, comes back as the result, and is read by the client (six times on disk). 100 % is the time that one
 * process needs to write and sync the same bytes so often in sequence, on the same disk, right before and after.
 */
export async function payloads({ report, options }: Context): Promise<void> {
  const cluster = await startCluster();
  const figures: Record<string, number> = {};
  const texts: string[] = [];
  const spinBefore = spin();
  try {
    // The first of them pays for code that is not compiled yet.
    await through(cluster, MIB, IN_FLIGHT);
    for (const { mib, count: most } of SIZES) {
      const count = Math.max(1, Math.round(most * shareOf(options.scale)));
      const bytes = mib * MIB;
      let cpuMs = 0;
      const [inside, inPercent] = await besideDisk(NODES * bytes * count, async () => {
        const before = serversCpu(cluster);
        await into(cluster, bytes, count);
        cpuMs = (serversCpu(cluster) - before) / 1_000 / (mib * count);
      });
      const [out, outPercent] = await besideDisk(2 * NODES * bytes * count, () =>
        through(cluster, bytes, count),
      );
      figures[`in${mib}`] = inPercent;
      figures[`through${mib}`] = outPercent;
      texts.push(
        `${count} × ${mib} MiB: in ${((mib * count) / inside).toFixed(0)} MiB/s (${inPercent.toFixed(0)} % of the disk's ×3, ${cpuMs.toFixed(1)} ms of the nodes' CPU a MiB), ` +
          `through ${((mib * count) / out).toFixed(0)} MiB/s (${outPercent.toFixed(0)} % of ×6)`,
      );
    }
    await cluster.agreedHash();
  } finally {
    await cluster.remove();
  }
  report.add('W4', texts.join('; '), figures, { calm: { spinBefore, spinAfter: spin() } });
}

/** Seconds that `work` took, and what the disk alone needs for so many bytes as percents of that. */
async function besideDisk(bytes: number, work: () => Promise<void>): Promise<[number, number]> {
  const before = sequential(bytes / 2);
  const began = performance.now();
  await work();
  const seconds = (performance.now() - began) / 1_000;
  return [seconds, ((before + sequential(bytes / 2)) / seconds) * 100];
}

/** Seconds for writing so many bytes to a new file in sequence and syncing it once, as `dd bs=1M conv=fdatasync` does. */
function sequential(bytes: number): number {
  const directory = mkdtempSync(join(tmpdir(), 'gearmesh-gauge-'));
  const file = openSync(join(directory, 'file'), 'w');
  try {
    const chunk = randomFillSync(Buffer.alloc(CHUNK));
    const began = performance.now();
    for (let at = 0; at < bytes; at += CHUNK) writeSync(file, chunk, 0, CHUNK, at);
    fdatasyncSync(file);
    return (performance.now() - began) / 1_000;
  } finally {
    closeSync(file);
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Runs `one` so often, a few at a time. */
async function inTurns(count: number, one: (i: number) => Promise<void>): Promise<void> {
  let next = 0;
  const loop = async (): Promise<void> => {
    while (next < count) await one(next++);
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, loop));
}

async function into(cluster: RealCluster, bytes: number, count: number): Promise<void> {
  const payload = randomFillSync(Buffer.alloc(bytes));
  const client = new Client({ endpoints: cluster.endpoints, timeoutMs: TIMEOUT_MS });
  try {
    const before = await waiting(cluster);
    await inTurns(count, async () => {
      await client.submit(FUNCTION, payload);
    });
    const there = (await waiting(cluster)) - before;
    if (there !== count) throw new Error(`${count} jobs were accepted, ${there} wait`);
    await client.queues.purge(FUNCTION);
  } finally {
    await client.close();
  }
}

async function through(cluster: RealCluster, bytes: number, count: number): Promise<void> {
  const payload = randomFillSync(Buffer.alloc(bytes));
  const client = new Client({ endpoints: cluster.endpoints, timeoutMs: TIMEOUT_MS });
  const worker = new Worker({ endpoints: cluster.endpoints, concurrency: IN_FLIGHT });
  worker.handle(ECHO, (job) => job.payload);
  await worker.start();
  try {
    await inTurns(count, async () => {
      const run = client.run(ECHO, payload, { resultRetentionMs: TIMEOUT_MS });
      const back = await (await run.result).bytes();
      if (!payload.equals(back)) throw new Error(`${bytes} bytes went, ${back.length} others came back`);
      await client.delete(run.jobId);
    });
  } finally {
    await worker.stop();
    await client.close();
  }
}
