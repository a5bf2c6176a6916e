import type { Client, JobInfo } from '../../client/index.js';
import { JOB_STATES } from '../../core/types.js';
import { type AskFlags, asks, withClient } from '../ask.js';
import type { CliCommand } from '../command.js';
import { command } from '../command.js';
import type { CliContext } from '../context.js';
import { say, sayJson, table, tell } from '../context.js';
import { jobJson } from '../json-shapes.js';
import { someOf, time, wholeNumber } from '../values.js';

export function jobsCommand(context: CliContext): CliCommand {
  const jobs = command('jobs', 'Look at jobs and change them.')
    .example('gearmesh jobs list --function reverse --state failed', 'What failed')
    .example('gearmesh jobs get 01JZ0000000000000000000000', 'Everything about one job');
  jobs.addCommand(listCommand(context));
  jobs.addCommand(getCommand(context));
  jobs.addCommand(cancelCommand(context));
  jobs.addCommand(
    changeCommand(
      context,
      'retry',
      'Queue a job again that failed, was cancelled or expired.',
      (client, id, o) => client.retry(id, o),
    ),
  );
  jobs.addCommand(
    changeCommand(context, 'delete', 'Delete a job that has ended, with its result.', (client, id, o) =>
      client.delete(id, o),
    ),
  );
  return jobs;
}

interface ListFlags extends AskFlags {
  readonly function?: string;
  readonly state?: readonly JobInfo['state'][];
  readonly unique?: string;
  readonly limit: number;
}

function listCommand(context: CliContext): CliCommand {
  const list = command('list', 'List jobs, the oldest first.')
    .option('--function <NAME>', 'Only those of this function.')
    .option('--state <STATE>', `Only those in this state: ${JOB_STATES.join(', ')}.`, someOf(...JOB_STATES))
    .option('--unique <KEY>', 'Only those with this unique key; needs --function.')
    .option('--limit <N>', 'How many at most.', wholeNumber(1, 1_000_000), 50);
  return asks(list)
    .example('gearmesh jobs list', 'The oldest 50')
    .example('gearmesh jobs list --function reverse --state queued,running --limit 10', 'What waits and runs')
    .example('gearmesh jobs list --json', 'For scripts: {"jobs":[…],"more":false}')
    .action((flags: ListFlags) =>
      withClient(context, flags, async (client) => {
        const jobs: JobInfo[] = [];
        let more = false;
        const query = {
          function: flags.function,
          states: flags.state,
          uniqueKey: flags.unique,
          pageSize: Math.min(flags.limit + 1, 1_000),
          signal: context.signal,
        };
        for await (const job of client.list(query)) {
          more = jobs.length === flags.limit;
          if (more) break;
          jobs.push(job);
        }
        if (flags.json) sayJson(context, { jobs: jobs.map((job) => jobJson(job, false)), more });
        else {
          say(context, jobTable(jobs));
          if (more) tell(context, `there are more: --limit ${flags.limit} was reached`);
        }
      }),
    );
}

function jobTable(jobs: readonly JobInfo[]): string {
  const rows = jobs.map((job) => [
    job.id,
    job.function,
    job.state,
    job.priority,
    job.attempt,
    job.createdAt?.toISOString() ?? '',
    job.error === undefined ? '' : `${job.error.code} ${job.error.message}`.split('\n')[0]!.slice(0, 60),
  ]);
  return table(['id', 'function', 'state', 'priority', 'attempt', 'created', 'error'], rows);
}

function getCommand(context: CliContext): CliCommand {
  return asks(command('get', 'Show one job with its payload and result.').argument('<id>', 'Id of the job.'))
    .option('--result', 'Print the result alone, as it is.')
    .example('gearmesh jobs get 01JZ0000000000000000000000', 'Everything about it')
    .example('gearmesh jobs get 01JZ0000000000000000000000 --result', 'Its result, byte by byte')
    .action((id: string, flags: AskFlags & { readonly result?: boolean }) =>
      withClient(context, flags, async (client) => {
        const job = await client.get(id, { view: 'full', signal: context.signal });
        if (flags.result) context.stdout.write(job.result);
        else if (flags.json) sayJson(context, jobJson(job, true));
        else say(context, jobText(job));
      }),
    );
}

function jobText(job: JobInfo): string {
  const fields = Object.entries(jobJson(job, true)).filter(([, value]) => value !== null && value !== '');
  const width = Math.max(...fields.map(([key]) => key.length));
  return fields
    .map(
      ([key, value]) => `${key.padEnd(width)}  ${typeof value === 'object' ? JSON.stringify(value) : value}`,
    )
    .join('\n');
}

interface CancelFlags extends AskFlags {
  readonly reason?: string;
  readonly grace?: number;
}

function cancelCommand(context: CliContext): CliCommand {
  const cancel = command('cancel', 'Cancel a job: at once if it waits; if it runs, its worker is told.')
    .argument('<id>', 'Id of the job.')
    .option('--reason <TEXT>', 'Why; the worker sees it.')
    .option('--grace <TIME>', 'How long the worker may go on before its lease is revoked.', time);
  return asks(cancel)
    .example('gearmesh jobs cancel 01JZ0000000000000000000000 --reason "no longer needed"', 'With a reason')
    .action((id: string, flags: CancelFlags) =>
      withClient(context, flags, async (client) => {
        const { reason, grace } = flags;
        const change = await client.cancel(id, { reason, graceMs: grace, signal: context.signal });
        report(context, flags, id, change.revision);
      }),
    );
}

function changeCommand(
  context: CliContext,
  name: string,
  summary: string,
  change: (client: Client, id: string, options: { signal: AbortSignal }) => Promise<{ revision: string }>,
): CliCommand {
  return asks(command(name, summary).argument('<id>', 'Id of the job.'))
    .example(`gearmesh jobs ${name} 01JZ0000000000000000000000`, 'By its id')
    .action((id: string, flags: AskFlags) =>
      withClient(context, flags, async (client) => {
        const { revision } = await change(client, id, { signal: context.signal });
        report(context, flags, id, revision);
      }),
    );
}

function report(context: CliContext, flags: AskFlags, id: string, revision: string): void {
  if (flags.json) sayJson(context, { job_id: id, revision });
  else say(context, id);
}
