import { closeSync, fdatasyncSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Nearest-rank percentile of ascending numbers. */
export function percentile(sorted: readonly number[], p: number): number {
  return (
    sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil((p / 100) * sorted.length) - 1))] ?? Number.NaN
  );
}

export function sorted(values: readonly number[]): number[] {
  return [...values].sort((a, b) => a - b);
}

/** NaN of nothing. */
export function median(values: readonly number[]): number {
  return percentile(sorted(values), 50);
}

/** Milliseconds that a fixed piece of arithmetic takes now: how fast the machine is at the moment. */
export function spin(): number {
  const began = performance.now();
  let x = 1;
  for (let i = 0; i < 40_000_000; i++) x = (Math.imul(x, 1_103_515_245) + 12_345) | 0;
  return performance.now() - began + (x === 0 ? 1e-9 : 0);
}

/**
 * fdatasync of 4 KiB on a preallocated file beside the nodes' data, milliseconds, `count` times with a pause of
 * `paceMs` between them (the pace of the jobs: a disk that idles answers otherwise).
 */
export async function fdatasync(count: number, paceMs: number): Promise<{ p50: number; p99: number }> {
  const directory = mkdtempSync(join(tmpdir(), 'gearmesh-gauge-'));
  const file = openSync(join(directory, 'file'), 'w+');
  try {
    const zeros = Buffer.alloc(1024 * 1024);
    for (let i = 0; i < 8; i++) writeSync(file, zeros, 0, zeros.length, i * zeros.length);
    fdatasyncSync(file);
    const page = Buffer.alloc(4096, 1);
    const times: number[] = [];
    for (let i = 0; i < count; i++) {
      writeSync(file, page, 0, page.length, (i % 2048) * 4096);
      const began = performance.now();
      fdatasyncSync(file);
      times.push(performance.now() - began);
      if (paceMs > 0) await new Promise((resolve) => setTimeout(resolve, paceMs));
    }
    const ascending = sorted(times);
    return { p50: percentile(ascending, 50), p99: percentile(ascending, 99) };
  } finally {
    closeSync(file);
    rmSync(directory, { recursive: true, force: true });
  }
}

/** CPU time of a process so far, microseconds, user and system (proc(5), fields 14 and 15 of stat; 100 ticks a second). */
export function cpuUs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

/** The same of several processes together. */
export function cpuOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + cpuUs(pid), 0);
}

/** A system is quiet when it took no more of a core than this in each of so many windows, milliseconds. */
const QUIET_PART = 0.15;
const QUIET_WINDOWS = 3;
const QUIET_MS = 250;
const NEVER_QUIET_MS = 30_000;

/**
 * Resolves when these processes together have hardly done anything for a while: what they do behind one load (snapshots,
 * ended jobs that are dropped) is no cost of the next. After half a minute it is taken as it is.
 */
export async function quiet(pids: readonly number[]): Promise<void> {
  const until = performance.now() + NEVER_QUIET_MS;
  for (let windows = 0; windows < QUIET_WINDOWS && performance.now() < until; ) {
    const [cpu, began] = [cpuOf(pids), performance.now()];
    await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
    const part = (cpuOf(pids) - cpu) / 1_000 / (performance.now() - began);
    windows = part < QUIET_PART ? windows + 1 : 0;
  }
}

/** Resident memory of a process, bytes. */
export function residentBytes(pid: number): number {
  return statusBytes(pid, 'VmRSS');
}

/** The most that was ever resident, bytes. */
export function peakBytes(pid: number): number {
  return statusBytes(pid, 'VmHWM');
}

function statusBytes(pid: number, name: string): number {
  const line = new RegExp(`${name}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(line?.[1] ?? 0) * 1024;
}
