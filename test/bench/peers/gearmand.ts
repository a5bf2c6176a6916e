import { join } from 'node:path';
import { freePorts } from '../../support/real-cluster.js';
import { Loads } from './loads.js';
import type { Peer, RunningPeer } from './peer.js';
import { dataFolder, missing, program, versionOf } from './programs.js';
import { ask, Server } from './server.js';

/** The default of 991 is a list of thousands of jobs per bucket at the loads that are measured. */
const BUCKETS = '--hashtable-buckets=1000003';
/** 512 connections come at once; by default all but 32 of them are sent away for a second. */
const BACKLOG = '--backlog=1024';

async function start(): Promise<RunningPeer> {
  const [port] = (await freePorts(1)) as [number];
  const folder = dataFolder('gearmand');
  const file = (name: string): string => join(folder.path, name);
  const command = [
    program('gearmand'),
    '--listen=127.0.0.1',
    `--port=${port}`,
    '--queue-type=builtin',
    BUCKETS,
    BACKLOG,
  ];
  command.push(`--log-file=${file('log')}`, `--pid-file=${file('pid')}`);
  // As root it wants to be told which user it is to be.
  if (process.getuid?.() === 0) command.push('--user=root');
  const server = new Server({ name: 'gearmand', command, directory: folder.path, log: file('log') });
  const stop = async (): Promise<void> => {
    await server.kill();
    folder.remove();
  };
  try {
    await server.listens(port);
    return await Loads.over({
      version: versionOf('gearmand', '--version'),
      batches: '100 pipelined SUBMIT_JOB_BG',
      driver: 'gearman',
      clients: { submit: 1, work: 1 },
      pids: () => [server.pid],
      addresses: async () => [`127.0.0.1:${port}`],
      async left() {
        const status = await ask(port, 'status\n', /^\.\n/m);
        return [...status.matchAll(/^\w+\t(\d+)\t/gm)].reduce((sum, [, jobs]) => sum + Number(jobs), 0);
      },
      // It drops no function that has jobs.
      async purge() {
        await server.kill();
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

export const gearmand: Peer = {
  name: 'gearmand',
  promise: 'in the memory of one process',
  missing: async () => missing('gearmand', BUCKETS, '--version'),
  start,
};
