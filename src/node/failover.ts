import type { Clock, Timer } from '../base/clock.js';
import type { Random } from '../base/random.js';
import type { Asking } from './asking.js';
import type { Log } from './options.js';

const PROBE_MS = 40;
const ASK_MS = 60;
/** Random part of the delay before campaigning. */
const JITTER_MS = 5;
/** A node waits this long for each one that goes first. */
const RANK_MS = 40;
const AGAIN_MS = 150;
const TRIES = 4;
/** After a campaign for this reason, so long no other one: a flapping link must not depose leader after leader. */
const PAUSE_MS = 2_000;

export interface FailoverParts {
  readonly ownName: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly asking: Asking;
  readonly probe: (name: string, timeoutMs: number) => Promise<boolean>;
  /** Names of the voters besides this node; null where this node has no vote. */
  readonly otherVoters: () => readonly string[] | null;
  /** The leader known by the core now, '' when none, with the term. */
  readonly standing: () => { leader: string; term: number };
  readonly lastLog: () => { term: number; index: number };
  /** This node's wall clock is not fit for a leader. */
  readonly clockOff: () => boolean;
  readonly campaign: () => void;
}

interface Word {
  readonly lost: boolean;
  readonly lastTerm: number;
  readonly lastIndex: number;
  readonly clockOff: boolean;
}

/**
 * Fast failover: a killed leader closes its sockets. A follower that cannot reach it again asks the others; when a
 * majority of the voters cannot either, the one with the newest log campaigns at once instead of waiting for the
 * election timeout. Only a hint: the vote itself is plain Raft, so a wrong hint costs an election and no safety.
 */
export class Failover {
  readonly #parts: FailoverParts;
  #running = false;
  #pausedUntilMs = 0;
  #timer: Timer | null = null;

  constructor(parts: FailoverParts) {
    this.#parts = parts;
  }

  stop(): void {
    this.#running = true;
    this.#timer?.cancel();
  }

  /** The connection to `name` closed, or a dial was refused. */
  peerLost(name: string): void {
    const { leader, term } = this.#parts.standing();
    if (name !== leader || this.#running) return;
    if (this.#parts.clock.monotonicMs() < this.#pausedUntilMs) return;
    this.#running = true;
    this.#run(leader, term)
      .catch((error: unknown) => {
        this.#parts.log.debug({ reason: (error as Error).message }, 'fast failover given up');
      })
      .finally(() => {
        this.#running = false;
      });
  }

  /** Another node asks whether this one can reach the leader. */
  async answer(body: unknown): Promise<Word> {
    const leader = typeof body === 'string' ? body : '';
    const { term, index } = this.#parts.lastLog();
    const lost = leader !== '' && !(await this.#parts.probe(leader, PROBE_MS));
    return { lost, lastTerm: term, lastIndex: index, clockOff: this.#parts.clockOff() };
  }

  async #run(leader: string, term: number): Promise<void> {
    const { clock, random, log } = this.#parts;
    const began = clock.monotonicMs();
    let seenTerm = term;
    for (let attempt = 0; attempt < TRIES; attempt++) {
      const others = this.#parts.otherVoters();
      if (others === null || !this.#stillLed(leader, term)) return;
      if (await this.#parts.probe(leader, PROBE_MS)) return;
      const asked = others.filter((name) => name !== leader);
      const words = await Promise.all(
        asked.map((name) =>
          this.#parts.asking.ask(name, 'leader-lost', leader, ASK_MS).then(readWord, () => null),
        ),
      );
      const agreeing = words.filter((word) => word?.lost === true).length + 1;
      if (agreeing * 2 <= others.length + 1) {
        await this.#wait(AGAIN_MS / 2);
        continue;
      }
      const rank = words.filter((word, i) => word !== null && this.#goesFirst(word, asked[i]!)).length;
      await this.#wait(rank * RANK_MS + random.below(JITTER_MS + 1));
      if (!this.#stillLed(leader, term)) return;
      const now = this.#parts.standing().term;
      if (now > seenTerm) {
        // Another one campaigns already: a second candidate would only split the votes.
        seenTerm = now;
        await this.#wait(AGAIN_MS + random.below(AGAIN_MS));
        continue;
      }
      this.#pausedUntilMs = clock.monotonicMs() + PAUSE_MS;
      log.info(
        { leader, sinceMs: Math.round(clock.monotonicMs() - began) },
        'the leader is gone: campaigning',
      );
      this.#parts.campaign();
      await this.#wait(AGAIN_MS + random.below(AGAIN_MS));
      seenTerm = this.#parts.standing().term;
    }
  }

  /** The newest log goes first, as it gets the votes; among equal ones a right clock, then the smallest name does. */
  #goesFirst(word: Word, name: string): boolean {
    const own = this.#parts.lastLog();
    if (word.lastTerm !== own.term) return word.lastTerm > own.term;
    if (word.lastIndex !== own.index) return word.lastIndex > own.index;
    if (word.clockOff !== this.#parts.clockOff()) return !word.clockOff;
    return name < this.#parts.ownName;
  }

  /** True while nobody else took over. */
  #stillLed(leader: string, term: number): boolean {
    const now = this.#parts.standing();
    return now.leader === '' || (now.leader === leader && now.term === term);
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#timer = this.#parts.clock.setTimer(ms, resolve);
    });
  }
}

function readWord(body: unknown): Word | null {
  if (typeof body !== 'object' || body === null) return null;
  const { lost, lastTerm, lastIndex, clockOff } = body as Record<string, unknown>;
  if (typeof lost !== 'boolean' || typeof lastTerm !== 'number' || typeof lastIndex !== 'number') return null;
  return { lost, lastTerm, lastIndex, clockOff: clockOff === true };
}
