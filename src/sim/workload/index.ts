import type { Recorder } from '../../checker/recorder.js';
import type { SimCluster } from '../cluster.js';
import { drawCharacter } from './character.js';
import { SimClient } from './client.js';
import { observeAll, unfinishedOf } from './observing.js';
import { Operator } from './operator.js';
import { Poller } from './poller.js';
import { Scene } from './scene.js';
import { Scheduler } from './scheduler.js';
import { SessionWorker } from './worker.js';

export interface WorkloadOptions {
  readonly clients: number;
  readonly workers: number;
}

/**
 * Everybody who uses a simulated cluster: clients, workers of each kind, an operator and a maker of schedules, on all
 * nodes, by the interface that the edges use. What they do is drawn from the world's randomness, and what they see goes
 * into the recorder.
 */
export class Workload {
  readonly #scene: Scene;
  readonly #clients: readonly SimClient[];
  readonly #workers: readonly (SessionWorker | Poller)[];
  readonly #operator: Operator;
  readonly #scheduler: Scheduler;

  constructor(cluster: SimCluster, recorder: Recorder, options: WorkloadOptions) {
    const random = cluster.world.random.fork();
    const scene = new Scene(cluster, recorder, random, drawCharacter(random));
    this.#scene = scene;
    this.#clients = Array.from({ length: options.clients }, (_, i) => new SimClient(scene, `c${i}`));
    this.#workers = Array.from({ length: options.workers }, (_, i) => {
      const name = `w${i}`;
      if (i % 4 === 3) return new Poller(scene, name);
      return new SessionWorker(scene, name, { reserves: i % 4 === 2, all: i === 0 });
    });
    this.#operator = new Operator(scene);
    this.#scheduler = new Scheduler(scene);
  }

  /** What most of this run is about, in a word. */
  get style(): string {
    return this.#scene.character.style;
  }

  /** Calls begun so far. */
  get operations(): number {
    return this.#scene.operations;
  }

  /** Jobs of which somebody was told that they were accepted. */
  get acknowledged(): number {
    return this.#scene.ledger.accepted.length;
  }

  /** The workload itself failed: a defect of it. */
  get broken(): readonly string[] {
    return this.#scene.broken;
  }

  /** Promises seen broken that a history does not show. */
  get violations(): readonly string[] {
    return this.#scene.violations;
  }

  start(): void {
    const scene = this.#scene;
    scene.world.note(`workload ${scene.character.style}`);
    this.#clients.forEach((client, i) => {
      scene.run(`c${i}`, client.run());
    });
    this.#workers.forEach((worker, i) => {
      scene.run(`w${i}`, worker.run());
    });
    scene.run('operator', this.#operator.run());
    scene.run('scheduler', this.#scheduler.run());
  }

  /** No new jobs; workers go on, and clients finish what they have in hand. */
  quiesce(): void {
    if (this.#scene.phase === 'open') this.#scene.phase = 'quiet';
  }

  /** Everything ends. */
  stop(): void {
    this.#scene.phase = 'over';
    for (const worker of this.#workers) worker.stop();
    this.#scene.hangUp();
  }

  /** The first accepted job that has not ended everywhere, as text; null when all have. */
  unfinished(): string | null {
    return unfinishedOf(this.#scene.cluster, this.#scene, this.#scheduler);
  }

  /** Notes what every node has of every job, once everything is at rest. */
  observe(): void {
    this.#operator.noteLatePurges();
    observeAll(this.#scene.cluster, this.#scene, this.#scheduler);
  }
}
