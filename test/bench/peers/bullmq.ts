import { join } from 'node:path';
import { Redis } from 'ioredis';
import { freePorts } from '../../support/real-cluster.js';
import { QUEUES } from './driver.js';
import { Loads } from './loads.js';
import type { Peer, RunningPeer } from './peer.js';
import { dataFolder, missing, program, versionOf } from './programs.js';
import { Server } from './server.js';

/** Where BullMQ keeps jobs that are not completed. Those that wait and are worked are lists, the others sorted sets. */
const LISTS = ['wait', 'active', 'paused'];
const SETS = ['delayed', 'prioritized', 'failed', 'completed'];

async function start(fsync: 'everysec' | 'always'): Promise<RunningPeer> {
  const [port] = (await freePorts(1)) as [number];
  const folder = dataFolder('redis');
  const flags = { bind: '127.0.0.1', port: String(port), dir: folder.path, save: '', appendonly: 'yes' };
  const all = { ...flags, appendfsync: fsync, 'maxmemory-policy': 'noeviction', daemonize: 'no' };
  const command = [
    program('redis-server'),
    ...Object.entries(all).flatMap(([name, value]) => [`--${name}`, value]),
  ];
  const server = new Server({
    name: 'redis-server',
    command,
    directory: folder.path,
    log: join(folder.path, 'log'),
  });
  const redis = new Redis({ host: '127.0.0.1', port, lazyConnect: true, maxRetriesPerRequest: null });
  const stop = async (): Promise<void> => {
    redis.disconnect();
    await server.kill();
    folder.remove();
  };
  try {
    await server.listens(port);
    await redis.connect();
    return await Loads.over({
      version: versionOf('redis-server', '--version'),
      batches: 'addBulk of 100',
      driver: 'bullmq',
      // What its client does for a job costs more than what Redis does.
      clients: { submit: 2, work: 2 },
      pids: () => [server.pid],
      addresses: async () => [`127.0.0.1:${port}`],
      async left() {
        const keys = (states: readonly string[]): string[] =>
          QUEUES.flatMap((queue) => states.map((state) => `bull:${queue}:${state}`));
        const counts = await Promise.all([
          ...keys(LISTS).map((key) => redis.llen(key)),
          ...keys(SETS).map((key) => redis.zcard(key)),
        ]);
        return counts.reduce((sum, one) => sum + one, 0);
      },
      async purge() {
        await redis.flushall();
      },
      stop,
    });
  } catch (error) {
    await stop();
    throw error;
  }
}

export const bullmq: Peer = {
  name: 'bullmq',
  promise: 'in one Redis; its log goes to the disk once a second (appendfsync everysec)',
  missing: async () => missing('redis-server', '--version'),
  start: () => start('everysec'),
};

export const bullmqSync: Peer = {
  name: 'bullmq-always',
  promise: 'on one disk: the log of one Redis, with fsync before the answer (appendfsync always)',
  missing: async () => missing('redis-server', '--version'),
  start: () => start('always'),
};
