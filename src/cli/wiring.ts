import { createGrpcServer } from '../api/index.js';
import type { Clock } from '../base/clock.js';
import type { Random } from '../base/random.js';
import { type ServerConfig, showAddress } from '../config/index.js';
import { createGearmanServer, type GearmanServer } from '../gearman/index.js';
import { createHttpServer } from '../http/index.js';
import { type GearmeshNode, type Log, startNode } from '../node/index.js';
import { createMetrics, type NodeMetrics } from '../obs/index.js';
import { createTransport, DEFAULT_PEER_LIMITS, type NetworkTransport } from '../peer/index.js';
import type { Disk } from '../storage/index.js';
import { metricsSource } from './metrics-source.js';

/** What a node is built on: the machine's own in a server, others in a test. */
export interface ServerDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly disk: Disk;
  readonly log: Log;
  readonly version: string;
  /** The node cannot go on: the process must end. */
  readonly onFatal: (error: Error) => void;
  /** Somebody who may asks for the end of this node. */
  readonly onShutdown: () => void;
}

export interface RunningServer {
  readonly node: GearmeshNode;
  /** Orderly: no new calls, leadership and workers handed over, what is under way finished; then all is closed. */
  stop(): Promise<void>;
}

/** Builds a node with its listeners, from the outside in, and starts them. Nothing stays open when it rejects. */
export async function startServer(config: ServerConfig, deps: ServerDeps): Promise<RunningServer> {
  const { clock, log } = deps;
  const { values } = config;
  const transport = createTransport({
    clock,
    random: deps.random,
    listen: values['listen-peer'],
    name: config.id,
    log,
    limits: {
      queueBytesMax: {
        ...DEFAULT_PEER_LIMITS.queueBytesMax,
        control: values['peer-control-queue-bytes'],
        data: values['peer-data-queue-bytes'],
        bulk: values['peer-bulk-queue-bytes'],
      },
    },
  });
  const metrics = createMetrics();
  const opened: (() => Promise<void>)[] = [];
  try {
    const node = await wireNode(config, deps, transport, metrics);
    opened.push(() => node.halt());
    const gearman = wireGearman(config, deps, node, metrics);
    metrics.attach(metricsSource(config, node, transport, clock, () => gearman?.connections ?? 0));
    const http = createHttpServer({
      api: node,
      listen: values['listen-http'],
      log,
      metrics,
      clock,
    });
    await http.listen();
    opened.push(() => http.close());
    const grpc = createGrpcServer({
      api: node,
      listen: showAddress(values['listen-grpc']),
      log,
      metrics,
      clock,
    });
    await grpc.start();
    opened.push(() => grpc.close());
    await gearman?.listen();
    return {
      node,
      async stop() {
        grpc.drain('the node is stopping');
        gearman?.drain();
        await node.stop();
        await gearman?.close();
        await grpc.close();
        await http.close();
        metrics.close();
      },
    };
  } catch (error) {
    for (const close of opened.reverse()) await close();
    metrics.close();
    throw error;
  }
}

function wireGearman(
  config: ServerConfig,
  deps: ServerDeps,
  node: GearmeshNode,
  metrics: NodeMetrics,
): GearmanServer | null {
  const { values } = config;
  const listen = values['listen-gearman'];
  if (listen === null) return null;
  return createGearmanServer({
    api: node,
    host: listen.host,
    port: listen.port,
    log: deps.log,
    clock: deps.clock,
    metrics,
    jobRetries: values['gearman-job-retries'],
    ...(values['gearman-shutdown'] ? { shutdown: deps.onShutdown } : {}),
  });
}

function wireNode(
  config: ServerConfig,
  deps: ServerDeps,
  transport: NetworkTransport,
  metrics: NodeMetrics,
): Promise<GearmeshNode> {
  const { values, advertise } = config;
  return startNode({
    name: config.id,
    clusterName: values['cluster-name'],
    version: deps.version,
    disk: deps.disk,
    directory: values['data-dir'],
    clock: deps.clock,
    random: deps.random,
    transport,
    peers: config.peers,
    advertised: {
      grpc: showAddress(advertise.grpc),
      http: showAddress(advertise.http),
      peer: showAddress(advertise.peer),
    },
    settings: config.settings,
    timings: {
      electionTimeoutMs: values['election-timeout-ms'],
      heartbeatMs: values['heartbeat-ms'],
      nodeDownMs: values['node-down-ms'],
      stalledMs: values['node-stalled-ms'],
      redirectMs: values['redirect-ms'],
      clockSkewMaxMs: values['clock-skew-max-ms'],
    },
    segmentBytes: values['segment-bytes'],
    snapshotLogBytes: values['snapshot-log-bytes'],
    keepLogBytes: values['keep-log-bytes'],
    logMemoryBytes: values['log-memory-bytes'],
    jobsMemoryBytes: values['jobs-memory-bytes'],
    diskReserveBytes: values['disk-reserve-bytes'],
    pendingBytesMax: values['pending-bytes-max'],
    drainMs: values['drain-timeout-ms'],
    blobUploadsMax: values['blob-uploads-max'],
    log: deps.log,
    observer: metrics,
    onFatal: deps.onFatal,
  });
}
