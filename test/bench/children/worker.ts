import type { ChannelOptions } from '@grpc/grpc-js';
import { Worker } from '../../../src/worker/index.js';

/**
 * Workers that do nothing, in a process of their own. Takes one order, says `ready`, then works. Asked for anything, it
 * answers with the number of jobs it has worked.
 */
export interface WorkOrder {
  readonly endpoints: readonly string[];
  /** All of them can do all of these functions. */
  readonly functions: readonly string[];
  readonly sessions: number;
  readonly credits: number;
  /** Sessions on one connection; a thousand of 10,000 workers would be more connections than one process should have. */
  readonly perConnection: number;
}

/** Sessions that are opened at a time. */
const OPENED_AT_ONCE = 64;

let worked = 0;

process.once('message', (order: WorkOrder) => {
  void open(order).then(() => {
    process.on('message', () => process.send?.(worked));
    process.send?.('ready');
  });
});
process.on('disconnect', () => process.exit(0));

async function open(order: WorkOrder): Promise<void> {
  let next = 0;
  const opener = async (): Promise<void> => {
    while (next < order.sessions) await openOne(order, next++);
  };
  await Promise.all(Array.from({ length: OPENED_AT_ONCE }, opener));
}

async function openOne(order: WorkOrder, i: number): Promise<void> {
  const { endpoints, perConnection } = order;
  const first = endpoints[i % endpoints.length]!;
  const worker = new Worker({
    endpoints: [first, ...endpoints.filter((one) => one !== first)],
    order: 'listed',
    concurrency: order.credits,
    name: `bench-${i}`,
    // The first connections of thousands take longer than the SDK would wait for one.
    connectTimeoutMs: 10_000,
    channelOptions: perConnection > 1 ? shared(Math.floor(i / (perConnection * endpoints.length))) : {},
  });
  for (const fn of order.functions) {
    worker.handle(fn, () => {
      worked++;
    });
  }
  await worker.start();
}

/** Channels with equal options to one address share a connection, once they may. */
function shared(group: number): ChannelOptions {
  return { 'grpc.use_local_subchannel_pool': 0, 'grpc.primary_user_agent': `bench-${group}` };
}
