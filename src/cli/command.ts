import { Command } from 'commander';

export interface Example {
  /** The line as it is typed. */
  readonly line: string;
  readonly says: string;
}

/** A command with examples: they end its `--help` and are listed in docs/cli.md. */
export class CliCommand extends Command {
  readonly examples: Example[] = [];
  /** More to say in docs/cli.md and at the end of `--help`. */
  notes = '';

  override createCommand(name?: string): CliCommand {
    return new CliCommand(name);
  }

  example(line: string, says: string): this {
    this.examples.push({ line, says });
    return this;
  }

  note(text: string): this {
    this.notes = text;
    return this;
  }

  override helpInformation(context?: Parameters<Command['helpInformation']>[0]): string {
    const notes = this.notes === '' ? '' : `\n${this.notes}\n`;
    const lines = this.examples.map((e) => `  # ${e.says}\n  ${e.line}\n`);
    const examples = lines.length === 0 ? '' : `\nExamples:\n${lines.join('')}`;
    return super.helpInformation(context) + notes + examples;
  }
}

export function command(name: string, summary: string): CliCommand {
  return new CliCommand(name).description(summary).helpOption('-h, --help', 'Show this help.');
}
