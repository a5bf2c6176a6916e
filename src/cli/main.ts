import { setMaxListeners } from 'node:events';
import { CommanderError } from 'commander';
import { ConfigError } from '../config/index.js';
import type { CliContext } from './context.js';
import { tell } from './context.js';
import { CliError, EXIT_CODES, type ExitName } from './exit-codes.js';
import { program } from './program.js';

/**
 * Runs one command line (without interpreter and script) and returns the exit code. The words that `dev --json`
 * prints as a node's `args` may follow `gearmesh` or `gearmesh server` as they are.
 */
export async function run(words: readonly string[], context: CliContext): Promise<number> {
  try {
    await program(context).parseAsync(withoutSelf(words, context.entry), { from: 'user' });
    return context.exitCode;
  } catch (error) {
    return report(error, context);
  }
}

function withoutSelf(words: readonly string[], entry: string): string[] {
  const list = words[0] === 'server' ? words.slice(1) : words;
  const at = list.indexOf(entry);
  return list[0] === process.execPath && at > 0 ? list.slice(at + 1) : [...words];
}

/** Says on stderr what went wrong and returns the exit code for it. */
function report(error: unknown, context: CliContext): number {
  if (error instanceof CommanderError) {
    // commander has written its message already; help and version end with 0.
    return error.exitCode === 0 ? EXIT_CODES.OK.code : EXIT_CODES.USAGE.code;
  }
  if (error instanceof ConfigError) {
    for (const problem of error.problems) tell(context, `gearmesh: ${problem}`);
    return EXIT_CODES.USAGE.code;
  }
  if (error instanceof CliError) {
    tell(context, `gearmesh: ${error.message}`);
    if (error.hint !== '') tell(context, `  ${error.hint}`);
    return EXIT_CODES[error.exit].code;
  }
  tell(context, `gearmesh: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  return EXIT_CODES.DEFECT.code;
}

/** The process `gearmesh`: signals, standard streams, exit code. `entry` is the script's own path. */
export async function main(entry: string): Promise<void> {
  const stop = new AbortController();
  setMaxListeners(0, stop.signal); // one for each call under way
  const onSignal = (signal: NodeJS.Signals): void => {
    const exit: ExitName = signal === 'SIGINT' ? 'INTERRUPTED' : 'TERMINATED';
    if (stop.signal.aborted) process.exit(EXIT_CODES[exit].code);
    stop.abort(signal);
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  stopWithNpm(() => stop.abort('SIGTERM'));
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // `gearmesh jobs list | head`: the reader has seen enough.
    if (error.code === 'EPIPE') process.exit(EXIT_CODES.OK.code);
    throw error;
  });
  const code = await run(process.argv.slice(2), {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    environment: process.env,
    entry,
    signal: stop.signal,
    exitCode: EXIT_CODES.OK.code,
  });
  // Output to a pipe is written asynchronously on some systems: leave only when all of it is out.
  process.stdout.write('', () => process.stderr.write('', () => process.exit(code)));
}

const PARENT_LOOK_MS = 200;

/**
 * Under `npx gearmesh …` and `npm start` a shell stands between npm and this process, and it dies of a signal to npm
 * without handing it on. So that no cluster stays behind unseen, the end of that shell counts as the signal.
 */
function stopWithNpm(stop: () => void): void {
  if (!process.env.npm_lifecycle_script?.includes('gearmesh')) return;
  const parent = process.ppid;
  const look = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(look);
    stop();
  }, PARENT_LOOK_MS);
  look.unref();
}
