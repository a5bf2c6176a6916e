import {
  closeSync,
  fdatasync as fdatasyncCallback,
  fdatasyncSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client, credentials } from '@grpc/grpc-js';
import { WebSocket } from 'ws';
import { JobState } from '../../../proto/gen/gearmesh/v1/common.js';
import { Disposition, SubmitFrame, SubmitFrameResult } from '../../../proto/gen/gearmesh/v1/job.js';
import { IdSource } from '../../../src/client/ulid.js';
import { CONNECTIONS, FUNCTION, IN_FLIGHT, payload } from '../bench-cluster.js';
import { ECHO, type FloorOrder } from '../children/floor-order.js';
import type { Context } from '../context.js';
import { cpuUs, median, spin } from '../gauge.js';
import { Child } from '../load.js';
import { met, OWED } from '../owed.js';
import { PACE_MS } from '../turn.js';

const NODES = 3;
/** Jobs of one log entry under W1's load, about: what comes while a sync is under way. */
const ENTRY_JOBS = 256;
/** Bytes of one job in the log: the payload, the id, the function's name, and what stands beside them. */
const LOG_BYTES_PER_JOB = payload.length + 40;
/** Frames towards one follower that wait for their answer. */
const WINDOW = 4;
/** Of an answer to appended entries. */
const ANSWER_BYTES = 32;
const SYNCS = 400;
const SYNC_BYTES = 4096;
const WARM_SECONDS = 1;

/** What the parts cost of which a job's way consists, with nothing around them; beside what a job may cost. */
export async function floor({ report, options }: Context): Promise<void> {
  const spinBefore = spin();
  const seconds = Math.min(2, options.seconds);
  const grpc = await measured('grpc', seconds, resultFrame().length, (port, forSeconds) =>
    echoGrpc(port, forSeconds),
  );
  const ws = await measured('ws', seconds, ANSWER_BYTES, (port, forSeconds) => echoWs(port, forSeconds));
  const sync = await syncs();
  const grpcJob = { server: grpc.serverUs / IN_FLIGHT, client: grpc.clientUs / IN_FLIGHT };
  // Both ends are nodes. Two followers get each job, and two jobs of three come to the leader from one of them.
  const wsJob = ((ws.serverUs + ws.clientUs) / ENTRY_JOBS) * (NODES - 1 + (NODES - 1) / NODES);
  const syncJob = (sync.cpuUs / ENTRY_JOBS) * NODES;
  const floorUs = grpcJob.server + wsJob + syncJob;
  const budget = OWED.W1!.find(({ figure }) => figure === 'serversUs')!;
  const { limit } = met(budget, { serversUs: floorUs });
  report.add(
    'floor',
    `bare gRPC stream, messages of ${IN_FLIGHT} jobs (${submitFrame().length} bytes): ${grpc.serverUs.toFixed(1)} µs a message at the server, ` +
      `${grpc.clientUs.toFixed(1)} at the client, ${grpcJob.server.toFixed(2)} and ${grpcJob.client.toFixed(2)} µs a job; ` +
      `bare ws, frames of ${ENTRY_JOBS} jobs (${ENTRY_JOBS * LOG_BYTES_PER_JOB} bytes): ${ws.clientUs.toFixed(1)} µs to send one, ${ws.serverUs.toFixed(1)} to get it, ` +
      `${(((ws.serverUs + ws.clientUs) / (ENTRY_JOBS * LOG_BYTES_PER_JOB)) * 1_000).toFixed(2)} ns a byte; ` +
      `fdatasync of ${SYNC_BYTES} bytes, every ${PACE_MS} ms: ${sync.cpuUs.toFixed(1)} µs of CPU, ${sync.p50.toFixed(2)} ms`,
    {
      grpcServerUs: grpc.serverUs,
      grpcClientUs: grpc.clientUs,
      wsSendUs: ws.clientUs,
      wsReceiveUs: ws.serverUs,
      syncUs: sync.cpuUs,
      syncMs: sync.p50,
    },
    { calm: { spinBefore, spinAfter: spin() } },
  );
  report.add(
    'floor',
    `of one job of W1, three nodes: gRPC ${grpcJob.server.toFixed(2)} + ws ${wsJob.toFixed(2)} + fdatasync ${syncJob.toFixed(2)} = ${floorUs.toFixed(2)} µs, ` +
      `of the ${limit} µs that it may cost`,
    { floorUs, grpcJobUs: grpcJob.server, wsJobUs: wsJob, syncJobUs: syncJob },
  );
}

