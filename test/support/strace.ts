import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

export const NO_STRACE = 'strace is not installed';

/** Why no node can be traced here; null when it can. */
export function whyNoStrace(): string | null {
  const probe = spawnSync('strace', ['-f', '-e', 'trace=fdatasync', 'true'], { encoding: 'utf8' });
  if (probe.error !== undefined) return NO_STRACE;
  if (probe.status !== 0) return `tracing is not permitted: ${probe.stderr.trim().split('\n').at(-1)}`;
  return null;
}

/** What to put before a program so that its writes and syncs are traced to a file, without changing its pid. */
export function straceTo(file: string): string[] {
  const calls = 'trace=fdatasync,fsync,write,writev,pwrite64,pwritev,pwritev2';
  return ['strace', '-D', '-f', '-ttt', '-y', '-qq', '-s', '65536', '-e', calls, '-o', file];
}

/** A write to a file below `wal`, or the sync of one. Times are wall milliseconds. */
export interface Traced {
  readonly kind: 'write' | 'sync';
  readonly file: string;
  readonly begunMs: number;
  readonly doneMs: number;
  /** Of a write: what was written, as strace shows it. */
  readonly shown: string;
}

const LINE = /^(\d+) +(\d+\.\d+) (.*)$/;
const CALL = /^(fdatasync|fsync|write|writev|pwrite64|pwritev|pwritev2)\(\d+<([^>]*)>/;
const RESUMED = /^<\.\.\. (\w+) resumed>/;

/** The calls on log segments that returned without an error, in the order of their return. */
export function readTrace(file: string): Traced[] {
  const begun = new Map<string, Omit<Traced, 'doneMs'>>();
  const done: Traced[] = [];
  for (const line of readFileSync(file, 'latin1').split('\n')) {
    const parts = LINE.exec(line);
    if (parts === null) continue;
    const [, thread, seconds, text] = parts as unknown as [string, string, string, string];
    const nowMs = Number(seconds) * 1_000;
    const call = CALL.exec(text);
    if (call !== null) {
      const kind = call[1]!.endsWith('sync') ? 'sync' : 'write';
      const one = { kind, file: call[2]!, begunMs: nowMs, shown: kind === 'write' ? text : '' } as const;
      if (text.endsWith('<unfinished ...>')) begun.set(thread, one);
      else if (!text.includes(') = -1')) done.push({ ...one, doneMs: nowMs });
    } else if (RESUMED.test(text)) {
      const one = begun.get(thread);
      begun.delete(thread);
      if (one !== undefined && !text.includes(') = -1')) done.push({ ...one, doneMs: nowMs });
    }
  }
  return done.filter((one) => one.file.includes('/wal/'));
}
