import type { Clock } from '../base/clock.js';
import type { ClusterView, NodeApi } from '../node/interface.js';

/** Answer of a probe; a person reads `reason`, Kubernetes only whether `ok`. */
export interface Verdict {
  readonly ok: boolean;
  readonly reason: string;
  readonly node: string;
  readonly phase: NodeApi['phase'];
  /** '' while none is known; absent where it was not asked for. */
  readonly leader?: string;
}

/** Without a leader for longer than this, clients are better served by another node. */
const LEADERLESS_MAX_MS = 10_000;
/** The node answers from memory; slower than this, it does not work. */
const ANSWER_MAX_MS = 2_000;

const NOT_READY: Readonly<Record<Exclude<NodeApi['phase'], 'ready'>, string>> = {
  starting: 'the node is starting: it reads its disk',
  forming: 'the node waits for the other nodes, to form the cluster or to be added to it',
  'catching-up': 'the node is catching up with the log',
  draining: 'the node is stopping: it takes no new work',
  stopped: 'the node has stopped',
};

/**
 * The three probes.
 * live: the process can work at all (that it answers shows that its loop turns); false means "restart it".
 * started: the disk has been read. Waiting for other nodes counts as started, or nodes that wait for each other
 * would be restarted for ever.
 * ready: this node should get traffic.
 */
export class Probes {
  readonly #api: NodeApi;
  readonly #clock: Clock;
  #leaderlessSinceMs: number | null = null;

  constructor(api: NodeApi, clock: Clock) {
    this.#api = api;
    this.#clock = clock;
  }

  live(): Verdict {
    return this.#api.phase === 'stopped'
      ? this.#verdict(false, 'the node has stopped and cannot work any more; the log says why')
      : this.#verdict(true, 'the process works');
  }

  started(): Verdict {
    const { phase } = this.#api;
    return phase === 'starting' || phase === 'stopped'
      ? this.#verdict(false, NOT_READY[phase])
      : this.#verdict(true, 'the node has started');
  }

  async ready(): Promise<Verdict> {
    const { phase } = this.#api;
    if (phase !== 'ready') return this.#verdict(false, NOT_READY[phase]);
    let view: ClusterView;
    try {
      view = await this.#inTime(this.#api.cluster({ consistency: 'eventual', minRevision: 0 }));
    } catch (error) {
      return this.#verdict(false, error instanceof Error ? error.message : String(error));
    }
    // The phase may have changed while the node was asked.
    if (this.#api.phase !== 'ready') return this.ready();
    if (view.leader !== '') {
      this.#leaderlessSinceMs = null;
      return { ...this.#verdict(true, 'the node takes work'), leader: view.leader };
    }
    const now = this.#clock.monotonicMs();
    this.#leaderlessSinceMs ??= now;
    const seconds = Math.floor((now - this.#leaderlessSinceMs) / 1_000);
    const ok = now - this.#leaderlessSinceMs < LEADERLESS_MAX_MS;
    const reason = ok
      ? 'the node takes work; a leader is being elected'
      : `no leader for ${seconds} s: a majority of the nodes is not running or cannot reach each other`;
    return { ...this.#verdict(ok, reason), leader: '' };
  }

  #verdict(ok: boolean, reason: string): Verdict {
    return { ok, reason, node: this.#api.name, phase: this.#api.phase };
  }

  #inTime<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = this.#clock.setTimer(ANSWER_MAX_MS, () =>
        reject(new Error(`the node did not answer within ${ANSWER_MAX_MS} ms`)),
      );
      promise.then(resolve, reject).finally(() => timer.cancel());
    });
  }
}
