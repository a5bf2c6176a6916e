import { gearmanHandle, seqOfHandle } from '../base/gearman-handle.js';
import { GearmeshError } from '../core/errors.js';
import type { JobState, JobView } from '../core/types.js';
import type { CallOptions, ReadOptions } from '../node/interface.js';
import { type Deps, within } from './deps.js';
import { wireError } from './errors.js';
import { NAMESPACE, UNNAMED } from './limits.js';
import { functionName, uniqueShown } from './submissions.js';

type Command = (deps: Deps, args: readonly string[]) => string | Promise<string>;

const OK = 'OK\r\n';
const LIVE: readonly JobState[] = ['scheduled', 'queued', 'running'];
const PAGE = 1_000;
const BUDGET = 20_000;

/** gearmand's own sentences, which have no code. */
const NO_FUNCTION = 'ERR function not found\r\n';
const STILL_USED = 'ERR there are still connected workers or executing clients\r\n';

/** The code of an answer that is an error; null: it is none. */
export function errorOf(answer: string): string | null {
  if (!answer.startsWith('ERR ')) return null;
  if (answer === NO_FUNCTION) return 'NOT_FOUND';
  if (answer === STILL_USED) return 'WRONG_STATE';
  return answer.slice(4).split(/\s/, 1)[0]!;
}

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
  ['maxqueue', maxQueue],
  ['create function', createFunction],
  ['drop function', dropFunction],
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

/** All connections of this node, then the workers of the other nodes and those of gRPC. */
async function workers(deps: Deps): Promise<string> {
  const sessions = await reading(deps, (read) => deps.api.listSessions(NAMESPACE, read));
  let out = '';
  const shown = new Set<number>();
  for (const { number, address, clientId, functions, session } of deps.connections()) {
    shown.add(session);
    out += workerLine(number, address, clientId, Array.from(functions));
  }
  for (const { id, node, name, state, functions } of sessions) {
    if (state !== 'attached' || shown.has(id)) continue;
    const clientId = name.startsWith(UNNAMED) ? '' : name.replace(/\s+/g, '_');
    const names = functions.map((fn) => fn.name);
    out += workerLine(id, node, clientId, names);
  }
  return `${out}.\n`;
}

function workerLine(number: number, address: string, clientId: string, functions: readonly string[]): string {
  const names = functions.map((fn) => ` ${fn}`).join('');
  return `${number} ${address} ${clientId === '' ? '-' : clientId} :${names}\n`;
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

/** The one argument of a command that is a function's name; else the line that says what is wrong. */
function nameIn(args: readonly string[]): { readonly name: string } | { readonly refused: string } {
  if (args.length !== 1) return { refused: err('INVALID_ARGUMENTS', 'one function is to be named') };
  const name = functionName(Buffer.from(args[0]!));
  return typeof name === 'string' ? { name } : { refused: err('INVALID_ARGUMENTS', name.text) };
}

/** One number counts for all priorities, several for high, normal and low; none, 0 or less: no limit. */
async function maxQueue(deps: Deps, [fn, ...numbers]: readonly string[]): Promise<string> {
  const named = nameIn(fn === undefined ? [] : [fn]);
  if ('refused' in named) return named.refused;
  if (numbers.length > 3) return err('INVALID_ARGUMENTS', 'there are three priorities');
  if (numbers.some((number) => !/^[+-]?\d{1,15}$/.test(number))) {
    return err('INVALID_ARGUMENTS', 'a limit is a whole number');
  }
  const limits = numbers.map((number) => Math.max(0, Number(number)));
  const [high = 0] = limits;
  const [normal, low] = limits.length === 1 ? [high, high] : [limits[1] ?? 0, limits[2] ?? 0];
  await changing(deps, (call) => deps.api.limitQueue(NAMESPACE, named.name, [high, normal, low], call));
  return OK;
}

async function createFunction(deps: Deps, args: readonly string[]): Promise<string> {
  const named = nameIn(args);
  if ('refused' in named) return named.refused;
  await changing(deps, (call) => deps.api.createQueue(NAMESPACE, named.name, call));
  return OK;
}

async function dropFunction(deps: Deps, args: readonly string[]): Promise<string> {
  const named = nameIn(args);
  if ('refused' in named) return named.refused;
  try {
    await changing(deps, (call) => deps.api.dropQueue(NAMESPACE, named.name, call));
  } catch (error) {
    const code = error instanceof GearmeshError ? error.code : '';
    if (code === 'NOT_FOUND') return NO_FUNCTION;
    if (code === 'WRONG_STATE') return STILL_USED;
    throw error;
  }
  return OK;
}

function shutdown(deps: Deps): string {
  if (deps.shutdown === null) return err('NOT_ALLOWED', 'this node was started without --gearman-shutdown');
  deps.shutdown();
  return OK;
}
