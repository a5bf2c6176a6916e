import { seqOfHandle } from '../base/gearman-handle.js';
import type { JobView } from '../core/types.js';
import type { JobReference } from '../node/interface.js';
import type { Answer, Answers } from './answers.js';
import { type Deps, within } from './deps.js';
import { errorPacket, type WireError, wireError } from './errors.js';
import type { Grab } from './held.js';
import { CLIENT_ID_BYTES_MAX, NAMESPACE } from './limits.js';
import { type PacketType, response, TYPE } from './packets.js';
import { functionName, uniqueShown } from './submissions.js';
import { wireNumber, wireText, withoutNul } from './text.js';
import type { GearmanWorker } from './worker.js';

/** The side of a connection that requests see. */
export interface Requester {
  readonly deps: Deps;
  readonly answers: Answers;
  readonly worker: GearmanWorker;
  clientId: string;
  exceptions: boolean;
  refuse(error: WireError): void;
}

/** A request: into how many arguments its body is split, and what it does. */
interface Request {
  readonly args: number;
  handle(from: Requester, args: readonly Buffer[]): void;
}

/** CAN_DO_TIMEOUT counts milliseconds, but nobody means less than a second. */
const TIMEOUT_MS_MIN = 1_000;
const TIMEOUT_MS_MAX = 365 * 86_400_000;

const text = (bytes: Buffer): string => withoutNul(bytes).toString('latin1');

/** Every packet that a server takes, beside submissions. */
export const REQUESTS: ReadonlyMap<number, Request> = new Map<PacketType, Request>([
  [
    TYPE.ECHO_REQ,
    { args: 1, handle: ({ answers }, [data]) => answers.next()(response(TYPE.ECHO_RES, [data!])) },
  ],
  [TYPE.OPTION_REQ, { args: 1, handle: option }],
  [TYPE.GET_STATUS, { args: 1, handle: getStatus }],
  [TYPE.GET_STATUS_UNIQUE, { args: 1, handle: getStatusUnique }],
  [TYPE.CAN_DO, { args: 1, handle: (from, [name]) => canDo(from, name!, 0) }],
  [TYPE.CAN_DO_TIMEOUT, { args: 2, handle: (from, [name, ms]) => canDo(from, name!, timeoutMs(ms!)) }],
  [
    TYPE.CANT_DO,
    { args: 1, handle: ({ worker }, [name]) => worker.cantDo(wireText(withoutNul(name!)) ?? '') },
  ],
  [TYPE.RESET_ABILITIES, { args: 1, handle: ({ worker }) => worker.reset() }],
  [TYPE.PRE_SLEEP, { args: 1, handle: ({ answers, worker }) => preSleep(answers, worker) }],
  [TYPE.GRAB_JOB, { args: 1, handle: (from) => grab(from, 'plain') }],
  [TYPE.GRAB_JOB_UNIQ, { args: 1, handle: (from) => grab(from, 'unique') }],
  [TYPE.GRAB_JOB_ALL, { args: 1, handle: (from) => grab(from, 'all') }],
  [TYPE.WORK_DATA, { args: 2, handle: ({ worker }, [job, data]) => worker.data(text(job!), data!) }],
  [TYPE.WORK_WARNING, { args: 2, handle: ({ worker }, [job, data]) => worker.warning(text(job!), data!) }],
  [
    TYPE.WORK_STATUS,
    {
      args: 3,
      handle: ({ worker }, [job, numerator, denominator]) =>
        worker.status(text(job!), wireNumber(numerator!), wireNumber(denominator!)),
    },
  ],
  [TYPE.WORK_COMPLETE, { args: 2, handle: ({ worker }, [job, data]) => worker.complete(text(job!), data!) }],
  [TYPE.WORK_FAIL, { args: 1, handle: ({ worker }, [job]) => worker.fail(text(job!)) }],
  [
    TYPE.WORK_EXCEPTION,
    { args: 2, handle: ({ worker }, [job, data]) => worker.exception(text(job!), data!) },
  ],
  [TYPE.SET_CLIENT_ID, { args: 1, handle: setClientId }],
  // Jobs come by GRAB_JOB alone; a worker that promises to have no other server is welcome to.
  [TYPE.ALL_YOURS, { args: 1, handle: () => {} }],
]);

