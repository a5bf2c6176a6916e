import { CampaignType, StateType } from '@coaty/consensus.raft/ported/raft.js';
import { Entry, Message, MessageType } from '@coaty/consensus.raft/ported/raftpb/raft.pb.js';
import { isResponseMsg } from '@coaty/consensus.raft/ported/util.js';
import { invariant } from '../base/invariant.js';
import { Durability } from './durability.js';
import { idOf, ridOf } from './ids.js';
import { LogRecord, MemoryLog } from './log.js';
import { checkChanges, decodeProposal, encodeProposal, MembershipError, membershipOf } from './membership.js';
import { Outbox, writeBehind } from './outbox.js';
import { Port } from './port.js';
import { Reads } from './reads.js';
import { peerProgress, roleOf } from './status.js';
import type {
  Consensus,
  ConsensusOptions,
  ConsensusSettings,
  ConsensusStatus,
  HardState,
  LogEntry,
  Membership,
  MembershipProposal,
  Output,
  Proposed,
  RaftId,
  RaftMessage,
  SnapshotMark,
  Standing,
} from './types.js';
import { markOf, unwrap, wrap } from './wire.js';

/** Bytes and number of committed entries in one output, so that applying them never takes long. */
const committedBytesMax = 4 * 1024 * 1024;
const committedCountMax = 10_000;

const noEntries: readonly LogEntry[] = [];
const noContext = new Uint8Array(0);

interface Gathered {
  readonly hardState: HardState | null;
  readonly entries: readonly LogEntry[];
  readonly snapshot: SnapshotMark | null;
  readonly number: number;
}

const nothingToWrite: Gathered = { hardState: null, entries: noEntries, snapshot: null, number: 0 };

/**
 * Raft as ported from etcd, v3.5, behind our interface: PreVote and CheckQuorum on, proposals never forwarded,
 * linearizable reads by ReadIndex. Throws `InvariantError` where the port would stop the process.
 */
export function createConsensus(options: ConsensusOptions): Consensus {
  return new PortedConsensus(options);
}

class PortedConsensus implements Consensus {
  readonly #options: ConsensusSettings;
  readonly #log: MemoryLog;
  readonly #port: Port;
  readonly #durability: Durability;
  readonly #outbox = new Outbox();
  readonly #reads: Reads;
  /** Hard state as last handed to the driver. */
  #written: HardState;
  /** Number of the write that holds the term and vote in force. */
  #officeWrite = 0;
  /** Last committed entry that the driver got. */
  #handed: number;
  #broadcast = false;
  /** Who need not wait for the next entries to hear of the commit index; null: all. */
  #hurried: ReadonlySet<string> | null = null;
  #allHear = false;
  #standing: Standing | null = null;
  #membership: { of: unknown; is: Membership } | null = null;