/** CPU of one message at both ends, microseconds. */
interface Cost {
  readonly serverUs: number;
  readonly clientUs: number;
}

async function measured(
  kind: FloorOrder['kind'],
  seconds: number,
  answerBytes: number,
  echo: (port: number, seconds: number) => Promise<number>,
): Promise<Cost> {
  const child = new Child(new URL('../children/floor-server.js', import.meta.url));
  try {
    const order: FloorOrder = { kind, answerBytes };
    const port = await child.ask<number>(order);
    const warm = await echo(port, WARM_SECONDS);
    const before = cpuUs(child.pid);
    const own = process.cpuUsage();
    const messages = await echo(port, seconds);
    const { user, system } = process.cpuUsage(own);
    const serverUs = (cpuUs(child.pid) - before) / messages;
    const got = await child.ask<number>({});
    if (got !== warm + messages) throw new Error(`${kind}: ${warm + messages} messages answered, ${got} got`);
    return { serverUs, clientUs: (user + system) / messages };
  } finally {
    child.kill();
  }
}

/** As many streams as W1 has clients, each with one message under way. Returns the messages that were answered. */
async function echoGrpc(port: number, seconds: number): Promise<number> {
  const message = submitFrame();
  const end = performance.now() + seconds * 1_000;
  let answered = 0;
  const stream = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
        'grpc.use_local_subchannel_pool': 1,
      });
      const { path, requestSerialize, responseDeserialize } = ECHO;
      const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
      call.on('data', () => {
        answered++;
        if (performance.now() < end) call.write(message);
        else call.end();
      });
      call.on('error', reject);
      call.on('end', () => {
        client.close();
        resolve();
      });
      call.write(message);
    });
  await Promise.all(Array.from({ length: CONNECTIONS }, stream));
  return answered;
}

function echoWs(port: number, seconds: number): Promise<number> {
  const frame = Buffer.alloc(ENTRY_JOBS * LOG_BYTES_PER_JOB, 'x');
  const end = performance.now() + seconds * 1_000;
  let answered = 0;
  let open = 0;
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}`, {
      perMessageDeflate: false,
      // As the nodes have it.
      generateMask: (mask) => mask.fill(0),
    });
    const send = (): void => {
      open++;
      socket.send(frame);
    };
    socket.on('open', () => {
      for (let i = 0; i < WINDOW; i++) send();
    });
    socket.on('message', () => {
      answered++;
      open--;
      if (performance.now() < end) send();
      else if (open === 0) socket.close();
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(answered));
  });
}

/** By the thread pool, as a node does it; preallocated, at the pace of W3's jobs. */
async function syncs(): Promise<{ cpuUs: number; p50: number }> {
  const fdatasync = promisify(fdatasyncCallback);
  const directory = mkdtempSync(join(tmpdir(), 'gearmesh-gauge-'));
  const file = openSync(join(directory, 'file'), 'w');
  try {
    writeSync(file, Buffer.alloc(SYNCS * SYNC_BYTES));
    fdatasyncSync(file);
    const page = Buffer.alloc(SYNC_BYTES, 1);
    const times: number[] = [];
    let used = 0;
    for (let i = 0; i < SYNCS; i++) {
      const cpu = process.cpuUsage();
      writeSync(file, page, 0, page.length, i * SYNC_BYTES);
      const began = performance.now();
      await fdatasync(file);
      times.push(performance.now() - began);
      const { user, system } = process.cpuUsage(cpu);
      used += user + system;
      await new Promise((resolve) => setTimeout(resolve, PACE_MS));
    }
    return { cpuUs: used / SYNCS, p50: median(times) };
  } finally {
    closeSync(file);
    rmSync(directory, { recursive: true, force: true });
  }
}

/** What W1 sends: a frame of all that one connection has under way. */
function submitFrame(): Buffer {
  const ids = new IdSource();
  const jobs = Array.from({ length: IN_FLIGHT }, () => ({ id: ids.next(), function: FUNCTION, payload }));
  return Buffer.from(SubmitFrame.encode(SubmitFrame.fromPartial({ frameId: 1, jobs })).finish());
}

/** What comes back for it. */
function resultFrame(): Buffer {
  const ids = new IdSource();
  const results = Array.from({ length: IN_FLIGHT }, () => ({
    jobId: ids.next(),
    disposition: Disposition.CREATED,
    state: JobState.QUEUED,
    revision: '1-1000000',
  }));
  return Buffer.from(
    SubmitFrameResult.encode(SubmitFrameResult.fromPartial({ frameId: 1, results })).finish(),
  );
}
