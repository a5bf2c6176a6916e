import type { JobState, Settings } from '../../core/types.js';
import type { CallOptions, GearmeshNode } from '../../node/index.js';
import type { SeededRandom } from '../random.js';
import { type Scene, type Told, unnoted } from './scene.js';
import { FUNCTIONS, NAMESPACE, PURGED } from './specs.js';

/** Settings that were changed stay so at most so long, milliseconds. */
const CHANGED_MS = 2_000;
const AGAIN_MS = 200;
const LIMITED = FUNCTIONS.at(-1)!;
const ENDED: readonly JobState[] = ['succeeded', 'failed', 'cancelled', 'expired'];
const WAITING: readonly JobState[] = ['scheduled', 'queued'];
const READ = { consistency: 'linearizable', minRevision: 0 } as const;

type Work = (node: GearmeshNode, call: CallOptions) => Promise<unknown>;

/** A purge whose answer never came. */
interface Purge {
  readonly node: string;
  readonly begin: number;
  readonly states: readonly JobState[];
  /** Those for which it is noted already. */
  readonly tried: ReadonlySet<string>;
}

/** Someone who looks at queues, pauses and limits them, changes settings and purges; and undoes it all at the end. */
export class Operator {
  readonly #scene: Scene;
  readonly #random: SeededRandom;
  readonly #unheard: Purge[] = [];
  /** Settings that somebody changed, as they were before. */
  #before: Partial<Settings> = {};

  constructor(scene: Scene) {
    this.#scene = scene;
    this.#random = scene.random.fork();
  }

  async run(): Promise<void> {
    const { world, character } = this.#scene;
    while (this.#scene.phase === 'open') {
      await world.sleep(this.#random.between(character.operatorMs / 4, character.operatorMs));
      await this.#deed();
    }
    await this.#undo();
  }

  async #deed(): Promise<void> {
    const random = this.#random;
    switch (random.below(8)) {
      case 0:
      case 1: {
        const fn = random.pick(FUNCTIONS);
        await this.#say((node, call) => node.pauseQueue(NAMESPACE, fn, true, call));
        await this.#scene.world.sleep(random.between(50, this.#scene.character.pausedMs));
        await this.#until((node, call) => node.pauseQueue(NAMESPACE, fn, false, call));
        return;
      }
      case 2: {
        const most = random.pick([0, 5, 20]);
        await this.#say((node, call) => node.limitQueue(NAMESPACE, LIMITED, [most, most, most], call));
        return;
      }
      case 3:
        await this.#settings();
        return;
      case 4:
        await this.#say((node, call) => node.listQueues(NAMESPACE, { ...READ, ...call }));
        return;
      case 5:
        await this.#say((node, call) => node.listSessions(NAMESPACE, { ...READ, ...call }));
        return;
      case 6:
        await this.#say((node, call) => node.cluster({ ...READ, ...call }));
        return;
      default:
        if (random.chance(400)) await this.#purge(random.chance(600) ? ENDED : WAITING);
    }
  }

  /** None that a promise depends on. */
  async #settings(): Promise<void> {
    const random = this.#random;
    const changes = random.pick<Partial<Settings>>([
      { jobsPerFunctionMax: 25 },
      { sweepSteps: 3 },
      { cancelGraceMs: 2_000 },
      { sessionGraceMs: 1_500 },
      { creditsPerSessionMax: 4 },
    ]);
    const now = this.#scene.cluster.leader?.node?.settings();
    if (now === undefined) return;
    for (const key of Object.keys(changes) as (keyof Settings)[]) {
      if (!(key in this.#before)) this.#before = { ...this.#before, [key]: now[key] };
    }
    await this.#say((node, call) => node.changeSettings(changes, call));
    await this.#scene.world.sleep(random.between(50, CHANGED_MS));
    await this.#until((node, call) => node.changeSettings(this.#before, call));
  }

  /** It goes on behind its answer, so each job that it may hit may be hit at any time from now on. */
  async #purge(states: readonly JobState[]): Promise<void> {
    await this.#say(
      (node, call) => node.purgeQueue(NAMESPACE, PURGED, states, call),
      ({ node, begin, fate }) => {
        if (fate === 'not-applied') return;
        // It hits what there was when it was carried out, which may be what was submitted since it was asked for.
        const tried = this.#purgeable();
        for (const job of tried) this.#noteHit(job, node, begin, states);
        if (fate === 'unknown') this.#unheard.push({ node, begin, states, tried: new Set(tried) });
      },
    );
  }

  /** To be called at the end: a purge of which nobody has heard may have come late, and hit what was submitted since. */
  noteLatePurges(): void {
    const all = this.#purgeable();
    for (const { node, begin, states, tried } of this.#unheard) {
      for (const job of all) if (!tried.has(job)) this.#noteHit(job, node, begin, states);
    }
  }

  #purgeable(): string[] {
    const all = [...this.#scene.ledger.tried.values()];
    return all.filter(({ spec }) => spec.function === PURGED).map(({ spec }) => spec.id);
  }

  #noteHit(job: string, node: string, begin: number, states: readonly JobState[]): void {
    for (const type of states === ENDED ? (['delete'] as const) : (['cancel', 'delete'] as const)) {
      this.#scene.note({ type, by: 'operator', node, begin, end: null, fate: 'unknown', error: '', job });
    }
  }

  async #undo(): Promise<void> {
    for (const fn of FUNCTIONS)
      await this.#until((node, call) => node.pauseQueue(NAMESPACE, fn, false, call));
    await this.#until((node, call) => node.limitQueue(NAMESPACE, LIMITED, [0, 0, 0], call));
    if (Object.keys(this.#before).length === 0) return;
    await this.#until((node, call) => node.changeSettings(this.#before, call));
  }

  async #say(work: Work, heard: (told: Told<unknown>) => void = unnoted): Promise<boolean> {
    const target = this.#scene.pickUp(this.#random);
    if (target === null) return false;
    return (await this.#scene.call(target, work, heard)).fate === 'done';
  }

  async #until(work: Work): Promise<void> {
    while (this.#scene.phase !== 'over' && !(await this.#say(work))) await this.#scene.world.sleep(AGAIN_MS);
  }
}
