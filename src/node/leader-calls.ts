import { GearmeshError } from '../core/errors.js';
import type { Asking } from './asking.js';
import type { Running } from './calls.js';
import type { CallOptions, LeadershipResult } from './interface.js';
import { replaceMember } from './membership.js';
import type { NodeOptions } from './options.js';
import type { KnownStatus } from './status.js';

const TRANSFER_MS = 3_000;
const REPLACE_MS = 3_600_000;
const LOOK_MS = 20;

export interface LeaderCallsParts {
  readonly options: NodeOptions;
  readonly asking: () => Asking;
  /** Null before the node belongs to a cluster. */
  readonly running: () => Running | null;
  /** Throws where the node does not serve. */
  readonly formed: () => Running;
  readonly clusterId: () => string;
}

/** What only the leader can do. Any other node hands it on, with the caller's patience, and back come the same words. */
export class LeaderCalls {
  readonly #parts: LeaderCallsParts;

  constructor(parts: LeaderCallsParts) {
    this.#parts = parts;
  }

  async transfer(to: string, call: CallOptions): Promise<LeadershipResult> {
    const { options } = this.#parts;
    await this.someLeader(call);
    const { engine } = this.#parts.formed();
    if (engine.leaderName !== options.name) {
      const answer = await this.#ask('transfer', { to }, TRANSFER_MS * 2, call, () => {});
      return leadershipFrom(answer);
    }
    const target = to === '' ? this.bestSuccessor() : to;
    if (target !== options.name) {
      if (target === null || !engine.transferTo(target)) {
        throw new GearmeshError('NOT_FOUND', {
          message: to === '' ? 'no other member could take over' : `${to} is no member that could take over`,
        });
      }
      const moved = (): boolean => engine.leaderName !== '' && engine.leaderName !== options.name;
      if (!(await this.#until(moved, TRANSFER_MS, call))) {
        throw new GearmeshError('OUTCOME_UNKNOWN', {
          message: `${target} did not take over in time: is it up to date?`,
          outcome: 'UNKNOWN',
        });
      }
    }
    return this.#standing(call);
  }

  async replace(
    name: string,
    call: CallOptions,
    progress: (line: string) => void,
  ): Promise<{ readonly revision: number }> {
    const { options } = this.#parts;
    await this.someLeader(call);
    const { booted, engine } = this.#parts.formed();
    if (engine.leaderName !== options.name) {
      progress(`the leader ${engine.leaderName} does it`);
      const told = (line: unknown): void => progress(String(line));
      return { revision: numberIn(await this.#ask('replace', { name }, REPLACE_MS, call, told), 'revision') };
    }
    await replaceMember(
      {
        ownName: options.name,
        clock: options.clock,
        transport: options.transport,
        asking: this.#parts.asking(),
        consensus: booted.consensus,
        engine,
        cluster: { id: this.#parts.clusterId(), name: options.clusterName },
      },
      name,
      call.signal,
      (line) => {
        options.log.info({ peer: name }, line);
        progress(line);
      },
    );
    return { revision: booted.core.appliedIndex };
  }

  /** The connected voter whose log is the newest; one that stops itself only where all others do. */
  bestSuccessor(): string | null {
    const running = this.#parts.running();
    if (running === null) return null;
    const { name, transport } = this.#parts.options;
    const { engine, booted } = running;
    const { progress } = booted.consensus.status();
    const off = engine.board.clocks.judge()?.off ?? [];
    let best: string | null = null;
    let bestDrains = true;
    let match = -1;
    for (const member of engine.members) {
      const one = progress.find((p) => p.id === member.raftId);
      if (member.name === name || one === undefined || one.learner) continue;
      if (!transport.isConnected(member.name)) continue;
      const known: KnownStatus | null = engine.board.of(member.name);
      if (known?.status.diskLow === true || off.includes(member.name)) continue;
      const drains = known?.status.draining === true;
      if (drains !== bestDrains ? drains : one.match <= match) continue;
      best = member.name;
      bestDrains = drains;
      match = one.match;
    }
    return best;
  }

  /** Who leads now. Its first entry is what a reader must have seen to see it lead. */
  async #standing(call: CallOptions): Promise<LeadershipResult> {
    const { booted, engine } = this.#parts.formed();
    try {
      await engine.reads.linearizable(call.signal);
    } catch {
      // The deadline came first. What was asked for is done all the same.
    }
    return {
      leader: engine.leaderName,
      term: engine.standing.term,
      revision: booted.core.appliedIndex,
    };
  }

  #ask(
    topic: string,
    body: unknown,
    timeoutMs: number,
    call: CallOptions,
    told: (word: unknown) => void,
  ): Promise<unknown> {
    const leader = this.#parts.formed().engine.leaderName;
    return this.#parts.asking().ask(leader, topic, body, timeoutMs, { signal: call.signal, told });
  }

  /** Resolves while this node knows a leader. */
  async someLeader(call: CallOptions): Promise<void> {
    const known = (): boolean => this.#parts.formed().engine.leaderName !== '';
    if (await this.#until(known, Number.POSITIVE_INFINITY, call)) return;
    throw new GearmeshError('NO_LEADER', { message: 'the deadline passed before there was a leader' });
  }

  async #until(condition: () => boolean, timeoutMs: number, call: CallOptions): Promise<boolean> {
    const { clock } = this.#parts.options;
    const until = clock.monotonicMs() + timeoutMs;
    while (!condition()) {
      if (clock.monotonicMs() > until || call.signal?.aborted === true) return false;
      // Whoever waits no longer hears of it at once: the answer must be there before the deadline is.
      await new Promise<void>((resolve) => {
        const done = (): void => {
          timer.cancel();
          call.signal?.removeEventListener('abort', done);
          resolve();
        };
        const timer = clock.setTimer(LOOK_MS, done);
        call.signal?.addEventListener('abort', done);
      });
    }
    return true;
  }
}

function numberIn(body: unknown, name: string): number {
  const value = typeof body === 'object' && body !== null ? (body as Record<string, unknown>)[name] : null;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw new GearmeshError('INTERNAL', { message: `the leader's answer has no ${name}`, outcome: 'UNKNOWN' });
}

function leadershipFrom(body: unknown): LeadershipResult {
  const [term, revision] = [numberIn(body, 'term'), numberIn(body, 'revision')];
  return { leader: String((body as Record<string, unknown>).leader), term, revision };
}
