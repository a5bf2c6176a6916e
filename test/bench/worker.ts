import { Worker } from '../../src/worker/index.js';

/** Workers in a process of their own: endpoints, sessions, credits each, by the command line. Says `ready`, then works. */
const [endpoints, sessions, credits] = process.argv.slice(2);
const workers: Worker[] = [];
for (let i = 0; i < Number(sessions); i++) {
  const list = endpoints!.split(',');
  const first = list[i % list.length]!;
  const worker = new Worker({
    endpoints: [first, ...list.filter((one) => one !== first)],
    order: 'listed',
    concurrency: Number(credits),
    name: `bench-${i}`,
  });
  worker.handle('bench', () => undefined);
  await worker.start();
  workers.push(worker);
}
process.send?.('ready');
process.on('disconnect', () => process.exit(0));