  /** The entries found are not to be held by anything but the log, which lets go of them. */
  constructor({ initial, archive, ...options }: ConsensusOptions) {
    this.#options = options;
    this.#log = new MemoryLog(initial, archive ?? null);
    this.#durability = new Durability(this.#log.lastIndex);
    this.#handed = initial.mark.index;
    this.#port = new Port(options, this.#log, {
      durable: () => this.#ownDurable(),
      broadcast: () => {
        this.#broadcast = true;
      },
    });
    const [hardState] = this.#log.InitialState();
    this.#written = { term: hardState.term, vote: idOf(hardState.vote), commit: hardState.commit };
    const nonce = [options.id, options.random(2 ** 32), options.random(2 ** 32)];
    this.#reads = new Reads(
      nonce.map((n) => n.toString(36)).join(':'),
      Math.max(2, options.heartbeatTicks * 2),
    );
  }

  tick(): void {
    this.#port.raft.tick();
    this.#reads.tick();
  }

  step(message: RaftMessage): void {
    const m = unwrap(message);
    const { raft } = this.#port;
    if (m.to !== raft.id || m.from === raft.id) return;
    if (isResponseMsg(m.type) && !raft.prs.progress.has(m.from)) return;
    if (m.type === MessageType.MsgReadIndex && !this.#admitQuestion(m)) return;
    if (
      m.type === MessageType.MsgAppResp &&
      this.#port.isLeader &&
      m.term === raft.term &&
      m.index > raft.raftLog.lastIndex()
    ) {
      this.#options.log('warn', `node ${m.from} speaks of entry ${m.index}, which this leader never sent`);
      return;
    }
    this.#port.step(m);
    this.#collectReads();
  }

  propose(entries: readonly Uint8Array[]): Proposed {
    const refused = this.#refusal();
    if (refused !== null) return refused;
    invariant(entries.length > 0, 'a proposal has entries');
    const { raft } = this.#port;
    let bytes = 0;
    for (const data of entries) bytes += data.length;
    // One proposal may be larger than the limit when nothing else waits, else it could never pass.
    const before = raft.uncommittedSize;
    if (before > 0 && bytes > 0 && before + bytes > this.#options.maxUncommittedBytes) return 'dropped';
    this.#port.append(entries.map((data) => new LogRecord(0, 0, 'command', data)));
    return 'accepted';
  }

  get uncommittedBytes(): number {
    return this.#port.raft.uncommittedSize;
  }

  proposeMembership(proposal: MembershipProposal): Proposed {
    const refused = this.#refusal();
    if (refused !== null) return refused;
    const { raft } = this.#port;
    const membership = this.#currentMembership();
    // One change at a time: the next may be proposed once this one is applied (and its joint phase is over).
    if (raft.pendingConfIndex > raft.raftLog.applied || membership.outgoing.length > 0) return 'dropped';
    checkChanges(membership, proposal.changes);
    const error = this.#port.changed(proposal.changes)[2];
    if (error !== null) throw new MembershipError(error.message);
    raft.pendingConfIndex = raft.raftLog.lastIndex() + 1;
    this.#port.append([new LogRecord(0, 0, 'membership', encodeProposal(proposal))]);
    return 'accepted';
  }

  take(): Output | null {
    this.#askReads();
    if (this.#broadcast) {
      this.#broadcast = false;
      if (this.#port.isLeader) this.#port.flush(this.#allHear ? null : this.#hurried);
      this.#allHear = false;
    }
    const write = this.#gatherWrite();
    const messages = this.#gatherMessages();
    const committed = this.#gatherCommitted();
    const reads = this.#reads.take();
    const standing = this.#changedStanding();
    const idle =
      write.number === 0 &&
      messages.length === 0 &&
      committed.length === 0 &&
      reads.length === 0 &&
      standing === null;
    if (idle) return null;
    return {
      hardState: write.hardState,
      entries: write.entries,
      snapshot: write.snapshot,
      mustSync: write.number > 0,
      messages,
      committed,
      reads,
      standing,
      write: write.number,
    };
  }

  persisted(write: number): void {
    this.#durability.persisted(write);
    if (this.#port.isLeader) {
      this.#port.ownDurable(this.#ownDurable());
      this.#collectReads();
    }
  }

  applied(index: number): void {
    const { raft } = this.#port;
    invariant(index <= this.#handed, 'only what was handed out is applied', { index, handed: this.#handed });
    const before = raft.raftLog.applied;
    if (index <= before) return;
    raft.raftLog.appliedTo(index);
    // What is handed out to be applied is durable, and nothing replaces it any more.
    this.#log.forget(index);
    if (!this.#port.isLeader) return;
    const { config } = raft.prs;
    if (config.autoLeave && before <= raft.pendingConfIndex && index >= raft.pendingConfIndex) {
      // The joint phase is in force everywhere it must be: an entry without data ends it.
      raft.pendingConfIndex = raft.raftLog.lastIndex() + 1;
      this.#port.append([new LogRecord(0, 0, 'membership')]);
    }
    const [incoming, outgoing] = config.voters.config;
    if (!incoming.map.has(raft.id) && !outgoing.map.has(raft.id)) this.stepDown();
  }

  applyMembership(entry: LogEntry): { membership: Membership; context: Uint8Array } {
    invariant(entry.kind === 'membership', 'a membership entry', { index: entry.index });
    invariant(entry.index <= this.#handed, 'only what was handed out is applied', { index: entry.index });
    const { raft } = this.#port;
    const proposal = entry.data.length === 0 ? null : decodeProposal(entry.data);
    const context = proposal?.context ?? noContext;
    if (entry.index <= raft.raftLog.applied || raft.raftLog.hasPendingSnapshot()) {
      // A snapshot came in between: its configuration is the newer one.
      return { membership: this.#currentMembership(), context };
    }
    const [config, progress, error] = this.#port.changed(proposal === null ? null : proposal.changes);
    if (error === null) {
      raft.switchToConfig(config, progress);
    } else {
      // Every node finds the same, for they all come from the same configuration.
      this.#options.log('warn', `membership entry ${entry.index} changes nothing: ${error.message}`);
    }
    return { membership: this.#currentMembership(), context };
  }

  hurry(ids: ReadonlySet<RaftId> | null): void {
    this.#hurried = ids === null ? null : new Set([...ids].map(ridOf));
  }

  get newsWaits(): boolean {
    return this.#port.newsWaits;
  }

  tellNews(): void {
    this.#allHear = true;
    this.#broadcast = true;
  }

  readIndex(context: string): boolean {
    if (!this.#port.raft.hasLeader()) return false;
    this.#reads.add(context);
    return true;
  }

  transferTo(id: RaftId): void {
    if (!this.#port.isLeader) return;
    this.#port.raft.Step(new Message({ type: MessageType.MsgTransferLeader, from: ridOf(id) }));
  }

  campaign(): void {
    const { raft } = this.#port;
    if (this.#port.isLeader || !raft.promotable()) return;
    // An election that began within this tick gets its chance; a later call starts anew.
    if (raft.state === StateType.StateCandidate && raft.electionElapsed === 0) return;
    raft.hup(CampaignType.campaignTransfer);
  }

  stepDown(): void {
    if (!this.#port.isLeader) return;
    const { raft } = this.#port;
    const successor = this.#port.bestSuccessor();
    if (successor !== '') raft.sendTimeoutNow(successor);
    raft.becomeFollower(raft.term, '');
  }

  reportUnreachable(id: RaftId): void {
    this.#port.raft.Step(new Message({ type: MessageType.MsgUnreachable, from: ridOf(id) }));
  }

  reportSnapshot(id: RaftId, ok: boolean): void {
    this.#port.raft.Step(new Message({ type: MessageType.MsgSnapStatus, from: ridOf(id), reject: !ok }));
  }

  compact(mark: SnapshotMark, keepFrom: number): void {
    const { applied } = this.#port.raft.raftLog;
    invariant(mark.index <= applied, 'a snapshot holds only what was applied', { mark: mark.index, applied });
    this.#log.compact(mark, keepFrom);
  }

  status(): ConsensusStatus {
    const { raft, isLeader } = this.#port;
    return {
      id: this.#options.id,
      role: roleOf(raft),
      term: raft.term,
      leader: idOf(raft.lead),
      vote: idOf(raft.vote),
      commit: raft.raftLog.committed,
      applied: raft.raftLog.applied,
      firstIndex: raft.raftLog.firstIndex(),
      lastIndex: raft.raftLog.lastIndex(),
      heldFrom: this.#log.heldFrom,
      durableIndex: this.#ownDurable(),
      membership: this.#currentMembership(),
      progress: isLeader ? peerProgress(raft) : [],
      snapshotWanted: isLeader && this.#log.snapshotWanted,
    };
  }

  /** What has not been handed out yet counts as not durable, even where an older entry of its index was. */
  #ownDurable(): number {
    return Math.min(this.#durability.index, this.#port.raft.raftLog.unstable.offset - 1);
  }

  #refusal(): Proposed | null {
    const { raft } = this.#port;
    if (!this.#port.isLeader) return 'not-leader';
    return raft.leadTransferee !== '' || !raft.prs.progress.has(raft.id) ? 'dropped' : null;
  }

  /**
   * False for a question that this node cannot answer (whoever asked will ask again). One that came before this
   * leader has committed in its term waits; the port keeps those, but for a lone voter it would answer at once
   * with an index that may be too old, and it would keep each repetition.
   */
  #admitQuestion(m: Message): boolean {
    const { raft } = this.#port;
    if (!this.#port.isLeader) return false;
    if (raft.committedEntryInCurrentTerm()) return true;
    raft.pendingReadIndexMessages = raft.pendingReadIndexMessages.filter((other) => other.from !== m.from);
    raft.pendingReadIndexMessages.push(m);
    return false;
  }

  #askReads(): void {
    if (!this.#reads.pending) return;
    const { raft, isLeader } = this.#port;
    if (!raft.hasLeader() || (isLeader && !raft.committedEntryInCurrentTerm())) return;
    const question = this.#reads.question(raft.lead, raft.term, isLeader);
    if (question === null) return;
    const m = new Message({ type: MessageType.MsgReadIndex });
    m.entries = [new Entry({ data: question })];
    raft.Step(m);
    this.#collectReads();
  }

  #collectReads(): void {
    const { raft } = this.#port;
    if (raft.readStates.length === 0) return;
    for (const { requestCtx, index } of raft.readStates) this.#reads.answer(String(requestCtx), index);
    raft.readStates = [];
  }

  #gatherWrite(): Gathered {
    const { raft } = this.#port;
    const { raftLog } = raft;
    const { unstable } = raftLog;
    const vote = idOf(raft.vote);
    const newOffice = raft.term !== this.#written.term || vote !== this.#written.vote;
    if (!newOffice && unstable.entries.length === 0 && unstable.snapshot === null) return nothingToWrite;

    let hardState: HardState | null = null;
    // The commit index alone is not worth a write: it can be learned again.
    if (newOffice || raftLog.committed !== this.#written.commit) {
      hardState = { term: raft.term, vote, commit: raftLog.committed };
      this.#written = hardState;
    }
    let first = 0;
    let last = 0;
    let snapshot: SnapshotMark | null = null;
    if (unstable.snapshot !== null) {
      snapshot = markOf(unstable.snapshot);
      // Until it is on disk, a restart finds the old log, of which only the committed part is the same.
      first = raftLog.applied + 1;
      last = snapshot.index;
      this.#log.restart(snapshot);
      raftLog.stableSnapTo(snapshot.index);
      raftLog.appliedTo(snapshot.index);
      this.#handed = snapshot.index;
    }
    const entries = unstable.entries as LogRecord[];
    if (entries.length > 0) {
      const end = entries[entries.length - 1]!;
      if (first === 0) first = entries[0]!.index;
      last = end.index;
      this.#log.append(entries);
      raftLog.stableTo(end.index, end.term);
    }
    const number = this.#durability.begin(first, last);
    if (newOffice) this.#officeWrite = number;
    return { hardState, entries, snapshot, number };
  }

  #gatherMessages(): readonly RaftMessage[] {
    const { raft } = this.#port;
    const { done, begun } = this.#durability;
    const leaving: Message[] = [];
    this.#outbox.release(done, raft.term, leaving);
    if (raft.msgs.length > 0) {
      for (const m of raft.msgs) {
        if (m.to === raft.id) continue;
        const write = writeBehind(m, begun, this.#officeWrite);
        if (write > done) this.#outbox.hold(m, write);
        else leaving.push(m);
      }
      raft.msgs = [];
    }
    return leaving.map(wrap);
  }

  #gatherCommitted(): readonly LogEntry[] {
    const { raft } = this.#port;
    const upTo = Math.min(raft.raftLog.committed, this.#durability.index);
    if (upTo <= this.#handed) return noEntries;
    // What comes from the disk is handed out piece by piece, so that no more than one of them is in memory.
    const fromDisk = this.#handed + 1 < this.#log.heldFrom;
    if (fromDisk && raft.raftLog.applied < this.#handed) return noEntries;
    const entries = this.#log.range(this.#handed + 1, upTo, committedBytesMax, committedCountMax);
    this.#handed = entries[entries.length - 1]!.index;
    raft.reduceUncommittedSize(entries);
    return entries;
  }

  #changedStanding(): Standing | null {
    const { raft } = this.#port;
    const role = roleOf(raft);
    const leader = idOf(raft.lead);
    const last = this.#standing;
    if (last !== null && last.role === role && last.term === raft.term && last.leader === leader) return null;
    this.#standing = { role, term: raft.term, leader };
    return this.#standing;
  }

  #currentMembership(): Membership {
    const { config } = this.#port.raft.prs;
    if (this.#membership === null || this.#membership.of !== config) {
      this.#membership = { of: config, is: membershipOf(config) };
    }
    return this.#membership.is;
  }
}
