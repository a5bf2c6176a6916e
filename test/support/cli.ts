import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { ENTRY, ROOT } from './root.js';

export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** What people type in a checkout, and what that comes to in less time. */
const BY_NPX = ['npx', '--no-install', 'gearmesh'];
const BY_NODE = [process.execPath, ENTRY];

export interface CliOptions {
  /** What its standard input gives; absent: nothing. */
  readonly input?: string;
  readonly npx?: boolean;
}

/** A `gearmesh` command that runs until it is stopped; what it says is collected. */
export class CliProcess {
  readonly child: ChildProcess;
  readonly ended: Promise<CliResult>;
  #stdout = '';
  #stderr = '';
  #watchers: (() => void)[] = [];

  constructor(args: readonly string[], { input, npx = false }: CliOptions = {}) {
    const [program, ...words] = [...(npx ? BY_NPX : BY_NODE), ...args];
    this.child = spawn(program!, words, {
      cwd: ROOT,
      stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      env: { ...process.env, NO_COLOR: '1' },
    });
    if (input !== undefined) this.child.stdin!.end(input);
    this.child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text;
      this.#heard();
    });
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
      this.#heard();
    });
    this.ended = once(this.child, 'close').then(([code]) => {
      this.#heard();
      return { code: code as number | null, stdout: this.#stdout, stderr: this.#stderr };
    });
  }

  #heard(): void {
    const watchers = this.#watchers;
    this.#watchers = [];
    for (const watcher of watchers) watcher();
  }

  /** Resolves once the text was said, on either stream; rejects when the command ends without. */
  async said(text: string): Promise<void> {
    const done = (): boolean => this.#stdout.includes(text) || this.#stderr.includes(text);
    while (!done()) {
      if (this.child.exitCode !== null || this.child.signalCode !== null) {
        await this.ended;
        if (done()) return;
        throw new Error(`it ended without saying ${text}:\n${this.#stdout}\n${this.#stderr}`);
      }
      await new Promise<void>((resolve) => this.#watchers.push(resolve));
    }
  }

  /** First line of standard output, once it is whole. */
  async firstLine(): Promise<string> {
    await this.said('\n');
    while (!this.#stdout.includes('\n')) await new Promise<void>((resolve) => this.#watchers.push(resolve));
    return this.#stdout.slice(0, this.#stdout.indexOf('\n'));
  }

  /** SIGTERM, as `kill` sends it. */
  stop(): Promise<CliResult> {
    this.child.kill('SIGTERM');
    return this.ended;
  }
}

/** Runs `gearmesh …` to its end, as in a shell in the checkout. */
export function gearmesh(args: readonly string[], input?: string): Promise<CliResult> {
  return new CliProcess(args, { input }).ended;
}
