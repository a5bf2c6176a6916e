import { Argument, type Option } from 'commander';
import type { CliCommand } from '../command.js';
import { command } from '../command.js';
import type { CliContext } from '../context.js';

const SHELLS = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof SHELLS)[number];

export function completionCommand(context: CliContext, root: () => CliCommand): CliCommand {
  return command('completion', 'Print a completion script for a shell.')
    .addArgument(new Argument('<shell>', 'Which shell.').choices(SHELLS))
    .example('source <(gearmesh completion bash)', 'bash: in ~/.bashrc')
    .example('source <(gearmesh completion zsh)', 'zsh: in ~/.zshrc, after compinit')
    .example('gearmesh completion fish > ~/.config/fish/completions/gearmesh.fish', 'fish: once')
    .action((shell: Shell) => {
      context.stdout.write(completionScript(shell, root()));
    });
}

interface Entry {
  /** The words before, e.g. `jobs list`; '' at the top. */
  readonly path: string;
  readonly commands: readonly { readonly name: string; readonly summary: string }[];
  readonly flags: readonly Flag[];
}

interface Flag {
  readonly name: string;
  readonly summary: string;
  readonly value: 'none' | 'word' | 'path';
  readonly choices: readonly string[];
}

function flagOf(option: Option): Flag {
  const value = /<(FILE|DIR|PATH)>/.test(option.flags) ? 'path' : 'word';
  return {
    name: option.long ?? option.short ?? '',
    summary: firstSentence(option.description),
    value: option.required || option.optional ? value : 'none',
    choices: option.argChoices ?? [],
  };
}

function entries(each: CliCommand, path: string): Entry[] {
  const children = each.commands as readonly CliCommand[];
  const options: readonly Option[] = each.options;
  const help: Flag = { name: '--help', summary: 'Show this help.', value: 'none', choices: [] };
  const flags = [...options.map(flagOf), help];
  const own: Entry = {
    path,
    commands: children.map((c) => ({ name: c.name(), summary: firstSentence(c.description()) })),
    flags,
  };
  return [own, ...children.flatMap((c) => entries(c, `${path} ${c.name()}`.trim()))];
}

function firstSentence(text: string): string {
  return text.split(/(?<=[.;:]) /)[0]!.replace(/[.;:]$/, '');
}

function completionScript(shell: Shell, root: CliCommand): string {
  const all = entries(root, '');
  if (shell === 'fish') return fish(all);
  return shell === 'bash' ? bash(all) : `autoload -U +X bashcompinit && bashcompinit\n${bash(all)}`;
}

/** Words alone; zsh runs the same script through its bash emulation. */
function bash(all: readonly Entry[]): string {
  const cases = all.map((entry) => {
    const words = [...entry.commands, ...entry.flags].map((w) => w.name).join(' ');
    return `    '${entry.path}') words='${words}' ;;`;
  });
  const paths = all.filter((e) => e.path !== '').map((e) => `'${e.path}'`);
  return `# gearmesh completion
_gearmesh() {
  local path='' next word words=''
  local i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    [[ $word == -- ]] && return
    next="\${path:+$path }$word"
    case "$next" in
      ${paths.join('|')}) path="$next" ;;
    esac
  done
  case "$path" in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _gearmesh gearmesh
`;
}

/** -r: a value must follow; -f: no file is meant, -F: one is, though files are off for all the rest. */
const TAKES = { none: '', word: ' -r -f', path: ' -r -F' } as const;

function fish(all: readonly Entry[]): string {
  const quote = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  const lines = ['# gearmesh completion', 'complete -c gearmesh -f'];
  for (const entry of all) {
    const seen = entry.path.split(' ').filter((w) => w !== '');
    const conditions = seen.map((w) => `__fish_seen_subcommand_from ${w}`);
    const names = entry.commands.map((c) => c.name);
    if (names.length > 0) conditions.push(`not __fish_seen_subcommand_from ${names.join(' ')}`);
    const when = conditions.length === 0 ? '' : ` -n ${quote(conditions.join('; and '))}`;
    for (const { name, summary } of entry.commands) {
      lines.push(`complete -c gearmesh${when} -a ${name} -d ${quote(summary)}`);
    }
    for (const { name, summary, value, choices } of entry.flags.filter((f) => f.name.startsWith('--'))) {
      const words = choices.length === 0 ? '' : ` -a ${quote(choices.join(' '))}`;
      lines.push(
        `complete -c gearmesh${when} -l ${name.slice(2)}${TAKES[value]}${words} -d ${quote(summary)}`,
      );
    }
  }
  return `${lines.join('\n')}\n`;
}
