import { createHash } from 'node:crypto';
import { type CalendarFields, parseCalendar } from '../base/calendar.js';
import {
  type BlobRef,
  ENDLESS_RETRY,
  type JobSpec,
  type PriorityRank,
  type ScheduleSpec,
} from '../core/types.js';
import type { Deps } from './deps.js';
import type { WireError } from './errors.js';
import { FOLLOWED_RETENTION_MS_MIN, FUNCTION_BYTES_MAX, UNIQUE_BYTES_MAX } from './limits.js';
import { argumentsOf, type PacketType, TYPE } from './packets.js';
import { wireText } from './text.js';

/** Arguments of a submission, the payload included, by what stands between unique id and payload. */
const ARGUMENTS = { none: 3, epoch: 4, reducer: 5, calendar: 8 } as const;

/** How a packet submits: what follows function and unique id, and what becomes of the job. */
export interface Form {
  readonly priority: PriorityRank;
  readonly foreground: boolean;
  readonly extra: keyof typeof ARGUMENTS;
}

const form = (priority: PriorityRank, foreground: boolean, extra: Form['extra'] = 'none'): Form => ({
  priority,
  foreground,
  extra,
});

export const FORMS: ReadonlyMap<number, Form> = new Map<PacketType, Form>([
  [TYPE.SUBMIT_JOB_HIGH, form(0, true)],
  [TYPE.SUBMIT_JOB, form(1, true)],
  [TYPE.SUBMIT_JOB_LOW, form(2, true)],
  [TYPE.SUBMIT_JOB_HIGH_BG, form(0, false)],
  [TYPE.SUBMIT_JOB_BG, form(1, false)],
  [TYPE.SUBMIT_JOB_LOW_BG, form(2, false)],
  [TYPE.SUBMIT_JOB_EPOCH, form(1, false, 'epoch')],
  [TYPE.SUBMIT_REDUCE_JOB, form(1, true, 'reducer')],
  [TYPE.SUBMIT_REDUCE_JOB_BACKGROUND, form(1, false, 'reducer')],
]);

const SCHEDULED = form(1, false, 'calendar');

const NOTHING = Buffer.alloc(0);
const NO_METADATA: readonly (readonly [string, string])[] = [];
/** Keys of a job's metadata that carry what only Gearman knows. */
export const REDUCER = 'gearman-reducer';
/** A time after which dates are no dates any more, seconds. */
const EPOCH_MAX = 8.64e12;

const refuse = (code: WireError['code'], text: string): WireError => ({ code, text });

/** Arguments of such a packet, the payload among them. */
export function argumentCount({ extra }: Form): number {
  return ARGUMENTS[extra];
}

/**
 * One submission in the core's form, or why it cannot be one. `args` are as many as `argumentCount` says; the last one is
 * the payload, which stays a view of the body, unless `blob` is there in its stead.
 */
