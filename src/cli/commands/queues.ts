import type { JobState, QueueInfo } from '../../client/index.js';
import { JOB_STATES } from '../../core/types.js';
import { type AskFlags, asks, withClient } from '../ask.js';
import type { CliCommand } from '../command.js';
import { command } from '../command.js';
import type { CliContext } from '../context.js';
import { say, sayJson, table } from '../context.js';
import { queueJson } from '../json-shapes.js';
import { someOf } from '../values.js';

export function queuesCommand(context: CliContext): CliCommand {
  const queues = command(
    'queues',
    'Look at queues, hold them, empty them. A queue is what waits for a function.',
  )
    .example('gearmesh queues list', 'All queues of a namespace')
    .example('gearmesh queues pause reverse', 'Start no more jobs of it');
  queues.addCommand(listCommand(context));
  queues.addCommand(holdCommand(context, 'pause', 'Start no more jobs of a function; those that run go on.'));
  queues.addCommand(holdCommand(context, 'resume', 'Start jobs of a function again.'));
  queues.addCommand(purgeCommand(context));
  return queues;
}

function listCommand(context: CliContext): CliCommand {
  return asks(command('list', 'List queues.'))
    .option('--all-namespaces', 'Those of all namespaces.')
    .example('gearmesh queues list', 'For people')
    .example('gearmesh queues list --all-namespaces --json', 'For scripts: {"queues":[…]}')
    .action((flags: AskFlags & { readonly allNamespaces?: boolean }) =>
      withClient(context, flags, async (client) => {
        const { allNamespaces = false } = flags;
        const queues = await client.queues.list({ allNamespaces, signal: context.signal });
        if (flags.json) sayJson(context, { queues: queues.map(queueJson) });
        else say(context, queueTable(queues, allNamespaces));
      }),
    );
}

export function queueTable(queues: readonly QueueInfo[], withNamespace: boolean): string {
  const rows = queues.map((q) => [
    ...(withNamespace ? [q.namespace] : []),
    q.function,
    q.waiting.high + q.waiting.normal + q.waiting.low,
    q.scheduled,
    q.running,
    q.totals.succeeded,
    q.totals.failed,
    q.workers,
    q.oldestWaitingSince?.toISOString() ?? '',
    q.paused ? 'paused' : '',
  ]);
  const head = [
    'function',
    'waiting',
    'scheduled',
    'running',
    'succeeded',
    'failed',
    'workers',
    'oldest',
    '',
  ];
  return table(withNamespace ? ['namespace', ...head] : head, rows);
}

function holdCommand(context: CliContext, name: 'pause' | 'resume', summary: string): CliCommand {
  return asks(command(name, summary).argument('<function>', 'Whose queue.'))
    .example(`gearmesh queues ${name} reverse`, 'By the name of the function')
    .action((fn: string, flags: AskFlags) =>
      withClient(context, flags, async (client) => {
        const { revision } = await client.queues[name](fn, { signal: context.signal });
        if (flags.json) sayJson(context, { function: fn, paused: name === 'pause', revision });
        else say(context, `${fn}: ${name === 'pause' ? 'paused' : 'resumed'}`);
      }),
    );
}

interface PurgeFlags extends AskFlags {
  readonly state?: readonly JobState[];
}

function purgeCommand(context: CliContext): CliCommand {
  const states = JOB_STATES.filter((state) => state !== 'running');
  const purge = command('purge', 'Remove jobs of a function that do not run.')
    .argument('<function>', 'Whose queue.')
    .option(
      '--state <STATE>',
      `Those in this state; may be repeated. By default scheduled and queued; of ${states.join(', ')}.`,
      someOf(...states),
    );
  return asks(purge)
    .example('gearmesh queues purge reverse', 'All that wait')
    .example('gearmesh queues purge reverse --state failed', 'Those that failed for good')
    .action((fn: string, flags: PurgeFlags) =>
      withClient(context, flags, async (client) => {
        const { jobs, revision } = await client.queues.purge(fn, flags.state, { signal: context.signal });
        if (flags.json) sayJson(context, { function: fn, jobs, revision });
        else say(context, `${fn}: ${jobs} jobs removed`);
      }),
    );
}
