import { createServer, type Socket } from 'node:net';
import type { Clock } from '../base/clock.js';
import type { NodeApi } from '../node/interface.js';
import { Connection } from './connection.js';
import type { Deps, GearmanLog, GearmanMetrics } from './deps.js';
import { DEFAULT_GEARMAN_LIMITS, type GearmanLimits } from './limits.js';
import { TurnWrites } from './turn-writes.js';

export interface GearmanServerOptions {
  readonly api: NodeApi;
  readonly host: string;
  /** 0 takes any that is free. */
  readonly port: number;
  readonly log: GearmanLog;
  readonly clock: Clock;
  readonly metrics?: GearmanMetrics;
  readonly limits?: Partial<GearmanLimits>;
  /** Times that a job's worker may be lost before the job fails; 0: no limit. */
  readonly jobRetries?: number;
  /** Stops the node; absent: the `shutdown` command is refused. */
  readonly shutdown?: () => void;
}

export interface GearmanServer {
  /** As bound; known after `listen`. */
  readonly port: number;
  readonly connections: number;
  listen(): Promise<void>;
  /** Takes no new connections. Workers are moved by the node: each leaves once it holds no job. */
  drain(): void;
  /** Closes what is left. */
  close(): Promise<void>;
}

const KEEP_ALIVE_MS = 60_000;
/** At the end of the node: how long clients have to take what was sent to them. */
const LAST_WORDS_MS = 500;

/** The Gearman listener of a node: clients, workers and administrators on one port. */
export function createGearmanServer(options: GearmanServerOptions): GearmanServer {
  const { api, clock, log } = options;
  const limits = { ...DEFAULT_GEARMAN_LIMITS, ...options.limits };
  const connections = new Set<Connection>();
  const deps: Deps = {
    api,
    clock,
    log,
    limits,
    metrics: options.metrics ?? null,
    jobRetries: options.jobRetries ?? 0,
    shutdown: options.shutdown ?? null,
    uploads: new Set(),
    writes: new TurnWrites(clock),
    connections: () => connections,
  };
  let last = 0;
  const take = (socket: Socket): void => {
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    const connection = new Connection(deps, socket, ++last, {
      closed: (closed) => connections.delete(closed),
    });
    connections.add(connection);
  };
  const server = createServer({ noDelay: true, allowHalfOpen: true }, take);
  server.maxConnections = limits.connectionsMax;
  let port = options.port;
  return {
    get port() {
      return port;
    },
    get connections() {
      return connections.size;
    },
    listen() {
      return new Promise((resolve, reject) => {
        server.once('error', reject);
        server.listen(port, options.host, () => {
          server.off('error', reject);
          server.on('error', (error) => log.error({ err: error }, 'the Gearman listener reported an error'));
          const address = server.address();
          if (typeof address === 'object' && address !== null) port = address.port;
          log.info({ address: `${options.host}:${port}` }, 'Gearman listens');
          resolve();
        });
      });
    },
    drain() {
      if (server.listening) server.close();
    },
    async close() {
      const closed = new Promise<void>((resolve) => {
        if (server.listening) server.close(() => resolve());
        else if (connections.size === 0) resolve();
        else server.once('close', () => resolve());
      });
      for (const connection of connections) connection.close('the node is stopping');
      const late = clock.setTimer(LAST_WORDS_MS, () => {
        for (const connection of connections) connection.destroy();
      });
      await closed;
      late.cancel();
    },
  };
}
