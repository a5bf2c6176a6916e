import { readFileSync } from 'node:fs';
import type { CliContext } from './context.js';
import { CliError } from './exit-codes.js';

/** Most that is read; the cluster's own limit (limits.payload-bytes-max) is lower and is checked there. */
const READ_MAX = 16 * 1024 * 1024;

/**
 * The payload of a job: the argument, or the file, or standard input (`-`, or neither of them where standard input is
 * a pipe or a file).
 */
export async function readPayload(
  context: CliContext,
  argument: string | undefined,
  file: string | undefined,
): Promise<string | Uint8Array> {
  if (argument !== undefined && file !== undefined) {
    throw new CliError('USAGE', 'the payload is given twice: as an argument and with --file');
  }
  if (argument !== undefined && argument !== '-') return argument;
  if (file !== undefined && file !== '-') return readFile(file);
  const isTerminal = 'isTTY' in context.stdin && context.stdin.isTTY === true;
  if (argument === undefined && file === undefined && isTerminal) return new Uint8Array();
  return readAll(context);
}

function readFile(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new CliError('USAGE', error instanceof Error ? error.message : String(error));
  }
}

async function readAll(context: CliContext): Promise<Uint8Array> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of context.stdin) {
    const bytes = Buffer.from(part as Uint8Array | string);
    size += bytes.length;
    if (size > READ_MAX) throw new CliError('LIMIT', `standard input holds more than ${READ_MAX} bytes`);
    parts.push(bytes);
  }
  return Buffer.concat(parts);
}
