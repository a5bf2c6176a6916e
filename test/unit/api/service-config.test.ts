import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { ClusterServiceService } from '../../../proto/gen/gearmesh/v1/cluster.js';
import { JobServiceService } from '../../../proto/gen/gearmesh/v1/job.js';
import { QueueServiceService } from '../../../proto/gen/gearmesh/v1/queue.js';
import { ScheduleServiceService } from '../../../proto/gen/gearmesh/v1/schedule.js';
import { WorkerServiceService } from '../../../proto/gen/gearmesh/v1/worker.js';

interface ServiceConfig {
  readonly methodConfig: readonly {
    readonly name: readonly { readonly service: string; readonly method: string }[];
    readonly retryPolicy: { readonly retryableStatusCodes: readonly string[] };
  }[];
}

const config = JSON.parse(readFileSync('proto/service_config.json', 'utf8')) as ServiceConfig;
const SERVICES = [
  JobServiceService,
  WorkerServiceService,
  QueueServiceService,
  ScheduleServiceService,
  ClusterServiceService,
];
const known = SERVICES.flatMap((service) => Object.values(service).map(({ path }) => path));
const retried = config.methodConfig.flatMap(({ name }) =>
  name.map(({ service, method }) => `/${service}/${method}`),
);

/** Repeating these is not harmless without an id that the client library does not know about, or they are streams up. */
const NEVER = [
  'SubmitJob',
  'SubmitJobs',
  'SubmitStream',
  'RunJob',
  'LeaseJobs',
  'Work',
  'CancelJob',
  'RetryJob',
  'DeleteJob',
  'SendData',
  'PauseQueue',
  'ResumeQueue',
  'PurgeQueue',
  'SetQueueLimits',
  'DropQueue',
  'TransferLeadership',
  'ReplaceNode',
  'ChangeSettings',
  'CreateSchedule',
  'DeleteSchedule',
];

test('the published service config retries what is safe to repeat, and nothing else', () => {
  const never = known.filter((path) => NEVER.includes(path.split('/')[2]!));
  expect(never).toHaveLength(NEVER.length);
  expect([...retried, ...never].sort()).toEqual([...known].sort());
  for (const { retryPolicy } of config.methodConfig) {
    expect(retryPolicy.retryableStatusCodes).toEqual(['UNAVAILABLE']);
  }
});
