import { closeSync, createReadStream, fstatSync, openSync } from 'node:fs';
import type { PayloadStream } from '../client/index.js';
import type { CliContext } from './context.js';
import { CliError } from './exit-codes.js';

/**
 * The payload of a job: the argument, or the file, or standard input (`-`, or neither of them where standard input is
 * a pipe or a file). Files and standard input are read while they are sent, whatever their size.
 */
export function readPayload(
  context: CliContext,
  argument: string | undefined,
  file: string | undefined,
): string | Uint8Array | PayloadStream {
  if (argument !== undefined && file !== undefined) {
    throw new CliError('USAGE', 'the payload is given twice: as an argument and with --file');
  }
  if (argument !== undefined && argument !== '-') return argument;
  if (file !== undefined && file !== '-') return readFile(file);
  const isTerminal = 'isTTY' in context.stdin && context.stdin.isTTY === true;
  if (argument === undefined && file === undefined && isTerminal) return new Uint8Array();
  return context.stdin;
}

const BEGUN = ['readable', 'end', 'error', 'close'] as const;

/** Resolves when standard input has something, or never will: whatever writes to it may think first. */
export function stdinBegun({ stdin, signal }: Pick<CliContext, 'stdin' | 'signal'>): Promise<void> {
  if (!stdin.readable || signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      for (const event of BEGUN) stdin.off(event, done);
      signal.removeEventListener('abort', done);
      resolve();
    };
    for (const event of BEGUN) stdin.on(event, done);
    signal.addEventListener('abort', done);
  });
}

/** Opened anew when it has to be sent to another node. */
function readFile(path: string): PayloadStream {
  try {
    const opened = openSync(path, 'r');
    const isDirectory = fstatSync(opened).isDirectory();
    closeSync(opened);
    if (isDirectory) throw new Error(`${path} is a directory`);
  } catch (error) {
    throw new CliError('USAGE', error instanceof Error ? error.message : String(error));
  }
  return () => createReadStream(path);
}
