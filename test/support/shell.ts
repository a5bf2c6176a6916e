import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

export interface ShellResult {
  /** Null: it ended by a signal. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ShellOptions {
  readonly cwd: string;
  readonly environment: Readonly<Record<string, string>>;
}

/** A line as somebody types it into bash. */
export class ShellLine {
  readonly ended: Promise<ShellResult>;
  readonly #line: string;
  readonly #child: ChildProcess;
  #stdout = '';
  #stderr = '';
  #over = false;
  #watchers: (() => void)[] = [];

  constructor(line: string, options: ShellOptions) {
    this.#line = line;
    this.#child = spawn('bash', ['-c', line], {
      cwd: options.cwd,
      // A process group of its own, as a terminal gives it, so that Ctrl-C reaches all of it.
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NO_COLOR: '1', ...options.environment },
    });
    this.#child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text;
      this.#heard();
    });
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
      this.#heard();
    });
    this.ended = once(this.#child, 'close').then(([code, signal]) => {
      this.#over = true;
      this.#heard();
      const by = signal as NodeJS.Signals | null;
      return { code: code as number | null, signal: by, stdout: this.#stdout, stderr: this.#stderr };
    });
  }

  /** Resolves once it was said, on either stream; rejects when the line ends without. */
  async said(what: RegExp): Promise<void> {
    for (;;) {
      const over = this.#over;
      if (what.test(this.#stdout) || what.test(this.#stderr)) return;
      if (over) throw new Error(`${this.#line}\nended without ${what}:\n${this.#stdout}\n${this.#stderr}`);
      await new Promise<void>((resolve) => this.#watchers.push(resolve));
    }
  }

  /** Ctrl-C; resolves when all of it has ended. */
  stop(): Promise<ShellResult> {
    if (!this.#over) process.kill(-this.#child.pid!, 'SIGINT');
    return this.ended;
  }

  #heard(): void {
    const watchers = this.#watchers;
    this.#watchers = [];
    for (const watcher of watchers) watcher();
  }
}
