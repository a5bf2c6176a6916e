import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '../../client/index.js';
import { readClusterStatus } from '../cluster-status.js';
import type { CliCommand } from '../command.js';
import { command } from '../command.js';
import type { CliContext } from '../context.js';
import { say, tell } from '../context.js';
import { DevCluster } from '../dev-cluster.js';
import { freeBasePort } from '../dev-ports.js';
import { CliError } from '../exit-codes.js';
import { wholeNumber } from '../values.js';

interface DemoFlags {
  readonly jobs: number;
  readonly basePort?: number;
}

const FIRST_PORT = 17_730;
const FOLLOWED_AT_ONCE = 100;
/** Long enough that many jobs are still waiting when the leader dies. */
const WORK_MS = 20;

export function demoCommand(context: CliContext): CliCommand {
  return command('demo', 'Show in a few seconds what a cluster does when its leader is killed.')
    .option('--jobs <N>', 'How many background jobs.', wholeNumber(1, 100_000), 1_000)
    .option(
      '--base-port <PORT>',
      'gRPC port of the first node. By default a free one.',
      wholeNumber(1, 65_000),
    )
    .note('Starts three nodes in a temporary directory and ends them again; nothing is left behind.')
    .example('gearmesh demo', 'With 1,000 background jobs')
    .action((flags: DemoFlags) => demo(context, flags));
}

async function demo(context: CliContext, flags: DemoFlags): Promise<void> {
  const basePort = flags.basePort ?? (await freeBasePort(3, FIRST_PORT));
  if (basePort === null)
    throw new CliError('FAILED', 'no free ports were found', 'name some with --base-port');
  const directory = mkdtempSync(join(tmpdir(), 'gearmesh-demo-'));
  try {
    const cluster = await DevCluster.start({
      nodes: 3,
      basePort,
      directory,
      clusterName: 'demo',
      entry: context.entry,
      environment: context.environment,
      serverFlags: [],
      restart: false,
      report: () => {},
      signal: context.signal,
    });
    try {
      await show(context, cluster, flags.jobs);
    } finally {
      await cluster.stop();
    }
    tell(context, '\nThe demo is over; its nodes and their data are gone.');
  } catch (error) {
    if (!context.signal.aborted) throw error;
    throw new CliError('INTERRUPTED', 'stopped');
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function show(context: CliContext, cluster: DevCluster, jobs: number): Promise<void> {
  const { Client } = await import('../../client/index.js');
  const { Worker } = await import('../../worker/index.js');
  const { endpoints } = cluster;
  const { leader } = await readClusterStatus(endpoints, 10_000);
  say(context, `Three nodes are up: ${endpoints.join(', ')}; ${leader} leads.`);

  const worker = new Worker({ endpoints, name: 'demo', concurrency: 64 });
  worker.handle('reverse', async (job) => {
    await sleep(WORK_MS);
    return [...job.text()].reverse().join('');
  });
  await worker.start();
  const client = new Client({ endpoints });
  try {
    say(context, '\nA foreground job: reverse "Hello World!"');
    const result = await client.run('reverse', 'Hello World!', { signal: context.signal }).result;
    say(context, `  ${await result.text()}`);
    await killTheLeader(context, cluster, client, leader, jobs);
  } finally {
    await worker.stop();
    await client.close();
  }
}

/** Queues jobs through one node, kills the leader while they are being done, and counts them all. */
async function killTheLeader(
  context: CliContext,
  cluster: DevCluster,
  client: Client,
  leader: string,
  jobs: number,
): Promise<void> {
  const { Client: AnyClient } = await import('../../client/index.js');
  const { signal } = context;
  const victim = cluster.nodes.find((n) => n.id === leader)!;
  const through = cluster.nodes.find((n) => n.id !== leader)!;
  const one = new AnyClient({ endpoints: through.grpc });
  let ids: string[];
  try {
    const inputs = Array.from({ length: jobs }, (_, i) => ({
      function: 'reverse',
      payload: `job ${i}`,
      resultRetentionMs: 600_000,
    }));
    const begin = performance.now();
    const accepted = await one.submitMany(inputs, { signal });
    say(context, `\n${jobs} background jobs, through ${through.id} alone:`);
    say(
      context,
      `  accepted in ${(performance.now() - begin).toFixed(0)} ms, each on disk on two of three nodes`,
    );
    ids = accepted.map((r) => {
      if (r instanceof Error) throw r;
      return r.jobId;
    });
  } finally {
    await one.close();
  }

  const killed = performance.now();
  process.kill(victim.pid, 'SIGKILL');
  ids.push((await client.submit('reverse', 'after the kill', { resultRetentionMs: 600_000, signal })).jobId);
  say(context, `\n${leader}, the leader, is killed (kill -9):`);
  say(context, `  ${(performance.now() - killed).toFixed(0)} ms until the next job was accepted`);

  const done = await countDone(client, ids, signal);
  say(context, `  ${done} of ${ids.length} jobs are done`);
  if (done < ids.length) throw new CliError('DEFECT', `${ids.length - done} accepted jobs are missing`);
  const { leader: next, term } = await client.cluster.get({ signal });
  say(context, `  ${next} leads now, in term ${term}`);
}

/** Follows the jobs to their ends, some at a time, and counts those that succeeded. */
async function countDone(client: Client, ids: readonly string[], signal: AbortSignal): Promise<number> {
  let done = 0;
  for (let at = 0; at < ids.length; at += FOLLOWED_AT_ONCE) {
    const part = ids.slice(at, at + FOLLOWED_AT_ONCE);
    const ended = await Promise.allSettled(part.map((id) => client.watch(id, { signal }).result));
    done += ended.filter((e) => e.status === 'fulfilled').length;
  }
  return done;
}
