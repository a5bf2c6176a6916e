import { packet, REQUEST_MAGIC, TYPE } from '../../src/gearman/packets.js';
import { complete, Lane, refused } from './gearman-lane.js';

/**
 * A load generator in a process of its own: `gearman-load.js ORDER` (JSON). It speaks packets alone, from buffers that
 * are made once, so that it costs little beside the servers; says what it counted, and how much CPU that took.
 */
export interface LoadOrder {
  readonly kind: 'submit' | 'cycle' | 'round-trip';
  readonly addresses: readonly string[];
  readonly fn: string;
  readonly payloadBytes: number;
  readonly seconds: number;
  /** Connections that submit, and submissions of each that may wait for their JOB_CREATED. */
  readonly clients: number;
  readonly window: number;
  /** Connections that work, one job at a time each. */
  readonly workers: number;
  /** Jobs that may be there without being worked, so that the queue stays short. */
  readonly backlog: number;
  /** Round trips that are not counted, and that are, and the pause between them in milliseconds. */
  readonly warm: number;
  readonly counted: number;
  readonly paceMs: number;
}

export interface LoadResult {
  readonly accepted: number;
  /** JOB_ASSIGN that came, and WORK_COMPLETE that went. */
  readonly worked: number;
  readonly seconds: number;
  /** CPU of this process, microseconds. */
  readonly cpuUs: number;
  /** Of the round trips, milliseconds, ascending. */
  readonly times: readonly number[];
}

const order = JSON.parse(process.argv[2]!) as LoadOrder;
const CREATED: number = TYPE.JOB_CREATED;
const submission = packet(REQUEST_MAGIC, order.kind === 'round-trip' ? TYPE.SUBMIT_JOB : TYPE.SUBMIT_JOB_BG, [
  order.fn,
  '',
  Buffer.alloc(order.payloadBytes, 'x'),
]);
const submissions = Buffer.concat(Array.from({ length: order.window }, () => submission));
const grab = packet(REQUEST_MAGIC, TYPE.GRAB_JOB);
const sleep = packet(REQUEST_MAGIC, TYPE.PRE_SLEEP);
const canDo = packet(REQUEST_MAGIC, TYPE.CAN_DO, [order.fn]);

let created = 0;
let sent = 0;
let worked = 0;
let wake: () => void = () => {};
/** Workers that come find nothing to do and say so: no reason to begin. */
let begun = false;
let over = false;
const clients: { readonly lane: Lane; open: number }[] = [];

const addressOf = (i: number): string => order.addresses[i % order.addresses.length]!;

/** Sends what the window and the backlog leave room for. */
function submitMore(client: { readonly lane: Lane; open: number }): void {
  const room = order.kind === 'cycle' ? order.backlog - (sent - worked) : order.window;
  const count = over || !begun ? 0 : Math.min(order.window - client.open, room);
  if (count <= 0) return;
  client.open += count;
  sent += count;
  client.lane.socket.write(submissions.subarray(0, count * submission.length));
}

async function openClients(): Promise<void> {
  for (let i = 0; i < order.clients; i++) {
    const lane = await Lane.open(
      addressOf(i),
      (type, bytes, from, to) => {
        if (type !== CREATED) refused(bytes, from, to);
        client.open--;
        created++;
      },
      () => {
        submitMore(client);
        wake();
      },
    );
    const client = { lane, open: 0 };
    clients.push(client);
  }
}

/** Completes the job of each JOB_ASSIGN and asks for the next in one piece; sleeps when there is none. */
async function openWorker(address: string): Promise<void> {
  let out: Buffer[] = [];
  const lane = await Lane.open(
    address,
    (type, bytes, from, to) => {
      if (type === TYPE.JOB_ASSIGN) {
        out.push(complete(bytes, from, to), grab);
        worked++;
      } else if (type === TYPE.NO_JOB) {
        out.push(sleep);
      } else if (type === TYPE.NOOP) {
        out.push(grab);
      } else {
        refused(bytes, from, to);
      }
    },
    () => {
      if (out.length === 0) return;
      lane.socket.cork();
      for (const one of out) lane.socket.write(one);
      lane.socket.uncork();
      out = [];
      if (!over) for (const client of clients) if (client.open < order.window / 2) submitMore(client);
      wake();
    },
  );
  lane.socket.write(Buffer.concat([canDo, grab]));
}

function until(condition: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    wake = () => {
      if (!condition()) return;
      wake = () => {};
      resolve();
    };
    wake();
  });
}

/** Submits, and in a cycle works, for a while; then until nothing is left. Its connections are open. */
async function flood(): Promise<void> {
  const timer = setTimeout(() => {
    over = true;
    wake();
  }, order.seconds * 1_000);
  begun = true;
  for (const client of clients) submitMore(client);
  await until(() => over && created === sent && (order.kind === 'submit' || worked === created));
  clearTimeout(timer);
}

/** One job at a time: from its submission to its result. Client and worker are at different nodes. */
async function roundTrips(): Promise<number[]> {
  let ended = (): void => {};
  const client = await Lane.open(addressOf(0), (type, bytes, from, to) => {
    if (type === CREATED) created++;
    else if (type === TYPE.WORK_COMPLETE) ended();
    else refused(bytes, from, to);
  });
  const times: number[] = [];
  for (let i = 0; i < order.warm + order.counted; i++) {
    const end = new Promise<void>((resolve) => {
      ended = resolve;
    });
    const began = performance.now();
    client.socket.write(submission);
    await end;
    if (i >= order.warm) {
      times.push(performance.now() - began);
      await new Promise((resolve) => setTimeout(resolve, order.paceMs));
    }
  }
  return times.sort((a, b) => a - b);
}

if (order.kind !== 'round-trip') await openClients();
const workers = order.kind === 'round-trip' ? 1 : order.workers;
for (let i = 0; i < workers; i++) await openWorker(addressOf(order.kind === 'round-trip' ? 1 : i));
// Measured without the time to open them: servers accept hundreds of connections at very different speeds.
const cpu = process.cpuUsage();
const began = performance.now();
let times: number[] = [];
if (order.kind === 'round-trip') times = await roundTrips();
else await flood();
const seconds = (performance.now() - began) / 1_000;
const { user, system } = process.cpuUsage(cpu);
const result: LoadResult = { accepted: created, worked, seconds, cpuUs: user + system, times };
process.send?.(result, () => process.exit(0));
