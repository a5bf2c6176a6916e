import {
  type HealthCheckRequest,
  type HealthCheckResponse,
  type HealthListResponse,
  type HealthService,
  HealthCheckResponse_ServingStatus as Status,
} from '../../proto/gen/grpc/health/v1/health.js';
import type { Timer } from '../base/clock.js';
import { GearmeshError } from '../core/errors.js';
import type { Outlet } from './call.js';
import type { Deps } from './deps.js';
import type { Verbs } from './table.js';

const CLUSTER = 'gearmesh.v1.ClusterService';
/** The empty name stands for the whole server. */
const SERVICES = [
  '',
  'gearmesh.v1.JobService',
  'gearmesh.v1.WorkerService',
  'gearmesh.v1.QueueService',
  CLUSTER,
];

/**
 * grpc.health.v1. A service serves while the node is ready and has known a leader within the last seconds; the
 * cluster service, which also answers without one, until the node stops.
 */
export class Health {
  readonly #deps: Deps;
  readonly #statuses = new Map<string, Status>();
  readonly #watchers = new Set<{ readonly service: string; readonly out: Outlet<HealthCheckResponse> }>();
  #timer: Timer | null = null;
  #leaderMs: number;
  #stopped = false;

  /** `deps.draining` is the server's own. */
  constructor(deps: Deps) {
    this.#deps = deps;
    this.#leaderMs = deps.clock.monotonicMs();
    deps.draining.addEventListener('abort', () => this.#update(), { once: true });
    this.#update();
    this.#plan();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    for (const { out } of this.#watchers) out.fail(new GearmeshError('SHUTTING_DOWN'));
  }

  readonly verbs: Verbs<typeof HealthService> = {
    check: (_deps, request) => ({ status: this.#statusOf(request) }),
    list: () => this.#list(),
    watch: (_deps, request, out) => this.#watch(request, out),
  };

  /** Looks at the node now; called regularly. */
  async poll(): Promise<void> {
    try {
      const cluster = await this.#deps.api.cluster({ consistency: 'eventual', minRevision: 0 });
      if (cluster.leader !== '') this.#leaderMs = this.#deps.clock.monotonicMs();
    } catch {
      // Not to be had: counts as no leader.
    }
    if (!this.#stopped) this.#update();
  }

  #plan(): void {
    this.#timer = this.#deps.clock.setTimer(this.#deps.limits.healthPollMs, () => {
      void this.poll().then(() => {
        if (!this.#stopped) this.#plan();
      });
    });
  }

  #update(): void {
    const { api, clock, draining, limits } = this.#deps;
    const up = !draining.aborted && api.phase !== 'draining' && api.phase !== 'stopped';
    const led = clock.monotonicMs() - this.#leaderMs < limits.leaderlessMs;
    const ready = up && api.phase === 'ready' && led;
    for (const service of SERVICES) {
      const serves = service === CLUSTER ? up : ready;
      this.#set(service, serves ? Status.SERVING : Status.NOT_SERVING);
    }
  }

  #set(service: string, status: Status): void {
    if (this.#statuses.get(service) === status) return;
    this.#statuses.set(service, status);
    for (const watcher of this.#watchers) {
      if (watcher.service === service) watcher.out.send({ status });
    }
  }

  #statusOf(request: HealthCheckRequest): Status {
    this.#update();
    const status = this.#statuses.get(request.service);
    if (status !== undefined) return status;
    throw new GearmeshError('NOT_FOUND', { message: `there is no service ${request.service}` });
  }

  #list(): HealthListResponse {
    this.#update();
    const statuses: HealthListResponse['statuses'] = {};
    for (const [service, status] of this.#statuses) statuses[service] = { status };
    return { statuses };
  }

  #watch(request: HealthCheckRequest, out: Outlet<HealthCheckResponse>): void {
    this.#update();
    const watcher = { service: request.service, out };
    this.#watchers.add(watcher);
    out.onOver(() => this.#watchers.delete(watcher));
    out.send({ status: this.#statuses.get(request.service) ?? Status.SERVICE_UNKNOWN });
  }
}
