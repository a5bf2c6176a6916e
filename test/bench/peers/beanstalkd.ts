import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { freePorts } from '../../support/real-cluster.js';
import { Loads } from './loads.js';
import type { Peer, RunningPeer } from './peer.js';
import { dataFolder, missing, program, versionOf } from './programs.js';
import { ask, Server } from './server.js';

/** Whole, when the text has come with its length. */
const STATS = /^current-waiting: \d+$/m;

async function start(onDisk: boolean): Promise<RunningPeer> {
  const [port] = (await freePorts(1)) as [number];
  const folder = dataFolder('beanstalkd');
  const binlog = join(folder.path, 'binlog');
  if (onDisk) mkdirSync(binlog);
  const command = [program('beanstalkd'), '-l', '127.0.0.1', '-p', String(port)];
  if (onDisk) command.push('-b', binlog, '-f0');
  const server = new Server({
    name: 'beanstalkd',
    command,
    directory: folder.path,
    log: join(folder.path, 'log'),
  });
  const stop = async (): Promise<void> => {
    await server.kill();
    folder.remove();
  };
  try {
    await server.listens(port);
    return await Loads.over({
      version: versionOf('beanstalkd', '-v'),
      batches: '100 pipelined puts',
      driver: 'beanstalk',
      clients: { submit: 1, work: 1 },
      pids: () => [server.pid],
      addresses: async () => [`127.0.0.1:${port}`],
      async left() {
        const stats = await ask(port, 'stats\r\n', STATS);
        const of = (state: string): number =>
          Number(new RegExp(`^current-jobs-${state}: (\\d+)`, 'm').exec(stats)![1]);
        return of('ready') + of('reserved') + of('delayed') + of('buried');
      },
      // It has no command for it but to delete job after job.
      async purge() {
        await server.kill();
        if (onDisk) {
          rmSync(binlog, { recursive: true });
          mkdirSync(binlog);
        }
        server.start();
        await server.listens(port);
      },
      stop,
    });
  } catch (error) {
    await stop();
    throw error;
  }
}

export const beanstalkd: Peer = {
  name: 'beanstalkd',
  promise: 'in the memory of one process',
  missing: async () => missing('beanstalkd', '-v'),
  start: () => start(false),
};

export const beanstalkdSync: Peer = {
  name: 'beanstalkd-f0',
  promise: 'on one disk: its binlog, with fsync after each write (-f0)',
  missing: async () => missing('beanstalkd', '-v'),
  start: () => start(true),
};
