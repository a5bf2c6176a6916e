import { spawn } from 'node:child_process';

export interface CommandRun {
  readonly command: string;
  readonly args: readonly string[];
  /** Given to its standard input, which is then closed. */
  readonly input: Uint8Array;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Ends the command: SIGTERM, and SIGKILL after the grace. */
  readonly signal: AbortSignal;
  readonly killGraceMs: number;
  /** Most bytes of standard output; a command that writes more is ended. */
  readonly outputMax: number;
}

export interface CommandResult {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: Buffer;
  readonly outputTooLarge: boolean;
  /** The end of what it wrote to standard error, at most 4 KiB. */
  readonly errorTail: string;
}

const TAIL_BYTES = 4_096;
const living = new Set<number>();

/** Runs a command to its end. Rejects only when it cannot be started. */
export function runCommand(run: CommandRun): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    // A process group of its own: Ctrl-C is for the worker, which lets it finish, and a kill reaches its children too.
    const child = spawn(run.command, run.args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
      env: run.environment as NodeJS.ProcessEnv,
    });
    const pid = child.pid;
    if (pid !== undefined) living.add(pid);
    const output: Buffer[] = [];
    let size = 0;
    let tooLarge = false;
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

    child.stdout.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= run.outputMax) output.push(chunk);
      else {
        tooLarge = true;
        end();
      }
    });
    child.stderr.on('data', (chunk: Buffer) => {
      tail = Buffer.concat([tail, chunk]).subarray(-TAIL_BYTES);
    });
    // A command need not read its input.
    child.stdin.on('error', () => {});
    child.on('error', (error) => {
      settle();
      reject(error);
    });
    child.on('close', (code, signal) => {
      settle();
      resolve({
        code,
        signal,
        output: Buffer.concat(output),
        outputTooLarge: tooLarge,
        errorTail: tail.toString('utf8').trim(),
      });
    });
    child.stdin.end(run.input);
    run.signal.addEventListener('abort', end, { once: true });
    if (run.signal.aborted) end();
  });
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
