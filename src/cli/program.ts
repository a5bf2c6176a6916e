import type { CliCommand } from './command.js';
import { command } from './command.js';
import { benchCommand } from './commands/bench.js';
import { clusterCommand } from './commands/cluster.js';
import { completionCommand } from './commands/completion.js';
import { demoCommand } from './commands/demo.js';
import { devCommand } from './commands/dev.js';
import { importCommand } from './commands/import.js';
import { jobsCommand } from './commands/jobs.js';
import { queuesCommand } from './commands/queues.js';
import { schedulesCommand } from './commands/schedules.js';
import { serverCommand } from './commands/server.js';
import { statusCommand } from './commands/status.js';
import { submitCommand } from './commands/submit.js';
import { versionCommand } from './commands/version.js';
import { workCommand } from './commands/work.js';
import type { CliContext } from './context.js';
import { version } from './version.js';

/** The command `gearmesh` with all its subcommands. */
export function program(context: CliContext): CliCommand {
  const root = command('gearmesh', 'A clustered, highly available job server.')
    .version(version(), '-V, --version', 'Show the version.')
    .helpCommand('help [command]', 'Show the help of a command.')
    .showHelpAfterError('(add --help for what is possible)')
    .example('gearmesh dev --nodes 3', 'A cluster of three nodes on this machine, to try things out')
    .example("gearmesh submit reverse 'Hello World!' --wait", 'Have a job done and see its result')
    .example('gearmesh work reverse -- rev', 'Work: one run of a command for each job');
  root.addCommand(serverCommand(context));
  root.addCommand(devCommand(context));
  root.addCommand(demoCommand(context));
  root.addCommand(submitCommand(context));
  root.addCommand(workCommand(context));
  root.addCommand(statusCommand(context));
  root.addCommand(jobsCommand(context));
  root.addCommand(queuesCommand(context));
  root.addCommand(schedulesCommand(context));
  root.addCommand(clusterCommand(context));
  root.addCommand(importCommand(context));
  root.addCommand(benchCommand(context));
  root.addCommand(completionCommand(context, () => root));
  root.addCommand(versionCommand(context));
  prepare(root, context);
  return root;
}

/** Errors come back as exceptions, and everything is written where the context says. */
function prepare(each: CliCommand, context: CliContext): void {
  each.exitOverride();
  each.configureOutput({
    writeOut: (text) => context.stdout.write(text),
    writeErr: (text) => context.stderr.write(text),
    getOutHasColors: () => false,
    getErrHasColors: () => false,
  });
  for (const child of each.commands) prepare(child as CliCommand, context);
}
