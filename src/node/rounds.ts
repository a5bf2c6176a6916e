import type { Consensus } from '../consensus/types.js';
import type { Core } from '../core/interface.js';
import type { Wal } from '../storage/types.js';
import type { Asking } from './asking.js';
import { ClockWatch } from './clock-watch.js';
import type { Disagreement, Hashes } from './hashes.js';
import type { News } from './news.js';
import type { NodeOptions } from './options.js';
import type { Sessions } from './sessions.js';
import { SnapshotTurns } from './snapshot-turns.js';
import { type NodeStatus, readStatus, readWall, type StatusBoard } from './status.js';

/** How often a round is made. */
export const ROUND_MS = 200;
/** Workers that are sent away in one round: this share of all, so that it takes some seconds, and no fewer than so many. */
const AWAY_ROUNDS = 25;
const AWAY_MIN = 10;

export interface RoundsParts {
  readonly options: NodeOptions;
  readonly core: Core;
  readonly consensus: Consensus;
  readonly wal: Wal;
  readonly asking: Asking;
  readonly board: StatusBoard;
  readonly hashes: Hashes;
  readonly sessions: Sessions;
  readonly raftId: number;
  readonly leaderName: () => string;
  readonly leaderlessMs: () => number;
  readonly peerNames: () => readonly string[];
  readonly members: () => number;
  readonly diskLow: () => boolean;
  readonly draining: () => boolean;
  /** Clients or workers here wait for what is committed. */
  readonly attached: () => boolean;
  readonly news: Pick<News, 'weigh'>;
  readonly takeSnapshot: () => void;
  readonly transferTo: (name: string) => void;
  readonly astray: (index: number) => void;
  /** Another's clock was read. */
  readonly clockRead: () => void;
}

/** What the log says of it; a run under test in which any node says so has failed, even if it was mended since. */
export const HASHES_DIFFER = 'state hashes differ at one index';

/** What a node does a few times per second besides its work: tells the others how it stands, and looks after itself. */
export class Rounds {
  readonly #parts: RoundsParts;
  readonly #clockWatch: ClockWatch;
  /** Of the snapshots: who begins or ends one tells it at once. */
  readonly turns: SnapshotTurns;
  #quietIndex = 0;

  constructor(parts: RoundsParts) {
    this.#parts = parts;
    const { options, board, peerNames } = parts;
    this.turns = new SnapshotTurns({ ownName: options.name, board, peerNames, changed: () => this.tell() });
    this.#clockWatch = new ClockWatch({
      clock: options.clock,
      clocks: board.clocks,
      log: options.log,
      limitMs: options.timings.clockSkewMaxMs,
      canLead: (name) => {
        const said = board.of(name)?.status;
        return options.transport.isConnected(name) && said?.diskLow !== true && said?.draining !== true;
      },
      transferTo: parts.transferTo,
    });
  }

  make(): void {
    const { core, consensus, hashes, raftId } = this.#parts;
    const status = consensus.status();
    if (core.appliedIndex === this.#quietIndex) hashes.quiet(core.appliedIndex);
    this.#quietIndex = core.appliedIndex;
    this.tell();
    this.#parts.news.weigh(status);
    this.#clockWatch.look(status.role === 'leader');
    if (status.role === 'leader' && !status.membership.voters.includes(raftId)) {
      // etcd's core keeps a leader in office that removed itself; it must give the office up by our hand.
      if (!status.membership.outgoing.includes(raftId)) consensus.stepDown();
    }
    // A new member needs a snapshot that knows it.
    if (status.role === 'leader' && status.snapshotWanted) this.#parts.takeSnapshot();
    this.#sendWorkersAway();
  }

  /** Says at once to all how this node stands. */
  tell(): void {
    const { core, consensus, hashes, options } = this.#parts;
    const status = consensus.status();
    const { index: hashIndex, hash } = hashes.newest;
    const word: NodeStatus = {
      role: status.role,
      term: status.term,
      leader: this.#parts.leaderName(),
      applied: core.appliedIndex,
      commit: status.commit,
      lastIndex: status.lastIndex,
      logBytes: this.#parts.wal.bytes,
      diskLow: this.#parts.diskLow(),
      draining: this.#parts.draining(),
      attached: this.#parts.attached(),
      snapshot: this.turns.stage,
      hashIndex,
      hash,
    };
    for (const name of this.#parts.peerNames()) {
      if (options.transport.isConnected(name)) this.#tell(name, word);
    }
  }

  /** Nothing waits for the answer, the other's clock: the next word follows soon. */
  #tell(name: string, word: NodeStatus): void {
    const { clock } = this.#parts.options;
    const sentMs = clock.monotonicMs();
    this.#parts.asking.ask(name, 'status', word, ROUND_MS * 5).then(
      (answer) => {
        const wall = readWall(answer);
        if (wall === null) return;
        this.#parts.board.clocks.heard(name, sentMs, wall);
        this.#parts.clockRead();
      },
      () => {},
    );
  }

  heard(from: string, body: unknown): void {
    const status = readStatus(body);
    if (status === null) return;
    this.#parts.board.heard(from, status);
    const found = this.#parts.hashes.heard(from, status);
    if (found !== null) this.#diverged(found);
  }

  /**
   * Workers are sent elsewhere only after a while without a leader, and only to nodes that have one; some in each round,
   * each at a moment of its own, and no more of them once there is a leader: an election must not move thousands.
   */
  #sendWorkersAway(): void {
    const { board, sessions, options } = this.#parts;
    if (sessions.size === 0) return;
    const leaderlessMs = this.#parts.leaderlessMs();
    if (leaderlessMs === 0) sessions.stay();
    if (leaderlessMs < options.timings.redirectMs) return;
    const better: string[] = [];
    for (const [name, known] of board.all()) {
      if (board.reachableSince(name) === 0 || known.status.leader === '') continue;
      const grpc = options.transport.hello(name)?.grpc;
      if (grpc !== undefined && grpc !== '') better.push(grpc);
    }
    if (better.length === 0) return;
    sessions.redirectSome(better, 'this node has no leader', {
      count: Math.max(AWAY_MIN, Math.ceil(sessions.size / AWAY_ROUNDS)),
      delayMs: () => options.random.below(ROUND_MS),
      stillWanted: () => this.#parts.leaderlessMs() > 0,
    });
  }

  /** A replica in the minority stops and takes its state anew from the others: nobody should act on what it has. */
  #diverged(found: Disagreement): void {
    const counts = new Map<string, number>();
    for (const hash of found.others.values()) counts.set(hash, (counts.get(hash) ?? 0) + 1);
    counts.delete(found.own);
    this.#parts.options.log.error(
      { index: found.index, own: found.own, others: Object.fromEntries(found.others) },
      HASHES_DIFFER,
    );
    if (Math.max(...counts.values()) * 2 <= this.#parts.members()) return;
    this.#parts.astray(found.index);
  }
}
