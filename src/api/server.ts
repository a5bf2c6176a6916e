import {
  getChannelzHandlers,
  getChannelzServiceDefinition,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServerInterceptingCall,
  type ServerInterceptor,
  status,
} from '@grpc/grpc-js';
import { ClusterServiceService } from '../../proto/gen/gearmesh/v1/cluster.js';
import { JobServiceService } from '../../proto/gen/gearmesh/v1/job.js';
import { QueueServiceService } from '../../proto/gen/gearmesh/v1/queue.js';
import { WorkerServiceService } from '../../proto/gen/gearmesh/v1/worker.js';
import { HealthService } from '../../proto/gen/grpc/health/v1/health.js';
import { ServerReflectionService } from '../../proto/gen/grpc/reflection/v1/reflection.js';
import { ServerReflectionService as ServerReflectionServiceAlpha } from '../../proto/gen/grpc/reflection/v1alpha/reflection.js';
import type { Clock } from '../base/clock.js';
import { systemClock } from '../base/system-clock.js';
import type { NodeApi } from '../node/interface.js';
import { clusterVerbs } from './cluster.js';
import type { ApiLog, ApiMetrics, Deps } from './deps.js';
import { DETAILS_TRAILER, explainLibraryStatus } from './errors.js';
import { Health } from './health.js';
import { jobVerbs } from './jobs.js';
import { workerVerbs } from './leases.js';
import { type ApiLimits, DEFAULT_API_LIMITS } from './limits.js';
import { Listener } from './listener.js';
import { queueVerbs } from './queues.js';
import { Reflection } from './reflection.js';
import { addVerbs } from './table.js';

export interface GrpcServerOptions {
  readonly api: NodeApi;
  /** `host:port`; port 0 takes any that is free. */
  readonly listen: string;
  readonly log: ApiLog;
  readonly metrics?: ApiMetrics;
  readonly limits?: Partial<ApiLimits>;
  readonly clock?: Clock;
}

export interface GrpcServer {
  /** `host:port` as bound; known after `start`. */
  readonly address: string;
  start(): Promise<void>;
  /** Takes no new calls (SHUTTING_DOWN), ends what only watches, says NOT_SERVING. Work streams stay: the node moves them. */
  drain(reason: string): void;
  /** Waits `graceMs` (default 0) for calls under way, then ends them and closes all connections. */
  close(graceMs?: number): Promise<void>;
}

/** The gRPC listener of a node. */
export function createGrpcServer(options: GrpcServerOptions): GrpcServer {
  const limits = { ...DEFAULT_API_LIMITS, ...options.limits };
  const draining = new AbortController();
  const deps: Deps = {
    api: options.api,
    clock: options.clock ?? systemClock,
    log: options.log,
    limits,
    metrics: options.metrics ?? null,
    draining: draining.signal,
  };
  const server = new Server({
    'grpc.max_receive_message_length': limits.messageBytesMax,
    // What is sent is bounded where it is made, by pages and frames.
    'grpc.max_send_message_length': -1,
    'grpc.max_concurrent_streams': limits.streamsPerConnectionMax,
    'grpc.keepalive_time_ms': limits.keepaliveMs,
    'grpc.keepalive_timeout_ms': limits.keepaliveTimeoutMs,
    interceptors: [explainRefusals(deps, (remote) => listener.called(remote))],
  });

  addVerbs(server, deps, JobServiceService, jobVerbs);
  addVerbs(server, deps, WorkerServiceService, workerVerbs);
  addVerbs(server, deps, QueueServiceService, queueVerbs);
  addVerbs(server, deps, ClusterServiceService, clusterVerbs);
  const channelz = getChannelzServiceDefinition();
  const health = new Health(deps);
  // These answer while the node drains, too.
  const always: Deps = { ...deps, draining: new AbortController().signal };
  addVerbs(server, always, HealthService, health.verbs);
  const reflection = new Reflection([...OFFERED, channelz].map(serviceName));
  const reflectionVerbs = { serverReflectionInfo: reflection.serve };
  addVerbs(server, always, ServerReflectionService, reflectionVerbs);
  addVerbs(server, always, ServerReflectionServiceAlpha, reflectionVerbs);
  // grpc-js reads its proto from a file; an installation without it is broken, and says so here.
  server.addService(channelz, getChannelzHandlers());

  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  const listener: Listener = new Listener({
    clock: deps.clock,
    log: deps.log,
    limits,
    take: (socket) => injector.injectConnection(socket),
  });

  let address = options.listen;
  return {
    get address() {
      return address;
    },
    async start() {
      const at = options.listen.lastIndexOf(':');
      const host = options.listen.slice(0, at);
      const port = await listener.listen(host.replace(/^\[|\]$/g, ''), Number(options.listen.slice(at + 1)));
      address = `${host}:${port}`;
      options.log.info({ address }, 'gRPC listens');
    },
    drain(reason) {
      if (draining.signal.aborted) return;
      options.log.info({ reason }, 'gRPC takes no new calls');
      draining.abort();
    },
    async close(graceMs = 0) {
      draining.abort();
      health.stop();
      listener.close();
      await shutdown(server, deps.clock, graceMs);
    },
  };
}

const OFFERED = [
  JobServiceService,
  WorkerServiceService,
  QueueServiceService,
  ClusterServiceService,
  HealthService,
  ServerReflectionService,
  ServerReflectionServiceAlpha,
];

function serviceName(service: object): string {
  const [method] = Object.values(service) as MethodDefinition<unknown, unknown>[];
  return method!.path.split('/')[1]!;
}

/** grpc-js refuses some calls before a handler sees them; here those get details like all others. */
function explainRefusals(deps: Deps, called: (remote: string) => void): ServerInterceptor {
  return (method, call) => {
    called(call.getPeer());
    const send = call.sendStatus.bind(call);
    let refused = false;
    call.sendStatus = (sent) => {
      // After a refusal grpc-js goes on to find the message missing.
      if (refused) return;
      const explained = sent.metadata != null && sent.metadata.get(DETAILS_TRAILER).length > 0;
      if (sent.code === status.OK || explained) {
        send(sent);
        return;
      }
      refused = true;
      const made = explainLibraryStatus(sent.code as status, sent.details ?? '', deps.limits.messageBytesMax);
      deps.metrics?.error(made.reason);
      // No handler ran: it would have counted the call.
      if (!method.requestStream) deps.metrics?.rpc(method.path.slice(1), status[made.code]);
      send(made);
    };
    // No layer of our own around the call: nothing but its status is changed.
    return call as ServerInterceptingCall;
  };
}

function shutdown(server: Server, clock: Clock, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = clock.setTimer(graceMs, () => server.forceShutdown());
    server.tryShutdown(() => {
      timer.cancel();
      server.forceShutdown();
      resolve();
    });
  });
}
