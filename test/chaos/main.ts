import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import { examine, type Violation } from '../../src/checker/index.js';
import { readHistory, writeHistory } from './history-file.js';
import { inside, lookAround, runInside } from './machine.js';
import { HELP, type Options, readOptions, UsageError } from './options.js';
import { type Outcome, run } from './run.js';
import { page } from './summary.js';

const SEEDS = 1_000_000;
const EVENTS_SHOWN = 8;
const FAREWELL_MS = 3_000;

// A defect of this program is no violation: another exit code than that.
process.on('uncaughtException', (error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exit(2);
});
process.exitCode = await main();
// Workers that were left for dead may still try to connect.
setTimeout(() => process.exit(), FAREWELL_MS).unref();

/** Returns the exit code. */
async function main(): Promise<number> {
  try {
    const options = readOptions(process.argv.slice(2), () => randomInt(SEEDS));
    if (options.help) process.stdout.write(HELP);
    if (options.help) return 0;
    if (options.judge !== '') return await judge(options);
    // Once more in namespaces of its own, where they can be had.
    const code = inside() ? null : await runInside(options.network);
    return code ?? (await chaos(options));
  } catch (error) {
    const isUsage = error instanceof UsageError;
    process.stderr.write(isUsage ? `${error.message}\n` : `${(error as Error).stack ?? String(error)}\n`);
    return 2;
  }
}

async function judge({ judge: file, json }: Options): Promise<number> {
  const history = await readHistory(file);
  const { violations, undecided } = examine(history);
  const events = history.events.length;
  if (json) process.stdout.write(`${JSON.stringify({ events, undecided, violations })}\n`);
  else {
    process.stdout.write(
      `${events} events, ${violations.length} violations, ${undecided.length} jobs undecided\n`,
    );
    show(violations);
  }
  return violations.length === 0 ? 0 : 1;
}

async function chaos(options: Options): Promise<number> {
  const say = (line: string): void => {
    process.stderr.write(`${line}\n`);
  };
  const machine = lookAround();
  if (options.network === 'packets' && machine.packets !== '') {
    throw new UsageError(`--network packets: ${machine.packets}`);
  }
  say(`seed ${options.seed}`);
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  const outcome = await run(options, machine, say, stop.signal);
  return verdict(options, outcome, say);
}

/** Judges, shows, and keeps what is worth it. */
async function verdict(
  options: Options,
  { summary, notes, stage }: Outcome,
  say: (line: string) => void,
): Promise<number> {
  const history = notes.recorder.history();
  const { violations, undecided } = examine(history);
  const texts = [...summary.findings, ...violations.map(({ rule, text }) => `${rule}: ${text}`)];
  const isBroken = texts.length > 0;
  if (isBroken && !options.json) {
    process.stderr.write(`${stage.cluster.logs()}\n`);
    show(violations);
  }
  const { directory } = stage.cluster;
  const keep = options.keep || isBroken;
  await stage.close({ keep });
  if (keep) {
    const file = join(directory, 'history.jsonl');
    await writeHistory(file, history);
    say(`kept in ${directory}; to judge it again: npm run chaos -- --judge ${file}`);
  }
  const kept = keep ? directory : '';
  if (options.json) process.stdout.write(`${JSON.stringify({ ...summary, undecided, violations, kept })}\n`);
  else process.stdout.write(page(summary, texts, undecided.length));
  return isBroken ? 1 : 0;
}

function show(violations: readonly Violation[]): void {
  for (const { rule, text, events } of violations) {
    process.stdout.write(`${rule}: ${text}\n`);
    for (const event of events.slice(0, EVENTS_SHOWN)) process.stdout.write(`    ${JSON.stringify(event)}\n`);
  }
}
