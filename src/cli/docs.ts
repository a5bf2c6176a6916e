import { PassThrough } from 'node:stream';
import type { Argument, Option } from 'commander';
import type { CliCommand } from './command.js';
import type { CliContext } from './context.js';
import { EXIT_CODES } from './exit-codes.js';
import { program } from './program.js';

const HEAD = `# The command \`gearmesh\`

<!-- Made from src/cli by scripts/docs-cli.mjs: change it there. -->

In a checkout it is \`npx gearmesh\`, after \`npm ci\`. Every command shows its flags and examples with \`--help\`.

What a script may rely on: the exit codes below, the JSON that \`--json\` prints (new fields may be added), and that
nothing but the result goes to standard output; messages for people go to standard error.

Commands that talk to a cluster take \`--endpoint\` (several, or separated by commas), or \`GEARMESH_ENDPOINT\`; the default
is \`127.0.0.1:7730\`. Name more than one node and they go on when one is gone. The settings of \`gearmesh server\` are
described in [configuration.md](configuration.md).

## Exit codes

| code | meaning |
|---|---|
`;

/** The page docs/cli.md. */
export function cliPage(): string {
  const nowhere: CliContext = {
    stdin: new PassThrough(),
    stdout: new PassThrough(),
    stderr: new PassThrough(),
    environment: {},
    entry: '',
    signal: new AbortController().signal,
    exitCode: 0,
  };
  const codes = Object.values(EXIT_CODES).map(({ code, meaning }) => `| ${code} | ${meaning} |`);
  const root = program(nowhere);
  const parts = (root.commands as readonly CliCommand[]).flatMap((c) => sections(c, 'gearmesh'));
  return `${HEAD}${codes.join('\n')}\n\n${parts.join('\n\n')}\n`;
}

function sections(each: CliCommand, parent: string): string[] {
  const name = `${parent} ${each.name()}`;
  const children = each.commands as readonly CliCommand[];
  if (children.length > 0) return children.flatMap((c) => sections(c, name));
  const parts = [`## \`${name}\``, each.description()];
  parts.push(`\`\`\`\n${name} ${each.usage()}\n\`\`\``);
  if (each.notes !== '') parts.push(each.notes);
  const rows = [...each.registeredArguments.map(argumentRow), ...options(each).map(optionRow)];
  if (rows.length > 0) parts.push(`| | |\n|---|---|\n${rows.join('\n')}`);
  if (each.name() === 'server')
    parts.push('All settings are flags as well: see [configuration.md](configuration.md).');
  const examples = each.examples.map((e) => `# ${e.says}\n${e.line}`);
  parts.push(`\`\`\`sh\n${examples.join('\n')}\n\`\`\``);
  return [parts.join('\n\n')];
}

/** The settings of the server have a page of their own: they are the options with a group. */
function options(each: CliCommand): readonly Option[] {
  return each.options.filter((o) => o.helpGroupHeading === undefined);
}

function argumentRow(argument: Argument): string {
  const dots = argument.variadic ? '…' : '';
  const shown = argument.required ? `${argument.name()}${dots}` : `[${argument.name()}${dots}]`;
  return `| \`${shown}\` | ${cell(argument.description)} |`;
}

function optionRow(option: Option): string {
  const fallback: unknown = option.defaultValueDescription ?? option.defaultValue;
  const shown =
    typeof fallback === 'string' || typeof fallback === 'number' ? ` Default: \`${fallback}\`.` : '';
  const choices = option.argChoices === undefined ? '' : ` One of ${option.argChoices.join(', ')}.`;
  return `| \`${cell(option.flags)}\` | ${cell(option.description)}${choices}${shown} |`;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}
