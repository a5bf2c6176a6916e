import { randomInt } from 'node:crypto';
import { ClusterServiceService } from '../../proto/gen/gearmesh/v1/cluster.js';
import { Consistency } from '../../proto/gen/gearmesh/v1/common.js';
import { callOnce } from './calls.js';
import type { EndpointPool, Leader, Route } from './endpoints.js';
import type { EndpointOrder } from './types.js';

/** How a program uses its endpoints. */
export function routeOf(pool: EndpointPool, order: EndpointOrder = 'random'): Route {
  const first = order === 'listed' ? 0 : randomInt(pool.addresses.length);
  const choice = order === 'leader' && pool.addresses.length > 1;
  return { first, leader: choice ? new LeaderWatch(pool) : undefined };
}

/** How old the knowledge of the leader may become while something goes to it. */
const CHECK_MS = 2_000;
/** Between two looks while nobody could say who leads: at first, then longer each time up to `CHECK_MS`. */
const AGAIN_MS = 50;
/** An endpoint that failed is not taken for the leader's again before this time is over. */
const AVOID_MS = 5_000;
const ANSWER_MS_MAX = 1_000;
/** The lane of plain calls: no connection is made for the questions alone, except to find out who is who. */
const LANE = 0;

/**
 * Which endpoint the leader is at: what goes there saves a node the way to it. Asks nodes, and only as long as somebody
 * looks. Never more than a wish: whoever cannot reach the leader goes to any other node.
 */
class LeaderWatch implements Leader {
  readonly #pool: EndpointPool;
  /** Endpoints by the name of the node that answered there. */
  readonly #places = new Map<string, number>();
  #endpoint = -1;
  #waitMs = AGAIN_MS;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | null = null;
  #avoided = -1;
  #avoidedUntil = 0;

  constructor(pool: EndpointPool) {
    this.#pool = pool;
  }

  /** Index in the pool; -1: nobody knows. Looks again from time to time, without letting anyone wait. */
  get endpoint(): number {
    if (this.#looking === null && performance.now() >= this.#lookedAt + this.#waitMs) void this.#look();
    return this.#endpoint;
  }

  get firstLook(): Promise<void> | null {
    return this.#lookedAt === Number.NEGATIVE_INFINITY ? (this.#looking ?? this.#look()) : null;
  }

  failed(endpoint: number): void {
    if (endpoint !== this.#endpoint) return;
    this.#endpoint = -1;
    this.#waitMs = AGAIN_MS;
    this.#lookedAt = performance.now();
    this.#avoid(endpoint);
  }

  #avoid(endpoint: number): void {
    this.#avoided = endpoint;
    this.#avoidedUntil = performance.now() + AVOID_MS;
  }

  #look(): Promise<void> {
    this.#looking = this.#ask().then((found) => {
      this.#looking = null;
      this.#lookedAt = performance.now();
      this.#waitMs = found ? CHECK_MS : Math.min(CHECK_MS, this.#waitMs * 2);
    });
    return this.#looking;
  }

  /** One endpoint after the other until one names a leader that can be reached. Never rejects. */
  async #ask(): Promise<boolean> {
    const { length } = this.#pool.addresses;
    const first = this.#endpoint < 0 ? this.#avoided + 1 : this.#endpoint;
    for (let i = 0; i < length && !this.#pool.closed; i++) {
      const at = await this.#leaderBy((first + i) % length);
      if (at < 0 || (at === this.#avoided && performance.now() < this.#avoidedUntil)) continue;
      if (await this.#reaches(at)) {
        this.#endpoint = at;
        return true;
      }
      // Others see it, and would name it, too.
      this.#avoid(at);
    }
    return false;
  }

  async #reaches(endpoint: number): Promise<boolean> {
    try {
      await this.#pool.link(endpoint, LANE).open();
      return true;
    } catch {
      return false;
    }
  }

  async #leaderBy(endpoint: number): Promise<number> {
    const request = { consistency: Consistency.EVENTUAL, minRevision: '' };
    const method = ClusterServiceService.getCluster;
    const until = performance.now() + ANSWER_MS_MAX;
    try {
      const client = await this.#pool.link(endpoint, LANE).open();
      const bytes = method.requestSerialize(request);
      const { answeredBy, leader, nodes } = await callOnce(client, method, bytes, until, undefined);
      this.#places.set(answeredBy, endpoint);
      if (leader === '') return -1;
      const address = nodes.find((node) => node.name === leader)?.grpcAddress ?? '';
      return this.#places.get(leader) ?? this.#pool.addresses.indexOf(address);
    } catch {
      return -1; // it may not answer, or not be allowed to
    }
  }
}
