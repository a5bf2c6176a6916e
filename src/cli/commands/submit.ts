import type { JobEndedError, JobOptions, RunEvent } from '../../client/index.js';
import { type AskFlags, asks, withClient } from '../ask.js';
import type { CliCommand } from '../command.js';
import { command } from '../command.js';
import type { CliContext } from '../context.js';
import { pour, say, sayJson, tell } from '../context.js';
import { CliError } from '../exit-codes.js';
import { contentJson, errorJson } from '../json-shapes.js';
import { readPayload, stdinBegun } from '../read-payload.js';
import { metadataEntry, moment, oneOf, time, wholeNumber } from '../values.js';

interface SubmitFlags extends AskFlags {
  readonly file?: string;
  readonly wait?: boolean;
  readonly background?: boolean;
  readonly priority?: 'high' | 'normal' | 'low';
  readonly delay?: number;
  readonly at?: Date;
  readonly startBefore?: Date;
  readonly unique?: string;
  readonly id?: string;
  readonly attempts?: number;
  readonly runTimeout?: number;
  readonly keep?: number;
  readonly contentType?: string;
  readonly meta?: Readonly<Record<string, string>>;
}

const NOTES = `The payload is the argument, or --file, or standard input ("-", or when neither is given and standard input
is no terminal); once it has begun that may be silent for 30 s, or for --timeout. It may be of any size up to the
cluster's limit: what is too large for a message is uploaded while it is read. Without --wait the id of the job is
printed as soon as the job is on disk on a majority of the nodes.
With --wait the job's data and its result go to standard output as they are, with --json as one line of JSON, of a job
that did not succeed too: {"job_id","state","attempt","error":{"code","message"}}. Ctrl-C and --timeout stop waiting,
not the job.
Submitting again with the same --id finds the same job instead of making a second one.`;

export function submitCommand(context: CliContext): CliCommand {
  const submit = command('submit', 'Submit a job.')
    .argument('<function>', 'What is to be done.')
    .argument('[payload]', 'What it is to be done with.')
    .option('-f, --file <FILE>', 'Read the payload from a file.')
    .option('-w, --wait', 'Wait for the end of the job and print its result.')
    .option('-b, --background', 'Do not wait. This is the default.')
    .option('-p, --priority <PRIORITY>', 'high, normal or low.', oneOf('high', 'normal', 'low'))
    .option('--delay <TIME>', 'Do it no sooner than this long from now, e.g. 30s.', time)
    .option('--at <TIME>', 'Do it no sooner than this, e.g. 2030-01-31T12:00:00Z.', moment)
    .option('--start-before <TIME>', 'If it has not started by then, it expires.', moment)
    .option(
      '-u, --unique <KEY>',
      'If a job of the function with this key waits or runs, take that one instead.',
    )
    .option('--id <ULID>', 'Id of the job, a ULID.')
    .option('--attempts <N>', 'Attempts in all.', wholeNumber(1, 10_000))
    .option('--run-timeout <TIME>', 'How long one attempt may run.', time)
    .option('--keep <TIME>', 'How long the job and its result are kept after its end.', time)
    .option('--content-type <TYPE>', 'Media type of the payload.')
    .option('-m, --meta <KEY=VALUE>', 'A word for the worker; may be repeated.', metadataEntry);
  return asks(submit)
    .note(NOTES)
    .example("gearmesh submit reverse 'Hello World!' --wait", 'Wait for the result: !dlroW olleH')
    .example("echo 'Hello World!' | gearmesh submit reverse", 'In the background; prints the id of the job')
    .example('gearmesh submit reverse "later" --delay 1h --priority low', 'In an hour, after everything else')
    .example('gearmesh submit reverse "once" --unique once --json', 'At most one such job waits or runs')
    .action((name: string, payload: string | undefined, flags: SubmitFlags, self: CliCommand) => {
      if (flags.wait && flags.background) self.error('error: --wait and --background exclude each other');
      return submitJob(context, name, payload, flags);
    });
}