export function jobSpec(
  deps: Deps,
  { priority, foreground, extra }: Form,
  args: readonly Buffer[],
  blob: BlobRef | null,
): JobSpec | WireError {
  const [name, unique, third, fourth] = args as [Buffer, Buffer, Buffer, Buffer];
  const payload = blob === null ? args.at(-1)! : NOTHING;
  const settings = deps.api.settings();
  if (unique.length > UNIQUE_BYTES_MAX) {
    return refuse(
      'ARGUMENT_TOO_LARGE',
      `the unique id has ${unique.length} bytes, the limit is ${UNIQUE_BYTES_MAX}`,
    );
  }
  const fn = functionName(name);
  if (typeof fn !== 'string') return fn;
  const uniqueKey = uniqueKeyOf(unique, payload, blob);
  if (uniqueKey === null) return refuse('INVALID_ARGUMENT', 'the unique id is not UTF-8');
  let runAtWall = 0;
  let metadata = NO_METADATA;
  if (extra === 'epoch') {
    const seconds = Number(third.toString('latin1').trim());
    if (!Number.isFinite(seconds) || seconds < 0 || seconds > EPOCH_MAX) {
      return refuse('INVALID_ARGUMENT', 'the time is not a number of seconds since 1970');
    }
    runAtWall = Math.floor(seconds) * 1_000;
  } else if (extra === 'reducer') {
    if (fourth.length > 0) return refuse('INVALID_ARGUMENT', 'the argument after the reducer must be empty');
    const reducer = functionName(third);
    if (typeof reducer !== 'string') return reducer;
    metadata = [[REDUCER, reducer]];
  }
  return {
    id: deps.api.newJobId(),
    function: fn,
    payload,
    payloadBlob: blob,
    contentType: '',
    metadata,
    priority,
    runAtWall,
    delayMs: 0,
    uniqueKey,
    retry: deps.jobRetries === 0 ? ENDLESS_RETRY : { ...ENDLESS_RETRY, maxAttempts: deps.jobRetries + 1 },
    runTimeoutMs: 0,
    startDeadlineWall: 0,
    retentionMs:
      foreground && settings.retentionMs < FOLLOWED_RETENTION_MS_MIN ? FOLLOWED_RETENTION_MS_MIN : -1,
    traceparent: '',
    foreground,
    waits: foreground,
    seed: deps.api.u32(),
  };
}

/** What SUBMIT_JOB_SCHED asks for, or why it cannot be: every field of the calendar that is wrong is named. */
export function scheduleSpec(deps: Deps, body: Buffer): ScheduleSpec | WireError {
  const args = argumentsOf(body, argumentCount(SCHEDULED));
  if (args === null) return refuse('INVALID_PACKET', 'arguments are missing');
  const job = jobSpec(deps, SCHEDULED, args, null);
  if ('code' in job) return job;
  const text = args.map((arg) => arg.toString('latin1'));
  const [minute, hour, dayOfMonth, month, dayOfWeek] = text.slice(2) as [
    string,
    string,
    string,
    string,
    string,
  ];
  const wrong: string[] = [];
  const calendar = parseCalendar({ minute, hour, dayOfMonth, month, dayOfWeek }, (field, why) => {
    wrong.push(`${FIELD_NAMES[field]} ${why}`);
  });
  return calendar === null ? refuse('INVALID_ARGUMENT', wrong.join('; ')) : { job, calendar };
}

/** A function's name as the rest of the cluster knows it, or what is wrong with it. */
export function functionName(bytes: Buffer): string | WireError {
  if (bytes.length > FUNCTION_BYTES_MAX) {
    return refuse(
      'ARGUMENT_TOO_LARGE',
      `the function's name has ${bytes.length} bytes, the limit is ${FUNCTION_BYTES_MAX}`,
    );
  }
  const name = wireText(bytes);
  if (name === null || name === '') {
    return refuse('INVALID_ARGUMENT', "the function's name is empty, not UTF-8 or has control characters");
  }
  return name;
}

/** As the protocol calls them. */
const FIELD_NAMES: { readonly [field in keyof CalendarFields]: string } = {
  minute: 'the minute',
  hour: 'the hour',
  dayOfMonth: 'the day of month',
  month: 'the month',
  dayOfWeek: 'the day of week',
};

const BY_PAYLOAD = '-';

/**
 * The key by which the core coalesces. `-` stands for the payload: its digest, which is longer than any unique id that
 * a client may choose, so that the two never meet.
 */
function uniqueKeyOf(unique: Buffer, payload: Buffer, blob: BlobRef | null): string | null {
  if (unique.length === 1 && unique[0] === BY_PAYLOAD.charCodeAt(0)) {
    const digest = blob?.digest ?? createHash('sha256').update(payload).digest();
    return BY_PAYLOAD + Buffer.from(digest).toString('hex');
  }
  return wireText(unique);
}

/** The unique id as its client said it. */
export function uniqueShown(uniqueKey: string): string {
  return uniqueKey.length > UNIQUE_BYTES_MAX && uniqueKey.startsWith(BY_PAYLOAD) ? BY_PAYLOAD : uniqueKey;
}

export { uniqueKeyOf };
