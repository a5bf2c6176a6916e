import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { getChannelzServiceDefinition, type ServiceError, status } from '@grpc/grpc-js';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  HealthService,
  HealthCheckResponse_ServingStatus as Serving,
} from '../../../proto/gen/grpc/health/v1/health.js';
import type { ServerReflectionRequest } from '../../../proto/gen/grpc/reflection/v1/reflection.js';
import { DEFAULT_API_LIMITS } from '../../../src/api/limits.js';
import { errorOfCall } from '../../../src/client/status.js';
import { ROOT } from '../../support/root.js';
import { HandClock } from './hand-clock.js';
import { Answers, type Bundle, refusal, startBundle, unary } from './harness.js';

let b: Bundle;
let clock: HandClock;
beforeEach(async () => {
  clock = new HandClock();
  b = await startBundle({ clock, limits: { healthPollMs: 1_000, leaderlessMs: 3_000 } });
});
afterEach(async () => {
  const stopped = b.stop();
  clock.advance(1);
  await stopped;
});

const check = async (service: string) =>
  Serving[(await unary(b.health, HealthService.check, { service })).status];

test('health follows the phase of the node', async () => {
  expect(await check('')).toBe('SERVING');
  b.node.phase = 'catching-up';
  expect(await check('gearmesh.v1.JobService')).toBe('NOT_SERVING');
  expect(await check('gearmesh.v1.ClusterService')).toBe('SERVING');
  const unknown = await refusal(unary(b.health, HealthService.check, { service: 'nothing' }));
  expect(unknown.code).toBe(status.NOT_FOUND);
  const { statuses } = await unary(b.health, HealthService.list, {});
  expect(Object.keys(statuses)).toHaveLength(5);
});

test('a watcher sees the leader go and come, and the node drain', async () => {
  const updates = new Answers(b.health.watch({ service: 'gearmesh.v1.WorkerService' }));
  const seen = () => updates.all.map((update) => Serving[update.status]);
  await updates.count(1);
  b.node.clusterNow = { ...b.node.clusterNow, leader: '' };
  await clock.walk(2_000, 1_000);
  expect(seen()).toEqual(['SERVING']);
  await clock.walk(2_000, 1_000);
  await updates.count(2);
  b.node.clusterNow = { ...b.node.clusterNow, leader: 'n2' };
  await clock.walk(1_000, 1_000);
  await updates.count(3);
  b.server.drain('test');
  await updates.count(4);
  expect(seen()).toEqual(['SERVING', 'NOT_SERVING', 'SERVING', 'NOT_SERVING']);
  expect(await check('gearmesh.v1.ClusterService')).toBe('NOT_SERVING');
});

test('a watch of an unknown service stays open', async () => {
  const stream = b.health.watch({ service: 'nothing' });
  const updates = new Answers(stream);
  await updates.count(1);
  expect(Serving[updates.all[0]!.status]).toBe('SERVICE_UNKNOWN');
  stream.cancel();
});

async function ask(...requests: NonNullable<ServerReflectionRequest['messageRequest']>[]) {
  const stream = b.reflection.serverReflectionInfo();
  const answers = new Answers(stream);
  for (const messageRequest of requests) stream.write({ host: '', messageRequest });
  stream.end();
  expect(await answers.end).toBeNull();
  return answers.all.map((answer) => answer.messageResponse!);
}

test('reflection lists the services and gives whole files', async () => {
  const [list, symbol, method, file, unknown, noExtension, channelz] = await ask(
    { $case: 'listServices', value: '' },
    { $case: 'fileContainingSymbol', value: 'gearmesh.v1.JobService' },
    { $case: 'fileContainingSymbol', value: 'gearmesh.v1.WorkerService.Work' },
    { $case: 'fileByFilename', value: 'google/rpc/status.proto' },
    { $case: 'fileContainingSymbol', value: 'nobody.Knows' },
    { $case: 'allExtensionNumbersOfType', value: 'gearmesh.v1.Job' },
    { $case: 'fileContainingSymbol', value: 'grpc.channelz.v1.Channelz' },
  );
  const services = list!.$case === 'listServicesResponse' ? list!.value.service.map(({ name }) => name) : [];
  expect(services).toEqual([
    'gearmesh.v1.ClusterService',
    'gearmesh.v1.JobService',
    'gearmesh.v1.QueueService',
    'gearmesh.v1.WorkerService',
    'grpc.channelz.v1.Channelz',
    'grpc.health.v1.Health',
    'grpc.reflection.v1.ServerReflection',
    'grpc.reflection.v1alpha.ServerReflection',
  ]);
  const files = (answer: typeof symbol) =>
    answer?.$case === 'fileDescriptorResponse'
      ? answer.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes).name)
      : [];
  expect(files(symbol)).toEqual(
    expect.arrayContaining([
      'gearmesh/v1/job.proto',
      'gearmesh/v1/common.proto',
      'google/protobuf/any.proto',
    ]),
  );
  expect(files(method)[0]).toBe('gearmesh/v1/worker.proto');
  expect(files(file)[0]).toBe('google/rpc/status.proto');
  expect(files(channelz)[0]).toBe('grpc/channelz/v1/channelz.proto');
  expect(unknown).toMatchObject({ $case: 'errorResponse', value: { errorCode: status.NOT_FOUND } });
  expect(noExtension).toMatchObject({ $case: 'allExtensionNumbersResponse', value: { extensionNumber: [] } });
});

test('channelz shows the server and its calls', async () => {
  await check('');
  const { server } = await unary(b.health, getChannelzServiceDefinition().GetServers, {});
  expect(server).toContainEqual(
    expect.objectContaining({
      data: expect.objectContaining({ calls_succeeded: expect.stringMatching(/^[1-9]/) }),
    }),
  );
});

test('a method that the server does not have is refused by the library alone', async () => {
  const unknown = { ...HealthService.check, path: '/gearmesh.v1.JobService/Nothing' };
  const error = await unary(b.health, unknown, { service: '' }).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: status.UNIMPLEMENTED });
  // docs/errors.md says that it comes without: once it does not, the page is to say so.
  expect((error as ServiceError).metadata.get('grpc-status-details-bin')).toEqual([]);
  const seen = errorOfCall(error as ServiceError);
  expect(seen).toMatchObject({ code: 'UNIMPLEMENTED', outcome: 'NOT_APPLIED' });
});

test('docs/operations.md says after which time without a leader health turns', () => {
  const page = readFileSync(join(ROOT, 'docs/operations.md'), 'utf8');
  const [, seconds] = /`NOT_SERVING`\s+after (\d+) s/.exec(page)!;
  expect(Number(seconds) * 1_000).toBe(DEFAULT_API_LIMITS.leaderlessMs);
});
