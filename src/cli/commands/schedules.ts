import type { ScheduleInfo } from '../../client/index.js';
import { type AskFlags, asks, withClient } from '../ask.js';
import type { CliCommand } from '../command.js';
import { command } from '../command.js';
import type { CliContext } from '../context.js';
import { fieldsText, say, sayJson, table, tell } from '../context.js';
import { scheduleJson } from '../json-shapes.js';
import { wholeNumber } from '../values.js';

export function schedulesCommand(context: CliContext): CliCommand {
  const schedules = command(
    'schedules',
    'Look at schedules and end them. A schedule submits jobs by the calendar.',
  )
    .example('gearmesh schedules list', 'What is submitted when')
    .example('gearmesh schedules delete 01JZ0000000000000000000000', 'Submit no more of it');
  schedules.addCommand(listCommand(context));
  schedules.addCommand(getCommand(context));
  schedules.addCommand(deleteCommand(context));
  return schedules;
}

interface ListFlags extends AskFlags {
  readonly allNamespaces?: boolean;
  readonly limit: number;
}

function listCommand(context: CliContext): CliCommand {
  const list = command('list', 'List schedules, the oldest first. Times are UTC.')
    .option('--all-namespaces', 'Those of all namespaces.')
    .option('--limit <N>', 'How many at most.', wholeNumber(1, 1_000_000), 1_000);
  return asks(list)
    .example('gearmesh schedules list', 'For people')
    .example('gearmesh schedules list --all-namespaces --json', 'For scripts: {"schedules":[…],"more":false}')
    .action((flags: ListFlags) =>
      withClient(context, flags, async (client) => {
        const { allNamespaces = false, limit } = flags;
        const found: ScheduleInfo[] = [];
        let more = false;
        const query = { allNamespaces, pageSize: Math.min(limit + 1, 1_000), signal: context.signal };
        for await (const schedule of client.schedules.list(query)) {
          more = found.length === limit;
          if (more) break;
          found.push(schedule);
        }
        if (flags.json) {
          sayJson(context, { schedules: found.map((schedule) => scheduleJson(schedule, false)), more });
          return;
        }
        say(context, scheduleTable(found, allNamespaces));
        if (more) tell(context, `there are more: --limit ${limit} was reached`);
      }),
    );
}

/** As in a crontab, but that 0 is Monday. */
function calendarText({ calendar }: ScheduleInfo): string {
  const { minute, hour, dayOfMonth, month, dayOfWeek } = calendar;
  return [minute, hour, dayOfMonth, month, dayOfWeek].join(' ');
}

function scheduleTable(schedules: readonly ScheduleInfo[], withNamespace: boolean): string {
  const rows = schedules.map((schedule) => [
    schedule.id,
    ...(withNamespace ? [schedule.namespace] : []),
    schedule.function,
    calendarText(schedule),
    schedule.nextAt?.toISOString() ?? '',
    schedule.lastAt?.toISOString() ?? '',
    schedule.fired,
    schedule.coalesced,
    schedule.skipped,
    schedule.skippedBy,
  ]);
  const head = ['function', 'min h day mon wday', 'next', 'last', 'fired', 'coalesced', 'skipped', ''];
  return table(['id', ...(withNamespace ? ['namespace'] : []), ...head], rows);
}

function getCommand(context: CliContext): CliCommand {
  return asks(command('get', 'Show one schedule with its payload.').argument('<id>', 'Id of the schedule.'))
    .example('gearmesh schedules get 01JZ0000000000000000000000', 'Everything about it')
    .action((id: string, flags: AskFlags) =>
      withClient(context, flags, async (client) => {
        const schedule = await client.schedules.get(id, { view: 'full', signal: context.signal });
        if (flags.json) sayJson(context, scheduleJson(schedule, true));
        else say(context, fieldsText(scheduleJson(schedule, true)));
      }),
    );
}

function deleteCommand(context: CliContext): CliCommand {
  return asks(
    command('delete', 'End a schedule. The jobs that it has submitted are not touched.').argument(
      '<id>',
      'Id of the schedule.',
    ),
  )
    .example('gearmesh schedules delete 01JZ0000000000000000000000', 'By its id')
    .action((id: string, flags: AskFlags) =>
      withClient(context, flags, async (client) => {
        const { revision } = await client.schedules.delete(id, { signal: context.signal });
        if (flags.json) sayJson(context, { id, revision });
        else say(context, id);
      }),
    );
}