function option(from: Requester, [name]: readonly Buffer[]): void {
  const asked = withoutNul(name!);
  if (asked.toString('latin1').toLowerCase() !== 'exceptions') {
    from.refuse({ code: 'UNKNOWN_OPTION', text: 'the one option is "exceptions"' });
    return;
  }
  from.exceptions = true;
  from.answers.next()(response(TYPE.OPTION_RES, [asked]));
}

function timeoutMs(bytes: Buffer): number {
  const ms = wireNumber(bytes);
  return ms <= 0 ? 0 : Math.min(Math.max(ms, TIMEOUT_MS_MIN), TIMEOUT_MS_MAX);
}

function canDo(from: Requester, bytes: Buffer, ms: number): void {
  const name = functionName(withoutNul(bytes));
  if (typeof name === 'string') from.worker.canDo(name, ms);
  else from.refuse(name);
}

/** A NOOP says that there is work: it has no place among the answers, but it must not overtake them. */
function preSleep(answers: Answers, worker: GearmanWorker): void {
  answers.inTurn((answer) => answer(Buffer.alloc(0), () => worker.sleep()));
}

function grab({ answers, worker }: Requester, kind: Grab): void {
  worker.grab(kind, answers.next());
}

function setClientId(from: Requester, [id]: readonly Buffer[]): void {
  const name = wireText(withoutNul(id!));
  if (name === null || /\s/.test(name) || Buffer.byteLength(name) > CLIENT_ID_BYTES_MAX) {
    from.refuse({ code: 'INVALID_ARGUMENT', text: 'a client id has at most 255 bytes and no white space' });
    return;
  }
  from.clientId = name;
}

function getStatus(from: Requester, [handle]: readonly Buffer[]): void {
  const shown = text(handle!);
  const seq = seqOfHandle(from.deps.api.clusterName, shown);
  ask(from, seq === 0 ? null : { seq }, (job, schedule) => {
    // A schedule is known until it is cancelled, and never runs: its jobs do.
    const [known, running, numerator, denominator] = schedule ? WAITS : standing(job);
    return response(TYPE.STATUS_RES, [shown, known, running, numerator, denominator]);
  });
}

function getStatusUnique(from: Requester, [unique]: readonly Buffer[]): void {
  const shown = withoutNul(unique!);
  const uniqueKey = wireText(shown) ?? '';
  const known = uniqueKey !== '' && uniqueShown(uniqueKey) === uniqueKey;
  ask(from, known ? { uniqueKey } : null, (job) => {
    return response(TYPE.STATUS_RES_UNIQUE, [shown, ...standing(job), String(job?.waiters ?? 0)]);
  });
}

type Standing = readonly [known: string, running: string, numerator: string, denominator: string];

const WAITS: Standing = ['1', '0', '0', '0'];

/** A job that has ended is not known any more, as in gearmand. */
function standing(job: JobView | null): Standing {
  const live =
    job !== null && (job.state === 'running' || job.state === 'queued' || job.state === 'scheduled');
  if (!live) return ['0', '0', '0', '0'];
  if (job.state !== 'running') return WAITS;
  return ['1', '1', String(job.progress.numerator), String(job.progress.denominator)];
}

/** Makes an answer from what was found: a job, a schedule, or neither. */
type Make = (job: JobView | null, schedule: boolean) => Buffer;

/** Answers when all that this connection said before has been carried out. */
function ask({ deps, answers }: Requester, by: JobReference | null, make: Make): void {
  answers.inTurn((answer) => {
    if (by === null) answer(make(null, false));
    else void look(deps, by, make, answer);
  });
}

async function look(deps: Deps, by: JobReference, make: Make, answer: Answer): Promise<void> {
  const wait = within(deps.clock, deps.limits.readWaitMs);
  try {
    const read = { consistency: 'linearizable', minRevision: 0, signal: wait.signal } as const;
    const job = await deps.api.findJob(NAMESPACE, by, read);
    if (job !== null || !('seq' in by)) answer(make(job, false));
    else {
      // This node's state is fresh enough from here on.
      const schedule = await deps.api.findSchedule(NAMESPACE, by.seq, { ...read, consistency: 'eventual' });
      answer(make(null, schedule !== null));
    }
  } catch (error) {
    const told = wireError(error);
    deps.metrics?.gearmanError(told.code);
    answer(errorPacket(told));
  } finally {
    wait.done();
  }
}
