/**
 * The Raft port of `@coaty/consensus.raft`, and what must be different about it. Its edges are replaced on one
 * instance (methods that it calls through `this`) and, for the sizes, on its module's exports.
 */
import { Changer } from '@coaty/consensus.raft/ported/confchange/confchange.js';
import type { Logger } from '@coaty/consensus.raft/ported/logger.js';
import { noLimit, Raft, RaftConfig, StateType } from '@coaty/consensus.raft/ported/raft.js';
import type { Entry } from '@coaty/consensus.raft/ported/raftpb/raft.pb.js';
import { Message, MessageType } from '@coaty/consensus.raft/ported/raftpb/raft.pb.js';
import { ProgressStateType } from '@coaty/consensus.raft/ported/tracker/state.js';
import util from '@coaty/consensus.raft/ported/util.js';
import { InvariantError, invariant } from '../base/invariant.js';
import { ridOf } from './ids.js';
import { LogRecord, type MemoryLog } from './log.js';
import { portChanges } from './membership.js';
import { countMax, entryCost } from './sizes.js';
import type { ConsensusSettings, MembershipChange } from './types.js';

type Sized = Pick<Entry, 'data'>;

function payloadSize(entry: Sized): number {
  return entry.data === null ? 0 : (entry.data as Uint8Array).length;
}

function limitSize<T extends Sized>(entries: T[], maxSize: number): T[] {
  const most = countMax(maxSize);
  let size = 0;
  let count = 0;
  for (const entry of entries) {
    size += entryCost(payloadSize(entry));
    if (count > 0 && (size > maxSize || count >= most)) return entries.slice(0, count);
    count++;
  }
  return entries;
}

// As they come, both turn each entry into JSON to see how long it is.
Object.assign(util, { payloadSize, limitSize });
invariant((util.limitSize as unknown) === limitSize, 'the sizes of the port are replaced');

/**
 * Context of a MsgApp without entries that only tells the commit index, to a follower whose log is known to match: an
 * answer would tell nothing, and under load there would be as many of them as there are entries.
 */
const NEWS_ONLY = 'news';

/** Messages with log from the disk that are under way to one node: what was read for them is in memory until they left. */
const OLD_UNDER_WAY_MAX = 4;

/** The port's configuration after a change, ready for `switchToConfig`; the error says why there is none. */
export type Changed = ReturnType<Changer['simple']>;

export interface PortHooks {
  /** Last entry that is durable here, as far as the log now goes. */
  readonly durable: () => number;
  /** Entries or a newer commit index are there to be told to everyone. */
  readonly broadcast: () => void;
}

/**
 * A `Raft` that counts its own entries only once they are durable, takes no entry by call arguments, tells the
 * others of entries and commit index when asked to by `flush` (once per turn) and draws its election timeout
 * from the injected randomness.
 */
export class Port {
  readonly raft: Raft;
  readonly #hooks: PortHooks;
  readonly #log: MemoryLog;
  /** Peers that are to be sent log from the disk, whatever is under way to them: it may have been lost. */
  readonly #asked = new Set<string>();
  #flushing = false;
  /** The commit index that each peer was last told. */
  readonly #told = new Map<string, number>();
  /** Somebody was not told the commit index yet, because nobody waits for it there. */
  newsWaits = false;
  /** What `flush` sends just now; Raft's own empty messages ask for an answer, which shows what got lost. */
  #newsOnly = false;

