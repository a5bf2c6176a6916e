import { describe, expect, test } from 'vitest';
import type { CliCommand } from '../../../src/cli/command.js';
import { cliPage } from '../../../src/cli/docs.js';
import { EXIT_CODES } from '../../../src/cli/exit-codes.js';
import { program } from '../../../src/cli/program.js';
import { flagOf, OPTIONS } from '../../../src/config/index.js';
import { gearmesh, surroundings } from './context.js';

function every(
  each: CliCommand,
  path: readonly string[] = [],
): { path: readonly string[]; command: CliCommand }[] {
  return [
    { path, command: each },
    ...(each.commands as readonly CliCommand[]).flatMap((c) => every(c, [...path, c.name()])),
  ];
}

const commands = every(program(surroundings().context));

test('all commands are there', () => {
  expect(commands.map((c) => c.path.join(' '))).toEqual([
    '',
    'server',
    'dev',
    'demo',
    'submit',
    'work',
    'status',
    'jobs',
    'jobs list',
    'jobs get',
    'jobs cancel',
    'jobs retry',
    'jobs delete',
    'queues',
    'queues list',
    'queues pause',
    'queues resume',
    'queues purge',
    'cluster',
    'cluster status',
    'cluster transfer',
    'cluster replace',
    'bench',
    'completion',
    'version',
  ]);
});

describe.each(commands.map(({ path, command }) => [['gearmesh', ...path].join(' '), path, command] as const))(
  '%s',
  (name, path, command) => {
    test('--help says what it does, with examples', async () => {
      const { code, out, err } = await gearmesh([...path, '--help']);
      expect(code).toBe(0);
      expect(err).toBe('');
      expect(out).toContain(command.description().split(' ').slice(0, 4).join(' '));
      expect(command.examples.length).toBeGreaterThan(0);
      for (const { line } of command.examples) {
        expect(line).toContain('gearmesh');
        expect(out).toContain(line);
      }
    });

    test('its examples name commands and flags that exist', () => {
      for (const { line } of command.examples) {
        const own = line.slice(line.indexOf('gearmesh') + 'gearmesh '.length);
        const words = own.split(/ -- |[)|>]/)[0]!.split(/\s+/);
        let at = commands[0]!.command;
        for (const word of words) {
          const child = (at.commands as readonly CliCommand[]).find((c) => c.name() === word);
          if (child === undefined) break;
          at = child;
        }
        const known = at.options.flatMap((o) => [o.long, o.short]);
        for (const word of words.filter((w) => w.startsWith('--')))
          expect(known, `${name}: ${line}`).toContain(word);
      }
    });

    test('every option and argument is explained in a sentence', () => {
      for (const option of command.options) expect(option.description, option.flags).toMatch(/[.)]$/);
      for (const argument of command.registeredArguments) expect(argument.description).toMatch(/\.$/);
    });

    test('an unknown flag ends it with the exit code for usage', async () => {
      const { code, out, err } = await gearmesh([...path, '--no-such-flag']);
      expect(code).toBe(EXIT_CODES.USAGE.code);
      expect(out).toBe('');
      expect(err).toContain('unknown option');
    });
  },
);

test('every setting is a flag of the server', async () => {
  const { out } = await gearmesh(['server', '--help']);
  for (const key of Object.keys(OPTIONS)) expect(out).toContain(`${flagOf(key)} `);
});

test('the page lists every command and every exit code', () => {
  const page = cliPage();
  for (const { path, command } of commands) {
    if (command.commands.length === 0) expect(page).toContain(`## \`gearmesh ${path.join(' ')}\``);
  }
  for (const { code, meaning } of Object.values(EXIT_CODES))
    expect(page).toContain(`| ${code} | ${meaning} |`);
});

test.each(['bash', 'zsh', 'fish'])('completion for %s knows the commands and their flags', async (shell) => {
  const { code, out } = await gearmesh(['completion', shell]);
  expect(code).toBe(0);
  for (const word of ['transfer', 'purge', 'snapshot-log-bytes', 'unique']) expect(out).toContain(word);
});

test('defaults are shown as people write them, and none that is empty', () => {
  const page = cliPage();
  expect(page).toContain(
    '| `--kill-grace <TIME>` | From SIGTERM to SIGKILL, when a job must end. Default: `5s`. |',
  );
  expect(page).not.toContain('Default: ``');
});

test('completion for fish asks for values, and for files where a file is meant', async () => {
  const { out } = await gearmesh(['completion', 'fish']);
  const flag = (name: string): string => out.split('\n').find((line) => line.includes(` -l ${name} `)) ?? '';
  expect(flag('file')).toContain(' -l file -r -F -d ');
  expect(flag('data-dir')).toContain(' -l data-dir -r -F -d ');
  expect(flag('unique')).toContain(' -l unique -r -f -d ');
  expect(flag('wait')).toContain(' -l wait -d ');
});

test('help of "dev" names every port of a node', async () => {
  expect((await gearmesh(['dev', '--help'])).out).toMatch(
    /\+ 10·i \(gRPC\), \+ 1 \(peers\),\s+\+ 2 \(HTTP\) and \+ 3 \(Gearman\)/,
  );
});
