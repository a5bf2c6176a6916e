import { Queue, Worker } from 'bullmq';
import type { Driver } from './driver.js';

interface Data {
  readonly payload: string;
}

const DEFAULTS = { removeOnComplete: true, removeOnFail: true } as const;

/** Of every job. */
const NAME = 'job';

/** As its documentation has it for a worker: requests wait for a connection that is gone. */
function connectionTo(address: string): { host: string; port: number; maxRetriesPerRequest: null } {
  const [host, port] = address.split(':') as [string, string];
  return { host, port: Number(port), maxRetriesPerRequest: null };
}

function fail(error: unknown): never {
  throw error;
}

export const bullmqDriver: Driver = {
  async producer(address, name) {
    const queue = new Queue<Data>(name, { connection: connectionTo(address), defaultJobOptions: DEFAULTS });
    queue.on('error', fail);
    await queue.waitUntilReady();
    const texts = new Map<Buffer, Data>();
    const dataOf = (payload: Buffer): Data => {
      const data = texts.get(payload) ?? { payload: payload.toString('latin1') };
      texts.set(payload, data);
      return data;
    };
    return {
      submit: (payload, accepted) => {
        queue.add(NAME, dataOf(payload)).then(accepted).catch(unheard);
      },
      submitMany: (payload, count, accepted) => {
        const data = dataOf(payload);
        const jobs = Array.from({ length: count }, () => ({ name: NAME, data }));
        queue.addBulk(jobs).then(accepted).catch(unheard);
      },
      close: () => queue.close(),
    };
  },

  async consumer(address, name, credits, heard) {
    const work = async (): Promise<void> => heard.started();
    const worker = new Worker<Data>(name, work, { connection: connectionTo(address), concurrency: credits });
    worker.on('completed', () => heard.done());
    worker.on('failed', (_job, error) => fail(error));
    worker.on('error', fail);
    await worker.waitUntilReady();
    return { settle: async () => {}, close: () => worker.close() };
  },
};

/** Out of the promise, so that it ends the process. */
function unheard(error: unknown): void {
  process.nextTick(fail, error);
}