  constructor(options: ConsensusSettings, log: MemoryLog, hooks: PortHooks) {
    this.#hooks = hooks;
    this.#log = log;
    const raft = Raft.NewRaft(
      new RaftConfig({
        id: ridOf(options.id),
        electionTick: options.electionTicks,
        heartbeatTick: options.heartbeatTicks,
        storage: log,
        applied: log.mark.index,
        maxSizePerMsg: options.maxMessageBytes,
        // Proposals are checked before they are handed over, all or nothing.
        maxUncommittedEntriesSize: noLimit,
        maxInflightMsgs: options.maxInflight,
        checkQuorum: true,
        preVote: true,
        disableProposalForwarding: true,
        logger: loggerOf(options),
      }),
    );
    this.raft = raft;

    const reset = raft.reset.bind(raft);
    raft.reset = (term) => {
      reset(term);
      const own = raft.prs.progress.get(raft.id);
      if (own !== undefined) own.match = hooks.durable();
      raft.pendingReadIndexMessages = [];
      log.snapshotWanted = false;
      this.#told.clear();
      this.newsWaits = false;
      this.#asked.clear();
    };
    const maybeSendAppend = raft.maybeSendAppend.bind(raft);
    raft.maybeSendAppend = (to, sendIfEmpty) => {
      log.snapshotFor = to;
      if (this.#flushing || !this.#needsDisk(to)) return maybeSendAppend(to, sendIfEmpty);
      // Only `flush` reads the disk: in pieces, and where an error ends the node as that of a write does.
      if (sendIfEmpty) this.#asked.add(to);
      hooks.broadcast();
      return false;
    };
    raft.appendEntry = (...entries) => {
      this.append(entries.map((entry) => new LogRecord(0, 0, entry.type === 0 ? 'command' : 'membership')));
      return true;
    };
    raft.bcastAppend = () => hooks.broadcast();
    raft.resetRandomizedElectionTimeout = () => {
      raft.randomizedElectionTimeout = options.electionTicks + options.random(options.electionTicks);
    };
    const send = raft.send.bind(raft);
    raft.send = (message) => {
      if (message.type === MessageType.MsgApp) {
        this.#told.set(message.to, message.commit);
        if (this.#newsOnly && message.entries.length === 0) message.context = NEWS_ONLY;
      }
      send(message);
    };
    raft.resetRandomizedElectionTimeout();
    raft.hup = (type) => {
      if (this.isLeader || !raft.promotable()) return;
      // As the port does, but from what is known without reading the disk: how much is not applied has no bound.
      if (this.#changeWaits()) {
        options.log('warn', 'no candidate yet: a change of the membership is still to be applied');
        return;
      }
      raft.campaign(type);
    };
  }

  get isLeader(): boolean {
    return this.raft.state === StateType.StateLeader;
  }

  /** True where a committed change of the membership is not applied yet. */
  #changeWaits(): boolean {
    const { applied, committed, unstable } = this.raft.raftLog;
    if (this.#log.changesMembership(applied + 1, Math.min(committed, unstable.offset - 1))) return true;
    return (unstable.entries as LogRecord[]).some(
      ({ kind, index }) => kind === 'membership' && index > applied && index <= committed,
    );
  }

  /** Appends at the leader; its own progress stays where its disk is. */
  append(records: LogRecord[]): void {
    const { raft } = this;
    let index = raft.raftLog.lastIndex();
    for (const record of records) {
      record.term = raft.term;
      record.index = ++index;
      raft.uncommittedSize += record.data.length;
    }
    raft.raftLog.unstable.truncateAndAppend(records);
    const own = raft.prs.progress.get(raft.id);
    // Nothing is ever sent to itself, so what comes next for it is always behind the end.
    if (own !== undefined) own.next = index + 1;
    this.#hooks.broadcast();
  }

  /**
   * Tells the others what is new: full messages as far as their windows go, else the commit index alone, but that only to
   * those who are in a hurry (null: everyone).
   */
  flush(hurried: ReadonlySet<string> | null): void {
    this.#flushing = true;
    this.newsWaits = false;
    for (const id of this.raft.prs.progress.keys()) {
      if (id !== this.raft.id) this.#flushTo(id, hurried === null || hurried.has(id));
    }
    this.#flushing = false;
  }

  #flushTo(id: string, hurried: boolean): void {
    const { raft } = this;
    const { state, inflights } = raft.prs.progress.get(id)!;
    let old = Math.max(OLD_UNDER_WAY_MAX - (inflights?.count() ?? 0), this.#asked.delete(id) ? 1 : 0);
    let sent = false;
    while ((!this.#needsDisk(id) || old-- > 0) && raft.maybeSendAppend(id, false)) sent = true;
    const matches = state === ProgressStateType.StateReplicate;
    const stale = this.#told.get(id) !== raft.raftLog.committed;
    // One that lags so far needs no news: the commit index comes with the log.
    if (sent || (matches && !stale) || this.#needsDisk(id)) return;
    if (matches && !hurried) {
      this.newsWaits = true;
      return;
    }
    this.#newsOnly = matches;
    raft.sendAppend(id);
    this.#newsOnly = false;
  }

  /** True where what comes next for this peer has left memory. */
  #needsDisk(id: string): boolean {
    const next = this.raft.prs.progress.get(id)?.next ?? 0;
    return next >= this.#log.firstIndex && next < this.#log.heldFrom;
  }

  /** Raft's own step, but for answers that nobody needs. A refusal is always told. */
  step(message: Message): void {
    const { raft } = this;
    const before = raft.msgs.length;
    raft.Step(message);
    const { type, context, entries } = message;
    if (type !== MessageType.MsgApp || context !== NEWS_ONLY || entries.length > 0) return;
    raft.msgs = raft.msgs.filter(
      (sent, i) => i < before || sent.type !== MessageType.MsgAppResp || sent.reject,
    );
  }

  /** At the leader: its own log is on disk up to here, which may commit entries and release reads. */
  ownDurable(index: number): void {
    const { raft } = this;
    const own = raft.prs.progress.get(raft.id);
    if (own === undefined || own.match >= index) return;
    const message = new Message({
      type: MessageType.MsgAppResp,
      from: raft.id,
      to: raft.id,
      term: raft.term,
    });
    message.index = index;
    raft.Step(message);
  }

  /** What the configuration would become; null leaves a joint one. Changes nothing. */
  changed(changes: readonly MembershipChange[] | null): Changed {
    const changer = new Changer(this.raft.prs, this.raft.raftLog.lastIndex());
    if (changes === null) return changer.leaveJoint();
    return changes.length > 1
      ? changer.enterJoint(true, ...portChanges(changes))
      : changer.simple(...portChanges(changes));
  }

  /** The voter that is furthest along and answers; '' when there is none. */
  bestSuccessor(): string {
    const { raft } = this;
    let best = '';
    let match = 0;
    for (const [id, progress] of raft.prs.progress) {
      if (id === raft.id || progress.isLearner || !progress.recentActive || progress.match <= match) continue;
      if (!raft.prs.config.voters.config[0].map.has(id)) continue;
      best = id;
      match = progress.match;
    }
    return best;
  }
}

function loggerOf(options: ConsensusSettings): Logger {
  const fail = (format: string, ...values: unknown[]): never => {
    throw new InvariantError(fill(format, values), { node: options.id });
  };
  const at =
    (level: 'debug' | 'warn' | 'error') =>
    (format: string, ...values: unknown[]): void =>
      options.log(level, fill(format, values));
  // The port's "info" follows single messages: for an operator the changes of standing are enough.
  return {
    debugf: at('debug'),
    infof: at('debug'),
    warningf: at('warn'),
    errorf: at('error'),
    fatalf: fail,
    panicf: fail,
  };
}

/** Fills `%s`, `%d` and the like in order; objects by their own `toString`, never in depth. */
function fill(format: string, values: readonly unknown[]): string {
  let at = 0;
  return format.replace(/%[a-z]/g, (mark) => (at < values.length ? String(values[at++]) : mark));
}
