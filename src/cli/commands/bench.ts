import { randomBytes } from 'node:crypto';
import type { Client, GearmeshError } from '../../client/index.js';
import { type AskFlags, asks, withClient } from '../ask.js';
import type { CliCommand } from '../command.js';
import { command } from '../command.js';
import type { CliContext } from '../context.js';
import { say, sayJson, tell } from '../context.js';
import { CliError } from '../exit-codes.js';
import { wholeNumber } from '../values.js';

interface BenchFlags extends AskFlags {
  readonly jobs: number;
  readonly bytes: number;
  readonly inFlight: number;
  readonly function: string;
  readonly keep?: boolean;
}

const NOTES = `Submits jobs as fast as the cluster acknowledges them, each on disk on a majority of the nodes. At the end, or
when it fails or is stopped, it cancels those of its own jobs that have not ended; no other job is touched. Start
"gearmesh work bench -- true" or a worker of your own to measure whole cycles.
"npm run bench" in a checkout measures a cluster that it starts by itself, on all its paths.`;

/** What a job answers that is over. */
const HAS_ENDED: ReadonlySet<string> = new Set(['NOT_FOUND', 'WRONG_STATE']);

export function benchCommand(context: CliContext): CliCommand {
  const bench = command('bench', 'Measure how fast a running cluster accepts jobs.')
    .option('--jobs <N>', 'How many.', wholeNumber(1, 100_000_000), 100_000)
    .option('--bytes <N>', 'Size of a payload.', wholeNumber(0, 524_288), 100)
    .option('--in-flight <N>', 'How many submissions may be under way.', wholeNumber(1, 100_000), 512)
    .option('--function <NAME>', 'Of which function they are.', 'bench')
    .option('--keep', 'Leave the jobs in their queue.');
  return asks(bench)
    .note(NOTES)
    .example('gearmesh bench --jobs 10000', 'Ten thousand jobs of 100 bytes')
    .example('gearmesh bench --jobs 1000 --in-flight 1 --json', 'One at a time, for scripts')
    .action((flags: BenchFlags) =>
      withClient(context, flags, async (client) => {
        const ids: string[] = [];
        let figures: Figures;
        try {
          figures = await measure(client, flags, context.signal, ids);
        } finally {
          if (!flags.keep) await cleanUp(context, client, flags.inFlight, ids);
        }
        if (flags.json) sayJson(context, figures);
        else {
          say(context, `${figures.jobs} jobs accepted in ${figures.seconds} s: ${figures.jobs_per_second}/s`);
          const { p50, p99, max } = figures.latency_ms;
          say(context, `from submission to acknowledgement: p50 ${p50} ms, p99 ${p99} ms, longest ${max} ms`);
        }
      }),
    );
}

interface Figures {
  readonly jobs: number;
  readonly seconds: number;
  readonly jobs_per_second: number;
  readonly latency_ms: { readonly p50: number; readonly p99: number; readonly max: number };
}

/**
 * Keeps `inFlight` submissions under way until all are answered; the first that fails ends the measurement. `ids` gets
 * the jobs that were accepted, or may have been.
 */
async function measure(
  client: Client,
  flags: BenchFlags,
  signal: AbortSignal,
  ids: string[],
): Promise<Figures> {
  const payload = randomBytes(flags.bytes);
  const latencies = new Float64Array(flags.jobs);
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < flags.jobs) {
      const index = next++;
      if (signal.aborted) throw new CliError('INTERRUPTED', 'stopped');
      const begin = performance.now();
      try {
        // Gone as soon as it has ended: a measurement leaves nothing behind.
        ids.push((await client.submit(flags.function, payload, { resultRetentionMs: 0 })).jobId);
      } catch (error) {
        next = flags.jobs;
        const { outcome, metadata } = error as Partial<GearmeshError>;
        if (outcome === 'UNKNOWN' && metadata?.jobId !== undefined) ids.push(metadata.jobId);
        throw error;
      }
      latencies[index] = performance.now() - begin;
    }
  };
  const begin = performance.now();
  const lanes = Array.from({ length: Math.min(flags.inFlight, flags.jobs) }, lane);
  // All of them: what is under way when one fails may still be accepted.
  const failed = (await Promise.allSettled(lanes)).find((one) => one.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
  const seconds = (performance.now() - begin) / 1_000;
  latencies.sort();
  const at = (share: number): number =>
    round(latencies[Math.min(flags.jobs - 1, Math.floor(flags.jobs * share))]!);
  return {
    jobs: flags.jobs,
    seconds: round(seconds),
    jobs_per_second: Math.round(flags.jobs / seconds),
    latency_ms: { p50: at(0.5), p99: at(0.99), max: at(1) },
  };
}

/** Cancels what has not ended. Says so where jobs had to be left behind. */
async function cleanUp(
  context: CliContext,
  client: Client,
  inFlight: number,
  ids: readonly string[],
): Promise<void> {
  let next = 0;
  let left = 0;
  const lane = async (): Promise<void> => {
    while (next < ids.length) {
      const id = ids[next++]!;
      await client.cancel(id, { reason: 'the measurement is over' }).catch((error: GearmeshError) => {
        if (!HAS_ENDED.has(error.reason)) left += 1;
      });
    }
  };
  await Promise.all(Array.from({ length: Math.min(inFlight, ids.length) }, lane));
  if (left > 0) tell(context, `${left} of the jobs could not be cancelled`);
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
