import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Drain } from '../../../../src/cli/gearmand/drain.js';
import { type Client, GearmeshError, type SubmitResult } from '../../../../src/client/index.js';
import { HEADER_BYTES, response, TYPE } from '../../../../src/gearman/packets.js';

/** Goal: jobs arrive in the order in which the gearmand gave them out, those with large payloads as well. */
const LARGE = (256 << 10) + 1;

let gearmand: Server;
let jobs: (readonly [fn: string, payload: Buffer])[];

beforeEach(async () => {
  let number = 0;
  gearmand = createServer((socket: Socket) => {
    let came = Buffer.alloc(0);
    socket.on('error', () => {});
    socket.on('data', (bytes: Buffer) => {
      came = Buffer.concat([came, bytes]);
      while (came.length >= HEADER_BYTES) {
        const size = came.readUInt32BE(8);
        if (came.length < HEADER_BYTES + size) return;
        const type = came.readUInt32BE(4);
        came = came.subarray(HEADER_BYTES + size);
        if (type === TYPE.ECHO_REQ) socket.write(response(TYPE.ECHO_RES, ['']));
        if (type !== TYPE.GRAB_JOB_ALL) continue;
        const job = jobs.shift();
        socket.write(
          job === undefined
            ? response(TYPE.NO_JOB)
            : response(TYPE.JOB_ASSIGN_UNIQ, [`H:old:${++number}`, job[0], '', job[1]]),
        );
      }
    });
  }).listen(0, '127.0.0.1');
  await once(gearmand, 'listening');
});

afterEach(() => {
  gearmand.close();
});

interface Submitted {
  readonly what: string;
  readonly accept: () => void;
  readonly refuse: (error: GearmeshError) => void;
}

/** A drain into a cluster that answers when the test says so. */
function drain(foreground: readonly string[] = []) {
  const submitted: Submitted[] = [];
  const submit = (fn: string, payload: Buffer) =>
    new Promise<SubmitResult>((resolve, refuse) => {
      const accept = (): void => resolve({ disposition: 'created' } as SubmitResult);
      submitted.push({ what: `${fn}${payload[0]}`, accept, refuse });
    });
  const run = (fn: string, payload: Buffer) => {
    submitted.push({ what: `run ${fn}${payload[0]}`, accept: () => {}, refuse: () => {} });
    throw new GearmeshError('INVALID_ARGUMENT', 'INVALID_FIELD', 'a run of a test');
  };
  const one = new Drain({
    address: `127.0.0.1:${(gearmand.address() as AddressInfo).port}`,
    client: { submit, run } as unknown as Client,
    life: 'l',
    functions: ['a', 'b'],
    seen: { count: 0, foreground: new Set(foreground), lost: new Set(), lastNumber: Infinity },
    here: new Map(),
    follow: false,
    signal: new AbortController().signal,
    refused: () => {},
  });
  const until = async (count: number): Promise<string[]> => {
    while (submitted.length < count) await new Promise(setImmediate);
    for (let i = 0; i < 20; i++) await new Promise(setImmediate);
    return submitted.map(({ what }) => what);
  };
  return { done: one.run(), counts: one.counts, submitted, until };
}

const job = (fn: string, number: number, size: number) => [fn, Buffer.alloc(size, number)] as const;

it('a large job goes alone among those of its function', async () => {
  jobs = [job('a', 1, 10), job('a', 2, LARGE), job('a', 3, 10), job('b', 4, 10)];
  const { done, submitted, until, counts } = drain();
  expect(await until(2)).toEqual(['a1', 'b4']);
  submitted[0]!.accept();
  expect(await until(3)).toEqual(['a1', 'b4', 'a2']);
  submitted[2]!.accept();
  expect(await until(4)).toEqual(['a1', 'b4', 'a2', 'a3']);
  submitted[1]!.accept();
  submitted[3]!.accept();
  await done;
  expect(counts.imported).toBe(4);
});

it('a foreground job waits for the large one before it', async () => {
  jobs = [job('a', 1, LARGE), job('a', 2, 10)];
  const { done, submitted, until } = drain(['H:old:2']);
  expect(await until(1)).toEqual(['a1']);
  submitted[0]!.accept();
  expect(await until(2)).toEqual(['a1', 'run a2']);
  await done;
});

it('what waits behind one that cannot be brought is left there', async () => {
  jobs = [job('a', 1, LARGE), job('a', 2, 10), job('a', 3, 10)];
  const { done, submitted, until, counts } = drain();
  expect(await until(1)).toEqual(['a1']);
  submitted[0]!.refuse(new GearmeshError('UNAVAILABLE', 'NO_LEADER', 'no leader'));
  await expect(done).rejects.toMatchObject({ reason: 'NO_LEADER' });
  expect([submitted.length, counts.imported]).toEqual([1, 0]);
});
