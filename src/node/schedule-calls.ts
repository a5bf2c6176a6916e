import { GearmeshError } from '../core/errors.js';
import type { Core } from '../core/interface.js';
import type { Disposition, ScheduleSpec } from '../core/types.js';
import { refusalError } from './answers.js';
import type { CallOptions, ScheduleResult } from './interface.js';
import { propose, specBytes } from './job-calls.js';
import type { Origin } from './origin.js';

/** By the value of the command's answer. */
const DISPOSITIONS: readonly Disposition[] = ['created', 'same-id', 'coalesced'];

/** Resolves once the schedule is applied here, so durable on a majority. */
export function createSchedule(
  origin: Origin,
  core: Core,
  namespace: string,
  spec: ScheduleSpec,
  call: CallOptions,
): Promise<ScheduleResult> {
  return new Promise((resolve, reject) => {
    let found: Omit<ScheduleResult, 'revision'> | null = null;
    let refused: GearmeshError | null = null;
    propose(
      origin,
      {
        bytes: specBytes(namespace, spec.job) + 64,
        repeatable: true,
        encode: (builder) => builder.scheduleCreate(namespace, spec),
        command: (_, { refusal, limit, limitValue, value, seq }) => {
          if (refusal !== null) refused = refusalError(refusal, limit, limitValue);
          // Looked up now: a later entry may end it. One that is gone already has the id that was asked for.
          else found = { id: core.schedule(seq)?.id ?? spec.job.id, seq, disposition: DISPOSITIONS[value]! };
        },
        done: (revision) => {
          if (found !== null) resolve({ ...found, revision });
          else reject(refused ?? new GearmeshError('INTERNAL', { message: 'a command was not answered' }));
        },
        failed: reject,
      },
      call.signal,
    );
  });
}
