import { spawn } from 'node:child_process';
import type { Writable } from 'node:stream';

export interface CommandRun {
  readonly command: string;
  readonly args: readonly string[];
  /** Given to its standard input, which is then closed. */
  readonly input: AsyncIterable<Uint8Array>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Ends the command: SIGTERM, and SIGKILL after the grace. */
  readonly signal: AbortSignal;
  readonly killGraceMs: number;
}

export interface CommandResult {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The end of what it wrote to standard error, at most 4 KiB. */
  readonly errorTail: string;
}

export interface RunningCommand {
  /** Its standard output. */
  readonly output: AsyncIterable<Uint8Array>;
  /** Rejects when it cannot be started, or when its input breaks. */
  readonly result: Promise<CommandResult>;
  /** SIGTERM, and SIGKILL after the grace. */
  end(): void;
}

const TAIL_BYTES = 4_096;
const living = new Set<number>();

/** Runs a command. Its output is to be read, or it may wait for that for ever. */
export function runCommand(run: CommandRun): RunningCommand {
  // A process group of its own: Ctrl-C is for the worker, which lets it finish, and a kill reaches its children too.
  const child = spawn(run.command, run.args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
    env: run.environment as NodeJS.ProcessEnv,
  });
  const { pid } = child;
  if (pid !== undefined) living.add(pid);
  let tail: Buffer = Buffer.alloc(0);
  let killTimer: NodeJS.Timeout | undefined;

  const end = (): void => {
    if (killTimer !== undefined || pid === undefined) return;
    killGroup(pid, 'SIGTERM');
    killTimer = setTimeout(() => killGroup(pid, 'SIGKILL'), run.killGraceMs);
  };
  const settle = (): void => {
    clearTimeout(killTimer);
    run.signal.removeEventListener('abort', end);
    if (pid !== undefined) living.delete(pid);
  };
  child.stderr.on('data', (chunk: Buffer) => {
    tail = Buffer.concat([tail, chunk]).subarray(-TAIL_BYTES);
  });
  const ended = new Promise<CommandResult>((resolve, reject) => {
    child.on('error', (error) => {
      settle();
      reject(error);
    });
    child.on('close', (code, signal) => {
      settle();
      resolve({ code, signal, errorTail: tail.toString('utf8').trim() });
    });
  });
  const given = feed(child.stdin, run.input).catch((error: unknown) => {
    end();
    throw error;
  });
  // What it was not given whole it cannot have done, whatever its exit code.
  const result = Promise.all([ended, given]).then(([told]) => told);
  result.catch(() => {}); // whoever reads the output learns it there
  run.signal.addEventListener('abort', end, { once: true });
  if (run.signal.aborted) end();
  return { output: child.stdout, result, end };
}

/** Rejects only when the input itself breaks: a command need not read it. */
async function feed(stdin: Writable, input: AsyncIterable<Uint8Array>): Promise<void> {
  let closed = false;
  let wake = (): void => {};
  const over = (): void => {
    closed = true;
    wake();
  };
  stdin.on('error', over);
  stdin.on('close', over);
  stdin.on('drain', () => wake());
  for await (const chunk of input) {
    if (closed) return;
    if (stdin.write(chunk)) continue;
    await new Promise<void>((resolve) => {
      wake = resolve;
      if (closed) resolve();
    });
  }
  stdin.end();
}

/** Kills every command that still runs: for a worker that leaves at once. */
export function killCommands(): void {
  for (const pid of living) killGroup(pid, 'SIGKILL');
}

function killGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
