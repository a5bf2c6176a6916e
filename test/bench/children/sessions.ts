import { Client, type ClientDuplexStream, credentials, type ServiceError, status } from '@grpc/grpc-js';
import {
  type Assignment,
  OutcomeKind,
  type ServeFrame,
  WorkerServiceService,
  WorkFrame,
} from '../../../proto/gen/gearmesh/v1/worker.js';
import type { WorkOrder, WorkRequest } from './worker.js';

/**
 * As worker.ts, for thousands of sessions: bare streams, many on one connection, without what makes a worker robust. So
 * what grows with their number is the servers' part, and this process can bear it.
 */
const PER_CONNECTION = 500;
/** Sessions that are opened at a time. */
const OPENED_AT_ONCE = 64;
/** A session that has nothing to say says so this often; the nodes wait for three times as long. */
const HEARTBEAT_SECONDS = 60;
const AGAIN_MS = 100;

type Stream = ClientDuplexStream<WorkFrame, ServeFrame>;

let worked = 0;
const streams = new Set<Stream>();

process.on('message', (request: WorkRequest) => {
  if (request.kind === 'count') process.send?.(worked);
  else if (request.kind === 'open') void openAll(request.order).then(() => process.send?.('ready'));
  else process.exit(0);
});
setInterval(() => {
  for (const stream of streams) stream.write(WorkFrame.fromPartial({}));
}, HEARTBEAT_SECONDS * 1_000);
process.on('disconnect', () => process.exit(0));

async function openAll(order: WorkOrder): Promise<void> {
  const { endpoints, sessions } = order;
  const perNode = Math.ceil(sessions / endpoints.length);
  const connections = endpoints.map((endpoint) =>
    Array.from(
      { length: Math.ceil(perNode / PER_CONNECTION) },
      () => new Client(endpoint, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 }),
    ),
  );
  let next = 0;
  const opener = async (): Promise<void> => {
    while (next < sessions) {
      const i = next++;
      const ofNode = connections[i % endpoints.length]!;
      await open(ofNode[Math.floor(i / endpoints.length) % ofNode.length]!, order, i);
    }
  };
  await Promise.all(Array.from({ length: OPENED_AT_ONCE }, opener));
}

/** Resolves once the session is welcomed. One whose node was away for too long is followed by another one. */
function open(client: Client, order: WorkOrder, i: number): Promise<void> {
  const { path, requestSerialize, responseDeserialize } = WorkerServiceService.work;
  const stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
  let credit = order.credits;
  const hello = {
    workerName: `bench-${i}`,
    functions: order.functions.map((name) => ({ name })),
    heartbeatInterval: { seconds: HEARTBEAT_SECONDS, nanos: 0 },
    ephemeral: true,
  };
  stream.write(WorkFrame.fromPartial({ hello, credit }));
  return new Promise((resolve) => {
    stream.on('error', (error: ServiceError) => {
      streams.delete(stream);
      if (error.code !== status.UNAVAILABLE) throw error;
      setTimeout(() => void open(client, order, i).then(resolve), AGAIN_MS);
    });
    stream.on('data', ({ welcome, assignments }: ServeFrame) => {
      if (welcome !== undefined) {
        streams.add(stream);
        resolve();
      }
      if (assignments.length === 0) return;
      worked += assignments.length;
      credit += assignments.length;
      stream.write(WorkFrame.fromPartial({ credit, outcomes: assignments.map(completed) }));
    });
  });
}

function completed({ leaseToken, jobId }: Assignment): {
  leaseToken: number;
  jobId: string;
  kind: OutcomeKind;
} {
  return { leaseToken, jobId, kind: OutcomeKind.COMPLETE };
}
