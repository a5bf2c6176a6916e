import { CliError } from '../exit-codes.js';
import { askText } from './link.js';

/** What a gearmand says of one function. */
export interface FunctionStatus {
  readonly name: string;
  /** All jobs, those that run included. */
  readonly total: number;
  readonly running: number;
  readonly workers: number;
}

/** The jobs of a gearmand that need care, by their handles, as of the moment of asking. */
export interface JobsSeen {
  readonly count: number;
  /** Somebody waits for them: gearmand does not keep them in its queue store. */
  readonly foreground: ReadonlySet<string>;
  /** A worker had them and was lost: they may be here already. */
  readonly lost: ReadonlySet<string>;
  /** A handle with a higher number is of a job that came later. */
  readonly lastNumber: number;
}

export async function askStatus(address: string): Promise<FunctionStatus[]> {
  return parseStatus(await askText(address, 'status', 'list'));
}

/** Lines of name, total, running and workers, by tabs. Names may hold anything but tabs and line ends. */
export function parseStatus(text: string): FunctionStatus[] {
  return lines(text).map((line) => {
    const [name, total, running, workers] = line.split('\t');
    const numbers = [total, running, workers].map(Number);
    if (name === undefined || numbers.some((n) => !Number.isSafeInteger(n))) {
      throw new CliError('FAILED', `gearmand's status has a line that cannot be read: ${line.slice(0, 100)}`);
    }
    const [all, now, able] = numbers as [number, number, number];
    return { name, total: all, running: now, workers: able };
  });
}

export async function askJobs(address: string): Promise<JobsSeen> {
  return parseJobs(await askText(address, 'show jobs', 'list'));
}

/** Lines of handle, lost attempts, cancelled, and whether it is kept in the queue store (a background job), by tabs. */
export function parseJobs(text: string): JobsSeen {
  const foreground = new Set<string>();
  const lost = new Set<string>();
  let lastNumber = 0;
  const all = lines(text);
  for (const line of all) {
    const [handle, retries, , queued] = line.split('\t');
    if (handle === undefined || retries === undefined || queued === undefined) {
      // Versions before 1.1 do not know the command: nothing is known then.
      if (line.startsWith('ERR ')) return { count: 0, foreground, lost, lastNumber: Infinity };
      throw new CliError('FAILED', `gearmand's jobs have a line that cannot be read: ${line.slice(0, 100)}`);
    }
    if (queued === '0') foreground.add(handle);
    if (retries !== '0') lost.add(handle);
    lastNumber = Math.max(lastNumber, numberOf(handle));
  }
  return { count: all.length, foreground, lost, lastNumber };
}

/** The number that ends a handle; 0 for one without. */
export function numberOf(handle: string): number {
  return Number(/:(\d+)$/.exec(handle)?.[1] ?? 0);
}

function lines(text: string): string[] {
  return text.split('\n').filter((line) => line !== '');
}
