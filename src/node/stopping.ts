import type { Clock } from '../base/clock.js';
import type { Transport } from '../peer/types.js';
import type { Engine } from './engine.js';
import type { Log } from './options.js';

/** Time for another node to take over. */
const HAND_OVER_MS = 3_000;
/** Without a leader for so long, nothing that is under way here comes to an end any more. */
const LEADERLESS_MS = 2_000;
/** Time for workers that hold no job to go by themselves. */
const IDLE_WORKERS_MS = 2_000;
const LEAVE_MS = 1_000;
const LOOK_MS = 20;

export interface StoppingParts {
  readonly name: string;
  readonly engine: Engine;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly log: Log;
  /** Longest wait for what is under way, milliseconds. */
  readonly drainMs: number;
  /** Who should lead next, null when nobody can. */
  readonly successor: () => string | null;
  /** Calls that wait for jobs are answered at once. */
  readonly endPolls: () => void;
}

/**
 * The orderly end of a node, up to the moment at which nobody would miss it: the leadership goes to another node,
 * workers go elsewhere, and what somebody waits for is finished. Its own housekeeping is not waited for, and neither
 * is anything that nobody can decide any more, as when a whole cluster is stopped.
 */
export class Stopping {
  readonly #parts: StoppingParts;

  constructor(parts: StoppingParts) {
    this.#parts = parts;
  }

  async run(): Promise<void> {
    const { engine } = this.#parts;
    engine.startDraining();
    await this.#handOver();
    this.#sendWorkersAway();
    this.#parts.endPolls();
    await this.#drain();
    // It may have come back meanwhile, from a node that stops as well.
    await this.#handOver();
    await this.#leave();
  }

  async #handOver(): Promise<void> {
    const { name, engine, transport, successor } = this.#parts;
    if (engine.leaderName !== name) return;
    let target: string | null = null;
    await this.#until(HAND_OVER_MS, () => {
      const going = target !== null && transport.isConnected(target);
      if (engine.leaderName === '') return !going || engine.leaderlessMs > LEADERLESS_MS;
      if (engine.leaderName !== name) return true;
      // A target that goes away cannot take over; the next best may.
      if (going) return false;
      target = successor();
      return target === null || !engine.transferTo(target);
    });
  }

  #sendWorkersAway(): void {
    const { name, engine, transport } = this.#parts;
    const others = engine.members
      .filter((member) => member.name !== name && transport.isConnected(member.name))
      .map((member) => transport.hello(member.name)?.grpc ?? '')
      .filter((address) => address !== '');
    if (others.length > 0) engine.sessions.redirect(others, 'the node is stopping');
    engine.sessions.drain('the node is stopping');
  }

  async #drain(): Promise<void> {
    const { engine, clock, log, drainMs } = this.#parts;
    const { origin, sessions } = engine;
    const began = clock.monotonicMs();
    const finished = (): boolean => {
      if (origin.awaited) return false;
      if (sessions.size === 0) return true;
      return clock.monotonicMs() - began > IDLE_WORKERS_MS && !sessions.holding;
    };
    const ended = await this.#until(drainMs, () => finished() || engine.leaderlessMs > LEADERLESS_MS);
    if (ended && finished()) return;
    log.warn(
      {
        sessions: sessions.size,
        calls: origin.awaited,
        leaderlessMs: Math.round(engine.leaderlessMs),
        ms: Math.round(clock.monotonicMs() - began),
      },
      ended ? 'no leader to finish what is under way with' : 'not everything under way ended in time',
    );
  }

  /** The others need not find out by its silence. */
  async #leave(): Promise<void> {
    const { engine } = this.#parts;
    if (engine.leaderName === '' || engine.members.length === 1) return;
    let left = false;
    void engine.leave().then(() => {
      left = true;
    });
    await this.#until(LEAVE_MS, () => left || engine.leaderName === '');
  }

  async #until(timeoutMs: number, condition: () => boolean): Promise<boolean> {
    const { clock } = this.#parts;
    const end = clock.monotonicMs() + timeoutMs;
    while (!condition()) {
      if (clock.monotonicMs() > end) return false;
      await new Promise<void>((resolve) => {
        clock.setTimer(LOOK_MS, resolve);
      });
    }
    return true;
  }
}
