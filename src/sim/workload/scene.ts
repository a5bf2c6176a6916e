import type { Fate, HistoryEvent } from '../../checker/history.js';
import type { Recorder } from '../../checker/recorder.js';
import { GearmeshError } from '../../core/errors.js';
import type { CallOptions, GearmeshNode } from '../../node/index.js';
import type { SimCluster, SimNode } from '../cluster.js';
import type { SeededRandom } from '../random.js';
import { EPOCH_WALL_MS, type World } from '../world.js';
import type { Character } from './character.js';
import { Ledger } from './ledger.js';
import { lineOf } from './text.js';

/** How long a call may take; the node is told, and says a word of its own before the caller stops to listen. */
const CALL_MS = 4_000;
const PATIENCE_MS = 500;
/** Longest time that a worker takes for a job once all is to end, milliseconds: that of most lives. */
const QUIET_WORK_MS = 120;

/** What became of a call, as its caller knows it. */
export interface Told<T> {
  readonly node: string;
  readonly begin: number;
  /** Null: no answer came. */
  readonly end: number | null;
  readonly fate: Fate;
  /** Code of the error, '' without one. */
  readonly error: string;
  /** Null unless done. */
  readonly value: T | null;
}

/** What all clients and workers of a run share. */
export class Scene {
  readonly cluster: SimCluster;
  readonly character: Character;
  readonly random: SeededRandom;
  readonly ledger = new Ledger();
  /** `quiet`: nothing new is begun, and nothing goes wrong on purpose any more. */
  phase: 'open' | 'quiet' | 'over' = 'open';
  operations = 0;
  readonly broken: string[] = [];
  /** Promises seen broken that a history does not show. */
  readonly violations: string[] = [];
  /** Every job that a worker was given, and every token, each with the time at which it was seen first. */
  readonly leased = new Set<string>();
  readonly tokens = new Map<number, number>();
  readonly #recorder: Recorder;
  readonly #pending = new Set<() => void>();

  constructor(cluster: SimCluster, recorder: Recorder, random: SeededRandom, character: Character) {
    this.cluster = cluster;
    this.#recorder = recorder;
    this.random = random;
    this.character = character;
  }

  get world(): World {
    return this.cluster.world;
  }

  /** The time of those who look, as a wall clock that is right. */
  get wall(): number {
    return EPOCH_WALL_MS + Math.floor(this.world.now);
  }

  /**
   * Longest time that a worker takes for a job by now, milliseconds. Where there were hardly enough hands, minutes of work
   * have piled up by the end: that the cluster gives it all out in time is promised, and not that workers are fast.
   */
  get workMs(): number {
    const { workMs } = this.character;
    return this.phase === 'open' ? workMs : Math.min(workMs, QUIET_WORK_MS);
  }

  note(event: HistoryEvent): void {
    this.#recorder.note(event);
    this.world.note(lineOf(event));
  }

  given(job: string, token: number): void {
    this.leased.add(job);
    if (!this.tokens.has(token)) this.tokens.set(token, this.world.now);
  }

  /** Work that goes on by itself; where it throws, the workload is at fault. */
  run(who: string, work: Promise<unknown>): void {
    work.catch((error: unknown) => {
      this.broken.push(`${who}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    });
  }

  /** A node that takes connections; null while there is none. */
  pickUp(random: SeededRandom): SimNode | null {
    const up = this.cluster.running;
    return up.length === 0 ? null : random.pick(up);
  }

  /**
   * One call to a node. `heard` is called once, as soon as it is known what became of it, or that nobody will say: also
   * at the end of the run.
   */
  call<T>(
    target: SimNode,
    work: (node: GearmeshNode, call: CallOptions) => Promise<T>,
    heard: (told: Told<T>) => void,
    ms = CALL_MS,
  ): Promise<Told<T>> {
    const { world } = this;
    const begin = world.now;
    this.operations += 1;
    return new Promise((resolve, reject) => {
      const aborting = new AbortController();
      // A process that stands still does not notice that the time is over.
      const abort = () => target.attached(async () => aborting.abort()).catch(() => {});
      const deadline = world.after(ms, abort);
      const patience = world.after(ms + PATIENCE_MS, () => end('unknown', '', null, false));
      const unheard = (): void => end('unknown', '', null, false);
      const end = (fate: Fate, error: string, value: T | null, answered: boolean): void => {
        if (!this.#pending.delete(unheard)) return;
        deadline.cancel();
        patience.cancel();
        const told = { node: target.name, begin, end: answered ? world.now : null, fate, error, value };
        try {
          heard(told);
          resolve(told);
        } catch (thrown) {
          reject(thrown as Error);
        }
      };
      this.#pending.add(unheard);
      target
        .attached((node) => work(node, { signal: aborting.signal }))
        .then(
          (value) => end('done', '', value, true),
          (error: unknown) => {
            if (!(error instanceof GearmeshError)) {
              if (!isConnection(error))
                this.violations.push(
                  `${target.name} answered with ${(error as Error).stack ?? String(error)}`,
                );
              unheard();
              return;
            }
            if (error.code === 'INTERNAL')
              this.violations.push(`${target.name} found a defect in itself: ${error.message}`);
            end(error.outcome === 'NOT_APPLIED' ? 'not-applied' : 'unknown', error.code, null, true);
          },
        );
    });
  }

  /** Nobody waits for an answer any longer. */
  hangUp(): void {
    for (const unheard of [...this.#pending]) unheard();
  }
}

function isConnection(error: unknown): boolean {
  return error instanceof Error && /^connection (lost|refused)$/.test(error.message);
}

/** Nothing is to be noted of a call's end. */
export function unnoted(): void {}
