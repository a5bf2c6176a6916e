import { once } from 'node:events';
import { createReadStream, createWriteStream } from 'node:fs';
import { createInterface } from 'node:readline';
import type { History, HistoryEvent, Promises } from '../../src/checker/index.js';

/** Writes a history as JSON lines: what was promised, then the events. */
export async function writeHistory(file: string, { promises, events }: History): Promise<void> {
  const out = createWriteStream(file);
  out.write(`${JSON.stringify({ promises })}\n`);
  for (const event of events) {
    if (!out.write(`${JSON.stringify(event)}\n`)) await once(out, 'drain');
  }
  out.end();
  await once(out, 'finish');
}

/** @throws Error of the file system, or that this is no such file */
export async function readHistory(file: string): Promise<History> {
  let promises: Promises | null = null;
  const events: HistoryEvent[] = [];
  for await (const line of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
    if (line === '') continue;
    const parsed: unknown = JSON.parse(line);
    if (promises === null) promises = (parsed as { promises?: Promises }).promises ?? fail(file);
    else events.push(parsed as HistoryEvent);
  }
  return { promises: promises ?? fail(file), events };
}

function fail(file: string): never {
  throw new Error(`${file} does not begin with what was promised: it is no history of a run`);
}