async function submitJob(
  context: CliContext,
  name: string,
  argument: string | undefined,
  flags: SubmitFlags,
): Promise<void> {
  const payload = readPayload(context, argument, flags.file);
  const options = jobOptions(flags);
  if (payload === context.stdin && flags.timeout === undefined) await stdinBegun(context);
  await withClient(context, flags, async (client) => {
    if (!flags.wait) {
      const done = await client.submit(name, payload, { ...options, signal: context.signal });
      if (!flags.json) {
        say(context, done.jobId);
        return;
      }
      const { jobId, disposition, state, revision } = done;
      sayJson(context, { job_id: jobId, disposition, state, revision });
      return;
    }
    const late = flags.timeout === undefined ? null : AbortSignal.timeout(flags.timeout);
    const signal = late === null ? context.signal : AbortSignal.any([context.signal, late]);
    const run = client.run(name, payload, { ...options, signal });
    const chunks: Uint8Array[] = [];
    let accepted = false;
    try {
      for await (const event of run) {
        accepted = true;
        if (event.type !== 'data') tellEvent(context, flags, event);
        else if (flags.json) chunks.push(event.chunk);
        else context.stdout.write(event.chunk);
      }
    } catch (error) {
      if (late?.aborted !== true || context.signal.aborted) throw error;
      if (!accepted)
        throw new CliError('UNAVAILABLE', 'no node accepted the job in time', 'are they running?');
      throw new CliError('TIMEOUT', `job ${run.jobId} has not ended in time`, 'waiting stops, not the job');
    }
    const result = await run.result.catch(async (error: unknown) => {
      const { JobEndedError } = await import('../../client/index.js');
      if (flags.json && error instanceof JobEndedError) sayJson(context, endedJson(error, chunks));
      throw error;
    });
    if (!flags.json) {
      const last = await pour(context, result.stream());
      if (endsOpen(context, last)) context.stdout.write('\n');
      return;
    }
    sayJson(context, {
      job_id: result.jobId,
      state: 'succeeded',
      attempt: result.attempt,
      content_type: result.contentType,
      ...contentJson('result', await result.bytes()),
      ...dataJson(chunks),
    });
  });
}

function dataJson(chunks: readonly Uint8Array[]): object {
  return chunks.length === 0 ? {} : contentJson('data', Buffer.concat(chunks));
}

/** Of a job that did not succeed, what the exit code and the message say for people. */
function endedJson(end: JobEndedError, chunks: readonly Uint8Array[]): object {
  const error = { code: end.errorCode, message: end.errorMessage, details: end.details };
  return {
    job_id: end.jobId,
    state: end.reason.replace('JOB_', '').toLowerCase(),
    attempt: end.attempt,
    error: errorJson(error, true),
    ...dataJson(chunks),
  };
}

function jobOptions(flags: SubmitFlags): JobOptions {
  return {
    id: flags.id,
    priority: flags.priority,
    delayMs: flags.delay,
    runAt: flags.at,
    startDeadline: flags.startBefore,
    uniqueKey: flags.unique,
    retry: flags.attempts === undefined ? undefined : { maxAttempts: flags.attempts },
    runTimeoutMs: flags.runTimeout,
    resultRetentionMs: flags.keep,
    contentType: flags.contentType,
    metadata: flags.meta,
  };
}

/** A terminal's prompt should not stand behind the result; anything else gets the bytes alone. */
function endsOpen(context: CliContext, last: number | undefined): boolean {
  return 'isTTY' in context.stdout && context.stdout.isTTY === true && last !== 10;
}

function tellEvent(context: CliContext, flags: SubmitFlags, event: RunEvent): void {
  if (event.type === 'progress' && !flags.json) {
    const share = event.denominator > 0 ? ` of ${event.denominator}` : '';
    tell(context, `progress: ${event.numerator}${share}${event.message === '' ? '' : ` ${event.message}`}`);
  } else if (event.type === 'attempt-failed') {
    const again = event.retryAt === undefined ? '' : `, next attempt at ${event.retryAt.toISOString()}`;
    tell(context, `attempt ${event.attempt} failed: ${event.error.code} ${event.error.message}${again}`);
  } else if (event.type === 'gap') {
    tell(context, `data ${event.from} to ${event.to} was lost on the way`);
  }
}
