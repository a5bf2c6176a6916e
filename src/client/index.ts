/**
 * The client of Gearmesh: submit jobs, follow them, look after them, from Node.js.
 *
 * @example
 * import { Client } from 'gearmesh/client';
 *
 * const client = new Client({ endpoints: ['n1:7730', 'n2:7730', 'n3:7730'] });
 *
 * // In the background: resolves once a majority of the nodes has it on disk.
 * await client.submit('thumbnail', { file: 'cat.png' }, { priority: 'low', uniqueKey: 'cat.png' });
 *
 * // In the foreground: follow it, and get its result, whichever node dies meanwhile.
 * const run = client.run('reverse', 'Hello World!');
 * for await (const event of run) console.log(event.type);
 * console.log(await (await run.result).text());
 *
 * await client.close();
 *
 * @module gearmesh/client
 */
export {
  type CancelOptions,
  Client,
  type GetOptions,
  type JobInput,
  type ListOptions,
  type SubmitManyOptions,
  type WatchOptions,
} from './client.js';
export type { Cluster, ReplaceOptions } from './cluster.js';
export {
  AbortedError,
  type FieldViolation,
  GearmeshError,
  JobCancelledError,
  type JobEnd,
  JobEndedError,
  JobExpiredError,
  JobFailedError,
  type Outcome,
  type Reason,
  type StatusCode,
} from './errors.js';
export {
  decodeJson,
  decodePayload,
  decodeText,
  type EncodedPayload,
  encodePayload,
  type JsonValue,
  type PayloadInput,
  type PayloadStream,
} from './payload.js';
export type { ListQueuesOptions, Queues } from './queues.js';
export type { JobResult } from './result.js';
export type { Run } from './run.js';
export type { RunEvent } from './run-events.js';
export type { GetScheduleOptions, ListSchedulesOptions, Schedules } from './schedules.js';
export { PayloadStreamError } from './source.js';
export type * from './types.js';
export { PayloadLostError } from './upload.js';
