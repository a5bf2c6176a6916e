import { PassThrough } from 'node:stream';
import type { CliCommand } from '../../src/cli/command.js';
import { program } from '../../src/cli/program.js';

/** The example lines of every command, as `--help` shows them: groups and the program itself included. */
export function commandExamples(): string[] {
  const stream = new PassThrough();
  const root = program({
    stdin: stream,
    stdout: stream,
    stderr: stream,
    environment: {},
    entry: '',
    signal: new AbortController().signal,
    exitCode: 0,
  });
  const of = (one: CliCommand): string[] => [
    ...one.examples.map(({ line }) => line),
    ...(one.commands as readonly CliCommand[]).flatMap(of),
  ];
  return [...new Set(of(root))];
}

/** The contents of all code blocks of a language in a page. */
export function codeBlocks(markdown: string, language: string): string[] {
  const blocks: string[] = [];
  let block: string[] | null = null;
  for (const line of markdown.split('\n')) {
    if (block === null) {
      if (line === `\`\`\`${language}`) block = [];
    } else if (line === '```') {
      blocks.push(block.join('\n'));
      block = null;
    } else {
      block.push(line);
    }
  }
  if (block !== null) throw new Error(`a block of ${language} has no end`);
  return blocks;
}

/** The commands of a page's shell blocks, without comments; one that goes on over several lines stays one. */
export function shellCommands(markdown: string): string[] {
  const commands: string[] = [];
  for (const block of codeBlocks(markdown, 'sh')) {
    let goesOn = false;
    for (const line of block.split('\n')) {
      if (goesOn) commands.push(`${commands.pop()}\n${line}`);
      else if (line !== '' && !line.startsWith('#')) commands.push(line);
      goesOn = line.endsWith('\\');
    }
  }
  return [...new Set(commands)];
}
