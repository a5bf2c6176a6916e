import type { CliCommand } from '../command.js';
import { command } from '../command.js';
import type { CliContext } from '../context.js';
import { say, sayJson } from '../context.js';
import { version } from '../version.js';

export function versionCommand(context: CliContext): CliCommand {
  return command('version', 'Show the version of this program and of Node.js.')
    .option('--json', 'Print JSON.')
    .example('gearmesh version', 'For people')
    .example('gearmesh version --json', 'For scripts: {"version":"…","node":"…"}')
    .action((options: { json?: boolean }) => {
      if (options.json) sayJson(context, { version: version(), node: process.versions.node });
      else say(context, `gearmesh ${version()} on Node.js ${process.versions.node}`);
    });
}
