import type { FunctionSpec } from '../../core/types.js';
import type { Assignment } from '../../node/index.js';
import type { SeededRandom } from '../random.js';
import { type Given, noteLease, noteLost, outcomeOf, settleOnceOrTwice } from './attempts.js';
import { type Scene, unnoted } from './scene.js';
import { ALL_FUNCTIONS, NAMESPACE } from './specs.js';

const JOBS_MAX = 4;
const AGAIN_MS = [5, 150] as const;
const ASKS_MAX = 4;
const SETTLES_MAX = 4;
/** Of its jobs, out of a thousand: it takes as long for one as the lease lasts, and so is late now and then. */
const UNHURRIED = 60;

/** A worker without a connection: it asks for jobs, prolongs its leases and says outcomes, each at any node. */
export class Poller {
  readonly #scene: Scene;
  readonly #random: SeededRandom;
  readonly #name: string;
  readonly #functions: readonly FunctionSpec[] = ALL_FUNCTIONS.map((name) => ({
    name,
    concurrency: 0,
    runTimeoutMs: 0,
  }));
  readonly #seen = new Set<number>();
  #requests = 0;
  #stopped = false;

  constructor(scene: Scene, name: string) {
    this.#scene = scene;
    this.#random = scene.random.fork();
    this.#name = name;
  }

  async run(): Promise<void> {
    while (this.#scene.phase !== 'over') {
      const given = await this.#ask();
      // Now and then it drops dead with what it got, which comes back when the leases end.
      const dies = this.#scene.phase === 'open' && this.#random.chance(this.#scene.character.death >> 3);
      if (!dies) await Promise.all(given.map((one) => this.#work(one.given, one.durationMs)));
      await this.#scene.world.sleep(this.#random.between(...AGAIN_MS));
    }
  }

  stop(): void {
    this.#stopped = true;
  }

  /** The same request is made again until it is answered, at other nodes, or given up. */
  async #ask(): Promise<{ given: Given; durationMs: number }[]> {
    const scene = this.#scene;
    const random = this.#random;
    this.#requests += 1;
    const request = {
      namespace: NAMESPACE,
      worker: this.#name,
      functions: this.#functions,
      maxJobs: 1 + random.below(JOBS_MAX),
      waitMs: random.pick([0, 300, 1_200]),
      durationMs: random.pick([600, 2_000, 5_000]),
      requestId: `${this.#name}.${this.#requests}`,
    };
    const given: { given: Given; durationMs: number }[] = [];
    const begin = scene.world.now;
    for (let i = 0; i < ASKS_MAX && scene.phase !== 'over'; i++) {
      const target = scene.pickUp(random);
      if (target !== null) {
        const { value } = await scene.call(
          target,
          (node, call) => node.leaseJobs(request, call),
          (told) => {
            if (told.value === null) {
              scene.note({ type: 'interrupted', at: scene.world.now, worker: this.#name, node: told.node });
            }
            for (const one of told.value ?? []) {
              const got = this.#got(told.node, one, begin + request.durationMs);
              if (got !== null) given.push({ given: got, durationMs: request.durationMs });
            }
          },
        );
        if (value !== null) break;
      }
      await scene.world.sleep(random.between(...AGAIN_MS));
    }
    return given;
  }

  /** Null: it was told before. `end`: the lease lasts until then at least, but for the job's own run timeout. */
  #got(node: string, one: Assignment, end: number): Given | null {
    if (this.#seen.has(one.token)) return null;
    this.#seen.add(one.token);
    const { runTimeoutMs } = one.job;
    return noteLease(this.#scene, this.#name, node, one, true, runTimeoutMs > 0 ? null : end);
  }

  async #work(one: Given, durationMs: number): Promise<void> {
    const scene = this.#scene;
    const random = this.#random;
    const takesItsTime = scene.phase === 'open' && random.chance(UNHURRIED);
    await scene.world.sleep(random.between(0, takesItsTime ? durationMs : scene.workMs));
    if (random.chance(200) && !(await this.#extend(one.token, durationMs))) {
      noteLost(scene, this.#name, one.token);
      if (random.chance(500)) return;
    }
    const deed = scene.phase === 'open' ? scene.character.worker.pick(random) : 'complete';
    if (deed === 'hang') return;
    // Longer than its lease lives, now and then.
    if (deed === 'lose') await scene.world.sleep(random.between(0, durationMs * 2));
    const outcome = outcomeOf(deed === 'large' ? 'complete' : deed, this.#name, one, null);
    for (let i = 0; i < SETTLES_MAX && !this.#stopped; i++) {
      const settle = await settleOnceOrTwice(scene, random, this.#name, outcome);
      if (settle !== null && (settle.fate === 'done' || settle.error === 'LEASE_LOST')) return;
      await scene.world.sleep(random.between(...AGAIN_MS));
    }
  }

  /** False: it is known that the lease is over. */
  async #extend(token: number, durationMs: number): Promise<boolean> {
    const target = this.#scene.pickUp(this.#random);
    if (target === null) return true;
    const { value } = await this.#scene.call(
      target,
      (node, call) => node.extendLeases([token], durationMs, call),
      unnoted,
    );
    const end = value?.ends[0] ?? 0;
    return typeof end === 'number' || end.code !== 'LEASE_LOST';
  }
}
