import { gearmanHandle, seqOfHandle } from '../base/gearman-handle.js';
import type { JobState, JobView } from '../core/types.js';
import type { CallOptions, ReadOptions } from '../node/interface.js';
import { type Deps, within } from './deps.js';
import { wireError } from './errors.js';
import { NAMESPACE } from './limits.js';
import { uniqueShown } from './submissions.js';

type Command = (deps: Deps, args: readonly string[]) => string | Promise<string>;

const OK = 'OK\r\n';
const LIVE: readonly JobState[] = ['scheduled', 'queued', 'running'];
const PAGE = 1_000;
const BUDGET = 20_000;

function err(code: string, text: string): string {
  return `ERR ${code} ${text.replace(/\s+/g, '+')}\r\n`;
}

/** Commands by their words; the longest that fits counts. */
const COMMANDS: ReadonlyMap<string, Command> = new Map<string, Command>([
  ['version', (deps) => `OK ${deps.api.version}\n`],
  ['getpid', () => `OK ${process.pid}\n`],
  ['verbose', () => 'OK NOTICE\n'],
  ['status', status],
  ['prioritystatus', priorityStatus],
  ['workers', workers],
  ['show jobs', showJobs],
  ['show unique jobs', showUniqueJobs],
  ['cancel job', cancelJob],
  ['shutdown', shutdown],
  ['shutdown graceful', shutdown],
  ['maxqueue', () => err('UNSUPPORTED', 'limits per function are not there yet')],
  ['create function', () => err('UNSUPPORTED', 'a function exists from its first job or worker on')],
  ['drop function', () => err('UNSUPPORTED', 'functions cannot be dropped yet')],
]);
const WORDS_MAX = 3;

/** Answers one line of the text protocol. */
export async function admin(deps: Deps, line: string): Promise<string> {
  const words = line.split(/[ \t]+/).filter((word) => word !== '');
  for (let count = Math.min(WORDS_MAX, words.length); count > 0; count--) {
    const command = COMMANDS.get(words.slice(0, count).join(' ').toLowerCase());
    if (command === undefined) continue;
    try {
      return await command(deps, words.slice(count));
    } catch (error) {
      const { code, text } = wireError(error);
      return err(code, text);
    }
  }
  const first = (words[0] ?? '').toLowerCase();
  if (['cancel', 'create', 'drop'].includes(first)) return err('INVALID_ARGUMENTS', 'arguments are missing');
  if (first === 'show') return 'ERR UNKNOWN_SHOW_ARGUMENTS\r\n';
  return err('UNKNOWN_COMMAND', 'Unknown server command');
}

/** Reads the state of the cluster as it is now, at whatever node is asked. */
async function reading<T>(deps: Deps, ask: (read: ReadOptions) => Promise<T>): Promise<T> {
  const wait = within(deps.clock, deps.limits.readWaitMs);
  try {
    return await ask({ consistency: 'linearizable', minRevision: 0, signal: wait.signal });
  } finally {
    wait.done();
  }
}

/** Changes something, as soon as there is a leader. */
async function changing(deps: Deps, ask: (call: CallOptions) => Promise<unknown>): Promise<void> {
  const wait = within(deps.clock, deps.limits.submitWaitMs);
  try {
    await ask({ signal: wait.signal });
  } finally {
    wait.done();
  }
}

async function status(deps: Deps): Promise<string> {
  const queues = await reading(deps, (read) => deps.api.listQueues(NAMESPACE, read));
  const lines = queues.map(({ function: fn, waiting, scheduled, running, workers: able }) => {
    const total = waiting[0] + waiting[1] + waiting[2] + scheduled + running;
    return `${fn}\t${total}\t${running}\t${able}\n`;
  });
  return `${lines.join('')}.\n`;
}

async function priorityStatus(deps: Deps): Promise<string> {
  const queues = await reading(deps, (read) => deps.api.listQueues(NAMESPACE, read));
  const lines = queues.map(
    ({ function: fn, waiting, workers: able }) =>
      `${fn}\t${waiting[0]}\t${waiting[1]}\t${waiting[2]}\t${able}\n`,
  );
  return `${lines.join('')}.\n`;
}

function workers(deps: Deps): string {
  let out = '';
  for (const { number, address, clientId, functions } of deps.connections()) {
    const names = Array.from(functions, (fn) => ` ${fn}`).join('');
    out += `${number} ${address} ${clientId === '' ? '-' : clientId} :${names}\n`;
  }
  return `${out}.\n`;
}

/** Jobs that have not ended, oldest first, page by page. */
async function eachJob(deps: Deps, each: (job: JobView) => void): Promise<void> {
  await reading(deps, async (read) => {
    let after = 0;
    let left = deps.limits.showJobsMax;
    let options = read;
    do {
      const page = await deps.api.listJobs(
        {
          namespace: NAMESPACE,
          function: '',
          states: LIVE,
          uniqueKey: '',
          pageSize: Math.min(PAGE, left),
          after,
          budget: BUDGET,
        },
        options,
      );
      for (const job of page.jobs) each(job);
      left -= page.jobs.length;
      after = page.next;
      // This node's state is fresh enough from here on.
      options = { ...read, consistency: 'eventual' };
    } while (after !== 0 && left > 0 && read.signal?.aborted !== true);
  });
}

async function showJobs(deps: Deps): Promise<string> {
  let out = '';
  await eachJob(deps, (job) => {
    const retries = Math.max(0, job.attempt - (job.state === 'running' ? 1 : 0));
    const ignored = job.cancelRequested ? 1 : 0;
    out += `${gearmanHandle(deps.api.clusterName, job.seq)}\t${retries}\t${ignored}\t${job.state === 'running' ? 0 : 1}\n`;
  });
  return `${out}.\n`;
}

async function showUniqueJobs(deps: Deps): Promise<string> {
  let out = '';
  await eachJob(deps, ({ uniqueKey, seq }) => {
    if (uniqueKey === '') return;
    out += `${uniqueShown(uniqueKey)}\t${gearmanHandle(deps.api.clusterName, seq)}\n`;
  });
  return `${out}.\n`;
}

async function cancelJob(deps: Deps, [handle]: readonly string[]): Promise<string> {
  if (handle === undefined) return err('INVALID_ARGUMENTS', 'the handle is missing');
  const seq = seqOfHandle(deps.api.clusterName, handle);
  const job = seq === 0 ? null : await reading(deps, (read) => deps.api.findJob(NAMESPACE, { seq }, read));
  if (job !== null && LIVE.includes(job.state)) {
    await changing(deps, (call) =>
      deps.api.cancelJob(NAMESPACE, job.id, 'cancelled by a Gearman client', 0, call),
    );
    return OK;
  }
  const schedule =
    seq === 0 ? null : await reading(deps, (read) => deps.api.findSchedule(NAMESPACE, seq, read));
  if (schedule === null) return 'ERR UNKNOWN_JOB\r\n';
  await changing(deps, (call) => deps.api.deleteSchedule(NAMESPACE, schedule.id, call));
  return OK;
}

function shutdown(deps: Deps): string {
  if (deps.shutdown === null) return err('NOT_ALLOWED', 'this node was started without --gearman-shutdown');
  deps.shutdown();
  return OK;
}
