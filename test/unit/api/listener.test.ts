import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { credentials } from '@grpc/grpc-js';
import { afterEach, expect, test } from 'vitest';
import { JobServiceClient, JobSpec, type SubmitResult } from '../../../proto/gen/gearmesh/v1/job.js';
import { type Bundle, startBundle } from './harness.js';

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
/** An empty SETTINGS frame, as every client sends first. */
const SETTINGS = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);

let b: Bundle;
let sockets: Socket[] = [];
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets = [];
  await b.stop();
});

/** A connection that speaks HTTP/2 and then says nothing; resolves once the server has answered. */
async function silent(): Promise<{ closed: Promise<unknown> }> {
  const [host, port] = b.server.address.split(':') as [string, string];
  const socket = connect(Number(port), host);
  sockets.push(socket);
  socket.on('error', () => {});
  const closed = once(socket, 'close');
  const answered = once(socket, 'data');
  socket.write(Buffer.concat([PREFACE, SETTINGS]));
  await answered;
  return { closed };
}

function submit(client: JobServiceClient): Promise<SubmitResult> {
  return new Promise((resolve, reject) => {
    const request = { namespace: '', job: JobSpec.create({ function: 'f' }) };
    client.submitJob(request, (error, answer) => (error === null ? resolve(answer!) : reject(error)));
  });
}

test('a connection that makes no call is closed after a time; one that made a call stays', async () => {
  b = await startBundle({ limits: { newcomerMs: 200 } });
  const client = new JobServiceClient(b.server.address, credentials.createInsecure());
  await submit(client);
  const before = client.getChannel().getConnectivityState(false);
  const { closed } = await silent();
  await closed;
  const { closed: second } = await silent();
  await second;
  expect(client.getChannel().getConnectivityState(false)).toBe(before);
  await submit(client);
  client.close();
});

test('above the limit of connections without a call the oldest goes', async () => {
  b = await startBundle({ limits: { newcomersMax: 2, newcomerMs: 60_000 } });
  const first = await silent();
  await silent();
  await silent();
  await first.closed;
  expect(sockets.map((socket) => socket.destroyed)).toEqual([true, false, false]);
});

test('above the limit of all connections a new one is refused', async () => {
  b = await startBundle({ limits: { connectionsMax: 1, newcomerMs: 60_000 } });
  await silent();
  const [host, port] = b.server.address.split(':') as [string, string];
  const socket = connect(Number(port), host);
  sockets.push(socket);
  socket.on('error', () => {});
  await once(socket, 'close');
  expect(sockets[0]!.destroyed).toBe(false);
});
