import { accessSync, constants } from 'node:fs';
import { hostname } from 'node:os';
import { delimiter, join } from 'node:path';
import { Option } from 'commander';
import type { Job, JobContext } from '../../worker/index.js';
import { type AskFlags, asks, endpointsOf, namespaceOf } from '../ask.js';
import type { CliCommand } from '../command.js';
import { command } from '../command.js';
import type { CliContext } from '../context.js';
import { aborted, tell } from '../context.js';
import { CliError } from '../exit-codes.js';
import { type CommandResult, killCommands, type RunningCommand, runCommand } from '../run-command.js';
import { time, wholeNumber } from '../values.js';

interface WorkFlags extends AskFlags {
  readonly concurrency: number;
  readonly name?: string;
  readonly contentType?: string;
  readonly killGrace: number;
  readonly quiet?: boolean;
}

/** Nothing that is not in the job's own frame is taken into memory: it goes to the command as it comes. */
const PAYLOAD_BYTES_MAX = 1;
/** sysexits.h: the input is wrong, so that trying again is of no use. */
const EX_DATAERR = 65;

const NOTES = `The command runs once for each job. The payload is its standard input; what it writes to standard output is the
result, both as they come and of any size up to the cluster's limit; the end of what it writes to standard error is kept
as the message when it fails.

  exit code 0   the job succeeded
  exit code 65  (EX_DATAERR) it failed and is not tried again
  any other     (75, EX_TEMPFAIL, among them), or death by a signal: the attempt failed; the job is tried again as its
                retry policy says

In its environment: GEARMESH_JOB_ID, GEARMESH_FUNCTION, GEARMESH_NAMESPACE, GEARMESH_ATTEMPT and GEARMESH_LEASE_TOKEN, a
number that grows with each lease in the cluster, so that other systems can refuse what an older attempt still says.

When the job is cancelled, runs out of time or its lease is lost, the command gets SIGTERM, and SIGKILL after
--kill-grace; its children too. Ctrl-C or SIGTERM lets what runs finish and takes nothing new; a second one ends at
once.`;

export function workCommand(context: CliContext): CliCommand {
  const work = command('work', 'Work: run a command for each job of a function.')
    .argument('<function>', 'What this worker can do.')
    .argument('<command...>', 'The command and its arguments, after --.')
    .option('-c, --concurrency <N>', 'How many jobs at once.', wholeNumber(1, 10_000), 1)
    .option('--name <NAME>', 'Name of this worker. By default the name of the machine.')
    .option('--content-type <TYPE>', 'Media type of the results.', 'application/octet-stream')
    .addOption(
      new Option('--kill-grace <TIME>', 'From SIGTERM to SIGKILL, when a job must end.')
        .argParser(time)
        .default(5_000, '5s'),
    )
    .option('-q, --quiet', 'Do not tell of each job on standard error.');
  return asks(work, {
    json: false,
    timeout: 'Give up when no node takes this worker within this time, e.g. 10s.',
  })
    .note(NOTES)
    .example('gearmesh work reverse -- rev', 'Reverse what is sent')
    .example('gearmesh work checksum --concurrency 4 -- sha256sum', 'Four at once')
    .example(
      `gearmesh work greet -- sh -c 'echo "Hello $(cat), attempt $GEARMESH_ATTEMPT"'`,
      'A line of shell',
    )
    .action((fn: string, words: string[], flags: WorkFlags) => serve(context, fn, words, flags));
}

async function serve(
  context: CliContext,
  fn: string,
  words: readonly string[],
  flags: WorkFlags,
): Promise<void> {
  if (!isExecutable(words[0]!, context.environment.PATH ?? '')) {
    throw new CliError('USAGE', `there is no command ${words[0]}`);
  }
  const { NonRetryableError, Worker } = await import('../../worker/index.js');
  const worker = new Worker({
    endpoints: endpointsOf(context, flags),
    namespace: namespaceOf(context, flags),
    name: flags.name ?? hostname(),
    concurrency: flags.concurrency,
    payloadBytesMax: PAYLOAD_BYTES_MAX,
  });
  worker.handle(fn, (job, ctx) => {
    ctx.resultContentType = flags.contentType;
    return outputOf(runFor(context, words, flags, job, ctx), (result) => {
      const { code, message } = failureOf(result);
      return result.code === EX_DATAERR
        ? new NonRetryableError(message, { code })
        : Object.assign(new Error(message), { code });
    });
  });
  worker.on('job', (report) => {
    if (flags.quiet || report.type === 'started') return;
    const why = report.error === undefined ? '' : `: ${report.error.message.split('\n')[0]}`;
    tell(context, `${report.jobId} attempt ${report.attempt} ${report.type}${why}`);
  });
  worker.on('session', (report) => {
    const why = report.error === undefined ? '' : `: ${report.error.message}`;
    tell(context, `session ${report.type}${report.node === '' ? '' : ` at ${report.node}`}${why}`);
  });
  worker.on('error', (error) => tell(context, `gearmesh: ${error.message}`));

  process.once('exit', killCommands);
  tell(context, `working on ${fn}: ${words.join(' ')} (Ctrl-C stops)`);
  try {
    await Promise.race([worker.start(), aborted(context.signal), tooLate(flags.timeout)]);
    await aborted(context.signal);
    tell(context, 'finishing what runs');
  } finally {
    await worker.stop();
    process.removeListener('exit', killCommands);
  }
}

/** Rejects after this time, milliseconds; without one never. */
async function tooLate(timeoutMs: number | undefined): Promise<void> {
  await aborted(timeoutMs === undefined ? new AbortController().signal : AbortSignal.timeout(timeoutMs));
  throw new CliError('TIMEOUT', 'no node took this worker in time', 'are they running?');
}

function runFor(
  context: CliContext,
  words: readonly string[],
  flags: WorkFlags,
  job: Job,
  ctx: JobContext,
): RunningCommand {
  return runCommand({
    command: words[0]!,
    args: words.slice(1),
    input: job.stream(),
    environment: {
      ...context.environment,
      GEARMESH_JOB_ID: job.id,
      GEARMESH_FUNCTION: job.function,
      GEARMESH_NAMESPACE: job.namespace,
      GEARMESH_ATTEMPT: String(ctx.attempt),
      GEARMESH_LEASE_TOKEN: String(ctx.leaseToken),
    },
    signal: ctx.signal,
    killGraceMs: flags.killGrace,
  });
}

/** The command's output as it comes; its end is an error unless the command succeeded. */
async function* outputOf(
  { output, result, end }: RunningCommand,
  failure: (result: CommandResult) => Error,
): AsyncGenerator<Uint8Array, void, undefined> {
  let whole = false;
  try {
    yield* output;
    whole = true;
    const told = await result;
    if (told.code !== 0) throw failure(told);
  } finally {
    // Nobody wants the rest.
    if (!whole) end();
  }
}

/** What the job remembers of a run that was no success. */
export function failureOf(result: CommandResult): { code: string; message: string } {
  const how = result.signal === null ? `exit code ${result.code}` : `ended by ${result.signal}`;
  return {
    code: result.signal ?? `EXIT_${result.code}`,
    message: result.errorTail === '' ? how : result.errorTail,
  };
}

function isExecutable(program: string, path: string): boolean {
  const places = program.includes('/') ? [program] : path.split(delimiter).map((d) => join(d, program));
  return places.some((place) => {
    try {
      accessSync(place, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
