import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../../support/real-cluster.js';

const ATTACHED_MS = 30_000;

/** Why syncs cannot be counted here; null when they can. */
export function whyNotCounted(): string | null {
  const probe = spawnSync('strace', ['-f', '-c', '-e', 'trace=fdatasync,fsync', 'true'], {
    encoding: 'utf8',
  });
  if (probe.error !== undefined) return 'strace is not installed';
  return probe.status === 0 ? null : `tracing is not permitted: ${probe.stderr.trim().split('\n').at(-1)}`;
}

/** How often these processes, with all their threads, call fdatasync and fsync while `work` goes on. */
export async function countSyncs(pids: readonly number[], work: () => Promise<unknown>): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), 'gearmesh-strace-'));
  const file = join(directory, 'counts');
  const attach = pids.flatMap((pid) => ['-p', String(pid)]);
  const strace = spawn('strace', ['-f', '-c', '-e', 'trace=fdatasync,fsync', '-o', file, ...attach], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  strace.stderr.on('data', (bytes: Buffer) => {
    said += bytes.toString();
  });
  const gone = once(strace, 'exit');
  try {
    await until(ATTACHED_MS, () => pids.every((pid) => isTraced(pid, strace.pid!))).catch(() => {
      throw new Error(`strace did not attach to ${pids.join(', ')}: ${said}`);
    });
    await work();
    strace.kill('SIGINT');
    await gone;
    return calls(readFileSync(file, 'utf8'));
  } finally {
    strace.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Every thread of the process has this tracer. */
function isTraced(pid: number, tracer: number): boolean {
  const tasks = `/proc/${pid}/task`;
  return readdirSync(tasks).every((thread) => {
    const status = readFileSync(join(tasks, thread, 'status'), 'utf8');
    return Number(/^TracerPid:\s+(\d+)$/m.exec(status)?.[1]) === tracer;
  });
}

/** Sums up the column `calls` of strace's table; the row of the total is no call. */
export function calls(table: string): number {
  let sum = 0;
  for (const line of table.split('\n')) {
    const match = /^ *[\d.]+ +[\d.]+ +\d+ +(\d+)(?: +\d+)? +(?:fdatasync|fsync)$/.exec(line);
    if (match !== null) sum += Number(match[1]);
  }
  return sum;
}
