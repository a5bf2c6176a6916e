import { PassThrough } from 'node:stream';
import type { CliContext } from '../../../src/cli/context.js';
import { run } from '../../../src/cli/main.js';

export interface Done {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface Around {
  readonly stdin?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** Surroundings of a command line without a process. */
export function surroundings(around: Around = {}): {
  context: CliContext;
  out: () => string;
  err: () => string;
} {
  const parts: [string[], string[]] = [[], []];
  const [stdout, stderr] = parts.map((texts) => {
    const stream = new PassThrough();
    stream.on('data', (chunk: Buffer) => texts.push(chunk.toString()));
    return stream;
  }) as [PassThrough, PassThrough];
  const stdin = new PassThrough();
  stdin.end(around.stdin ?? '');
  const context: CliContext = {
    stdin,
    stdout,
    stderr,
    environment: around.environment ?? {},
    entry: '/nowhere/gearmesh.js',
    signal: around.signal ?? new AbortController().signal,
    exitCode: 0,
  };
  return { context, out: () => parts[0].join(''), err: () => parts[1].join('') };
}

/** Runs one command line, as words, in this process. */
export async function gearmesh(words: readonly string[], around: Around = {}): Promise<Done> {
  const { context, out, err } = surroundings(around);
  const code = await run(words, context);
  return { code, out: out(), err: err() };
}
