import { JobView } from '../../proto/gen/gearmesh/v1/common.js';
import type { JobSpec } from '../../proto/gen/gearmesh/v1/job.js';
import { ScheduleServiceService } from '../../proto/gen/gearmesh/v1/schedule.js';
import { type Calls, type Repetition, unary } from './calls.js';
import { fromDisposition, fromSchedule, toCalendar, toConsistency, toSpec } from './convert.js';
import { GearmeshError } from './errors.js';
import type { PayloadInput } from './payload.js';
import type {
  Calendar,
  CallOptions,
  Change,
  ReadOptions,
  ScheduleInfo,
  ScheduleOptions,
  ScheduleResult,
} from './types.js';
import type { IdSource } from './ulid.js';

export interface GetScheduleOptions extends ReadOptions {
  /** `full` brings the payload too. Default `basic`. */
  readonly view?: 'basic' | 'full';
}

export interface ListSchedulesOptions extends GetScheduleOptions {
  /** Those of all namespaces instead of the client's. */
  readonly allNamespaces?: boolean;
  /** Schedules per request; 1 to 1,000. */
  readonly pageSize?: number;
}

/** Jobs that are submitted again and again, by the calendar. Reached as `client.schedules`. */
export class Schedules {
  readonly #calls: Calls;
  readonly #ids: IdSource;
  readonly #namespace: string;

  constructor(calls: Calls, ids: IdSource, namespace: string) {
    this.#calls = calls;
    this.#ids = ids;
    this.#namespace = namespace;
  }

  /**
   * Makes a schedule, and resolves once it is on disk on a majority of the nodes. A program that does this with each of
   * its starts names a `uniqueKey`: while a schedule of the function has it, that one is the answer, as it is.
   *
   * @example
   * await client.schedules.create({ minute: 30, hour: 6 }, 'report', { of: 'yesterday' }, { uniqueKey: 'daily' });
   */
  async create(
    calendar: Calendar,
    fn: string,
    payload?: PayloadInput,
    options: ScheduleOptions = {},
  ): Promise<ScheduleResult> {
    const { id, ...rest } = options;
    let job: JobSpec;
    try {
      job = toSpec('', fn, payload, rest);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      throw new GearmeshError('INVALID_ARGUMENT', 'INVALID_FIELD', message, { cause: error });
    }
    const wire = toCalendar(calendar);
    const say = async (scheduleId: string, repetition: Repetition): Promise<ScheduleResult> => {
      const request = { namespace: this.#namespace, scheduleId, calendar: wire, job };
      const made = await unary(
        this.#calls,
        ScheduleServiceService.createSchedule,
        request,
        options,
        repetition,
      );
      return { ...made, disposition: fromDisposition(made.disposition) };
    };
    try {
      return await say(id ?? this.#ids.next(), 'repeatable');
    } catch (thrown) {
      const { reason } = thrown as GearmeshError;
      if (id !== undefined || (reason !== 'ID_IN_FUTURE' && reason !== 'ID_TOO_OLD')) throw thrown;
      // The clock here is wrong. There is no schedule of this id, or it would have been the answer: the server may
      // choose another one.
      return say('', 'once');
    }
  }

  /** Schedules, oldest first; pages are fetched as the iteration goes on. `timeoutMs` holds for each page. */
  async *list(options: ListSchedulesOptions = {}): AsyncGenerator<ScheduleInfo, void, undefined> {
    let pageToken = '';
    do {
      const page = await unary(
        this.#calls,
        ScheduleServiceService.listSchedules,
        {
          namespace: options.allNamespaces ? '' : this.#namespace,
          allNamespaces: options.allNamespaces ?? false,
          view: toView(options),
          consistency: toConsistency(options),
          minRevision: options.minRevision ?? '',
          pageSize: options.pageSize ?? 0,
          pageToken,
        },
        options,
        'read',
      );
      for (const schedule of page.schedules) yield fromSchedule(schedule);
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
  }

  /** A schedule as it stands. Rejects with NOT_FOUND. */
  async get(scheduleId: string, options: GetScheduleOptions = {}): Promise<ScheduleInfo> {
    const request = {
      namespace: this.#namespace,
      scheduleId,
      view: toView(options),
      consistency: toConsistency(options),
      minRevision: options.minRevision ?? '',
    };
    return fromSchedule(
      await unary(this.#calls, ScheduleServiceService.getSchedule, request, options, 'read'),
    );
  }

  /** Ends a schedule; the jobs that it has submitted are not touched. */
  delete(scheduleId: string, options: CallOptions = {}): Promise<Change> {
    const request = { namespace: this.#namespace, scheduleId };
    return unary(this.#calls, ScheduleServiceService.deleteSchedule, request, options, 'repeatable');
  }
}

function toView(options: GetScheduleOptions): JobView {
  return options.view === 'full' ? JobView.FULL : JobView.BASIC;
}
