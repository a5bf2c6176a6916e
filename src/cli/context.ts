import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';

/** What a command may touch of its surroundings; tests hand in their own. */
export interface CliContext {
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Path of the program's own script: `process.execPath` with it starts another gearmesh. */
  readonly entry: string;
  /** Aborted by the first SIGINT or SIGTERM. Commands that run for long end in good order then. */
  readonly signal: AbortSignal;
  /** What the process ends with unless an error says otherwise. */
  exitCode: number;
}

export function say(context: CliContext, line: string): void {
  context.stdout.write(`${line}\n`);
}

/** For people who watch: never part of what a script reads. */
export function tell(context: CliContext, line: string): void {
  context.stderr.write(`${line}\n`);
}

/** One line of JSON on stdout. */
export function sayJson(context: CliContext, value: unknown): void {
  say(context, JSON.stringify(value));
}

/** Bytes on stdout as they come, no faster than they are taken. Resolves with the last one, or undefined. */
export async function pour(
  context: CliContext,
  chunks: AsyncIterable<Uint8Array>,
): Promise<number | undefined> {
  const { stdout } = context;
  let last: number | undefined;
  for await (const chunk of chunks) {
    last = chunk.at(-1) ?? last;
    if (!stdout.write(chunk)) await once(stdout, 'drain');
  }
  return last;
}

export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    if (signal.aborted) done();
    else signal.addEventListener('abort', () => done(), { once: true });
  });
}

/** Columns as wide as their widest cell; numbers to the right. */
export function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const cells = [head, ...rows].map((row) => row.map(String));
  const widths = head.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  const numeric = head.map(
    (_, column) => rows.length > 0 && rows.every((row) => typeof row[column] === 'number'),
  );
  return cells
    .map((row) =>
      row
        .map((cell, column) =>
          numeric[column] ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** One line for each field that says something. */
export function fieldsText(shape: object): string {
  const fields = Object.entries(shape).filter(([, value]) => value !== null && value !== '');
  const width = Math.max(...fields.map(([key]) => key.length));
  return fields
    .map(
      ([key, value]) => `${key.padEnd(width)}  ${typeof value === 'object' ? JSON.stringify(value) : value}`,
    )
    .join('\n');
}
