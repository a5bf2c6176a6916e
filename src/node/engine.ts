import type { Timer } from '../base/clock.js';
import type { Consensus, LogEntry, Membership, Output, RaftMessage, Standing } from '../consensus/types.js';
import { GearmeshError } from '../core/errors.js';
import { createBatchBuilder, encodeNodeUp } from '../core/index.js';
import type { Core } from '../core/interface.js';
import type {
  CommandResult,
  Disposition,
  Effects,
  JobEventKind,
  LeaseLostReason,
  Refusal,
} from '../core/types.js';
import type { PeerFrame } from '../peer/types.js';
import type { SnapshotStore, Wal } from '../storage/types.js';
import type { Asking } from './asking.js';
import { Failover } from './failover.js';
import type { Disagreement } from './hashes.js';
import { Hashes } from './hashes.js';
import { LeaderDesk } from './leader-desk.js';
import { LiveData } from './live-data.js';
import { decodeMembers, type Member } from './members.js';
import type { NodeOptions } from './options.js';
import { Origin } from './origin.js';
import { Reads } from './reads.js';
import { Replica } from './replica.js';
import { Sessions } from './sessions.js';
import { Snapshotting } from './snapshotting.js';
import { type NodeStatus, readStatus, StatusBoard } from './status.js';
import { Supervisor } from './supervisor.js';
import { Turn } from './turn.js';
import { Watching } from './watching.js';

const STATUS_MS = 200;
const ACKNOWLEDGE_MS = 1_000;
const NODE_UP_AGAIN_MS = 300;
const BUSY_AGAIN_MS = 20;

export interface EngineParts {
  readonly options: NodeOptions;
  readonly core: Core;
  readonly consensus: Consensus;
  readonly wal: Wal;
  readonly store: SnapshotStore;
  readonly asking: Asking;
  /** Raft id and members as they stood at the start. */
  readonly raftId: number;
  readonly membership: Membership;
  readonly appliedTerm: number;
  readonly membersChanged: (members: readonly Member[]) => void;
  /** This node has its incarnation and applied it: it can serve. */
  readonly ready: () => void;
  /** The node counts as restarted for those who hold connections here. */
  readonly reborn: () => void;
  /** The state is now a snapshot's: durable, with the log behind it. */
  readonly installed: () => Promise<void>;
  readonly queuesChanged: () => void;
  /** A job was assigned to this session, whichever it is: the unary calls may wait for it. */
  readonly polled: (session: number) => void;
  /** After a run of applies. */
  readonly delivered: () => void;
}

/**
 * A node that belongs to a cluster, at work: consensus, log, state machine and what is attached to this node. Implements
 * the effects of apply by handing each to the part that it concerns.
 */
export class Engine implements Effects {
  readonly #parts: EngineParts;
  readonly #turn: Turn;
  readonly #replica: Replica;
  readonly #desk: LeaderDesk;
  readonly #supervisor: Supervisor;
  readonly #failover: Failover;
  readonly origin: Origin;
  readonly reads: Reads;
  readonly sessions: Sessions;
  readonly watching: Watching;
  readonly liveData: LiveData;
  readonly snapshotting: Snapshotting;
  readonly board: StatusBoard;
  readonly hashes: Hashes;
  #members: readonly Member[];
  #membership: Membership;
  #appliedTerm: number;
  #nonce: number;
  #standing: Standing;
  #leaderless: number;
  #inOwnBatch = false;
  #leaving = false;
  #stopped = false;
  #quietIndex = 0;
  #diskLow = false;
  #redirected = false;
  #timers: Timer[] = [];

  constructor(parts: EngineParts) {
    this.#parts = parts;
    const { options, core, consensus } = parts;
    const { clock, log, observer } = options;
    this.#membership = parts.membership;
    this.#members = decodeMembers(core.members) ?? [];
    this.#appliedTerm = parts.appliedTerm;
    this.#nonce = options.random.below(2 ** 32);
    const { role, term, leader } = consensus.status();
    this.#standing = { role, term, leader };
    this.#leaderless = clock.monotonicMs();
    const askTurn = (): void => this.#turn.ask();
    this.#turn = new Turn(clock, () => this.#work());
    this.board = new StatusBoard(clock);
    this.hashes = new Hashes(() => core.stateHash());
    this.origin = new Origin({
      core,
      builder: createBatchBuilder(),
      clock,
      log,
      observer,
      pendingBytesMax: options.pendingBytesMax,
      deliver: (incarnation, seq, bytes) => this.#deliver(incarnation, seq, bytes),
      askTurn,
    });
    this.liveData = new LiveData({
      clock,
      peers: () => this.#peerNames().filter((name) => options.transport.isConnected(name)),
      send: (peer, bytes) => options.transport.send(peer, 'data', { type: 'events', bytes }),
    });
    this.sessions = new Sessions({ core, clock, origin: this.origin, liveData: this.liveData, observer });
    this.watching = new Watching({ core, clock, liveData: this.liveData });
    this.reads = new Reads({
      clock,
      appliedIndex: () => core.appliedIndex,
      readIndex: (context) => consensus.readIndex(context),
      askTurn,
    });
    this.#desk = new LeaderDesk({ core, consensus, clock, log, askTurn });
    this.snapshotting = new Snapshotting({
      core,
      consensus,
      wal: parts.wal,
      store: parts.store,
      transport: options.transport,
      clock,
      log,
      observer,
      everyLogBytes: options.snapshotLogBytes,
      keepLogBytes: options.keepLogBytes,
      nameOf: (id) => this.#nameOf(id),
      termAt: () => this.#appliedTerm,
      membership: () => this.#membership,
      arrived: (message) => this.step([message]),
      fatal: (error) => this.#fatal(error),
    });
    this.#supervisor = new Supervisor({
      core,
      clock,
      log,
      timings: options.timings,
      board: this.board,
      ownName: options.name,
      connected: (name) => options.transport.isConnected(name),
      nodeDown: (incarnation) => this.#order(32, (builder) => builder.nodeDown(incarnation)),
      nodeStalled: (incarnation, stalled) =>
        this.#order(32, (builder) => builder.nodeStalled(incarnation, stalled)),
    });
    this.#failover = new Failover({
      clock,
      random: options.random,
      log,
      asking: parts.asking,
      probe: (name, ms) => options.transport.probe(name, ms),
      otherVoters: () => this.#otherVoters(),
      standing: () => ({ leader: this.leaderName, term: this.#standing.term }),
      lastLog: () => ({ term: this.#standing.term, index: consensus.status().lastIndex }),
      campaign: () => {
        consensus.campaign();
        askTurn();
      },
    });
    this.#replica = new Replica({
      consensus,
      wal: parts.wal,
      clock,
      log,
      observer,
      send: (messages) => this.#send(messages),
      apply: (entry) => this.#apply(entry),
      applied: (index) => this.#applied(index),
      reads: (reads) => this.reads.answered(reads),
      standing: (standing) => this.#stand(standing),
      install: (output) => this.#install(output),
      fatal: (error) => this.#fatal(error),
    });
  }

  start(): void {
    const { clock, timings } = this.#parts.options;
    this.#every(timings.heartbeatMs, () => {
      this.#parts.consensus.tick();
      this.#turn.ask();
    });
    this.#every(STATUS_MS, () => this.#status());
    this.#every(ACKNOWLEDGE_MS, () => this.sessions.acknowledge());
    this.#every(NODE_UP_AGAIN_MS, () => {
      if (this.origin.incarnation === 0) this.#proposeNodeUp();
    });
    this.#leaderless = clock.monotonicMs();
    this.#turn.ask();
  }

  /** Ends all work at once: nothing more is written, sent or applied. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    for (const timer of this.#timers) timer.cancel();
    this.#desk.close();
    this.#failover.stop();
    this.origin.close();
    this.reads.close();
    await this.snapshotting.stop();
    await this.#replica.stop();
  }

  /** Own name for this incarnation in the log is taken back; to be called once nothing is under way any more. */
  leave(): Promise<void> {
    this.#leaving = true;
    const { incarnation } = this.origin;
    if (incarnation === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.origin.propose({
        bytes: 32,
        repeatable: false,
        encode: (builder) => builder.nodeDown(incarnation),
        done: () => resolve(),
        failed: () => resolve(),
      });
    });
  }

  get members(): readonly Member[] {
    return this.#members;
  }

  get standing(): Standing {
    return this.#standing;
  }

  get leaderName(): string {
    return this.#standing.leader === 0 ? '' : (this.#nameOf(this.#standing.leader) ?? '');
  }

  get isOpenLeader(): boolean {
    return this.#desk.isOpen;
  }

  /** Milliseconds without a leader that this node can reach, 0 while there is one. */
  get leaderlessMs(): number {
    return this.#hasLeader() ? 0 : this.#parts.options.clock.monotonicMs() - this.#leaderless;
  }

  get diskLow(): boolean {
    if (this.#diskLow) return true;
    const leader = this.board.of(this.leaderName);
    return leader?.status.diskLow ?? false;
  }

  setDiskLow(low: boolean): void {
    this.#diskLow = low;
  }

  get nonce(): number {
    return this.#nonce;
  }

  step(messages: readonly RaftMessage[]): void {
    if (this.#stopped) return;
    for (const message of messages) this.#parts.consensus.step(message);
    this.#turn.ask();
  }

  askTurn(): void {
    this.#turn.ask();
  }

  frame(from: string, frame: PeerFrame): void {
    switch (frame.type) {
      case 'raft':
        this.step(frame.messages);
        return;
      case 'batch':
        this.#batch(from, frame);
        return;
      case 'batch-refused':
        this.#refused(from, frame);
        return;
      case 'events':
        this.liveData.frame(from, frame.bytes);
        return;
      case 'piece':
        this.snapshotting.piece(from, frame);
        return;
      default:
        return;
    }
  }

  heardStatus(from: string, body: unknown): void {
    const status = readStatus(body);
    if (status === null) return;
    this.board.heard(from, status);
    const found = this.hashes.heard(from, status);
    if (found !== null) this.#diverged(found);
  }

  leaderLost(body: unknown): Promise<unknown> {
    return this.#failover.answer(body);
  }

  peerConnected(name: string): void {
    this.board.connected(name);
    this.liveData.peerConnected(name);
    if (name === this.leaderName) this.origin.resendFrom(0);
    this.#turn.ask();
  }

  peerLost(name: string): void {
    this.board.lost(name);
    this.liveData.peerLost(name);
    this.snapshotting.peerLost(name);
    const id = this.#members.find((member) => member.name === name)?.raftId;
    if (id !== undefined && this.#standing.role === 'leader') this.#parts.consensus.reportUnreachable(id);
    this.#failover.peerLost(name);
  }

  transferTo(name: string): boolean {
    const member = this.#members.find((one) => one.name === name);
    if (member === undefined || this.#standing.role !== 'leader') return false;
    this.#parts.consensus.transferTo(member.raftId);
    this.#turn.ask();
    return true;
  }

  // Effects of apply.

  batchStart(incarnation: number, seq: number): boolean {
    this.#inOwnBatch = this.origin.batchStart(incarnation, seq);
    return this.#inOwnBatch;
  }

  batchEnd(): void {
    if (!this.#inOwnBatch) return;
    this.#inOwnBatch = false;
    this.origin.batchEnd(this.#applyingIndex);
  }

  batchSkipped(incarnation: number, _seq: number, expected: number): void {
    this.origin.batchSkipped(incarnation, expected);
  }

  submitted(
    position: number,
    disposition: Disposition,
    seq: number,
    refusal: Refusal | null,
    limit: string,
    limitValue: number,
  ): void {
    this.origin.submitted(position, disposition, seq, refusal, limit, limitValue);
  }

  outcome(position: number, token: number, refusal: Refusal | null, revision: number): void {
    this.origin.outcome(position, token, refusal, revision);
  }

  command(position: number, result: CommandResult): void {
    this.origin.command(position, result);
  }

  assigned(session: number, epoch: number, seq: number, token: number): void {
    this.#parts.polled(session);
    this.sessions.assigned(session, epoch, seq, token, this.#inOwnBatch);
  }

  leaseLost(session: number, epoch: number, seq: number, token: number, reason: LeaseLostReason): void {
    this.liveData.leaseEnded(seq);
    this.sessions.leaseLost(session, epoch, token, reason);
  }

  cancelRequested(
    session: number,
    epoch: number,
    _seq: number,
    token: number,
    reason: string,
    graceMs: number,
  ): void {
    this.sessions.cancelRequested(session, epoch, token, reason, graceMs);
  }

  job(seq: number, kind: JobEventKind): void {
    if (kind === 'ended') this.liveData.leaseEnded(seq);
    this.watching.job(seq, kind);
  }

  sessionDetached(session: number, epoch: number): void {
    this.sessions.detached(session, epoch);
  }

  sessionClosed(session: number): void {
    this.sessions.closed(session);
  }

  nodeUp(name: string, nonce: number, incarnation: number): void {
    if (name !== this.#parts.options.name || nonce !== this.#nonce) return;
    if (this.origin.incarnation === incarnation) return;
    this.origin.begin(incarnation);
    this.#parts.ready();
  }

  nodeRetired(incarnation: number): void {
    if (incarnation !== this.origin.incarnation || this.#leaving) return;
    this.#parts.options.log.warn({ incarnation }, 'the cluster declared this node down; it reports back');
    this.#reborn('none');
  }

  #applyingIndex = 0;

  #work(): void {
    if (this.#stopped) return;
    this.origin.flush();
    this.reads.flush();
    this.#desk.flush();
    this.#replica.pump();
  }

  #apply(entry: LogEntry): void {
    const { core, consensus } = this.#parts;
    this.#applyingIndex = entry.index;
    this.#appliedTerm = entry.term;
    if (entry.kind === 'membership') {
      const { membership, context } = consensus.applyMembership(entry);
      this.#membership = membership;
      const members = context.length > 0 ? decodeMembers(context) : null;
      if (members === null || members.length === 0) {
        core.skip(entry.index);
      } else {
        core.setMembers(entry.index, context);
        this.#members = members;
        this.#parts.membersChanged(members);
      }
    } else if (entry.data.length === 0) {
      core.skip(entry.index);
    } else {
      core.apply(entry.index, entry.data, this);
    }
    this.snapshotting.entryApplied(entry.index, entry.data.length + 64);
    this.hashes.applied(entry.index);
    if (!this.#desk.isOpen && this.#standing.role === 'leader' && entry.term === this.#standing.term) {
      this.#openDesk();
    }
  }

  #applied(index: number): void {
    this.sessions.deliver();
    this.#parts.delivered();
    this.reads.applied(index);
    this.#desk.afterApply();
    this.snapshotting.check();
    this.#parts.queuesChanged();
  }

  #openDesk(): void {
    this.#desk.open(this.#standing.term);
    this.#supervisor.reset();
    for (const name of this.#peerNames()) {
      this.#parts.options.transport.send(name, 'control', {
        type: 'batch-refused',
        incarnation: 0,
        resendFrom: 0,
        reason: 'ready',
      });
    }
    this.origin.resendFrom(0);
    if (this.origin.incarnation === 0) this.#proposeNodeUp();
  }

  #stand(standing: Standing): void {
    const { log, observer, clock } = this.#parts.options;
    const before = this.#standing;
    this.#standing = standing;
    if (standing.role !== 'leader') this.#desk.close();
    if (standing.leader === before.leader && standing.term === before.term) return;
    if (standing.leader === 0) {
      if (before.leader !== 0) this.#leaderless = clock.monotonicMs();
      return;
    }
    if (standing.leader === before.leader) return;
    const leader = this.leaderName;
    log.info({ leader, term: standing.term }, 'leader known');
    observer.leaderChanged(leader, standing.term);
    this.#redirected = false;
    this.reads.askAgain();
    this.origin.resendFrom(0);
    if (this.origin.incarnation === 0) this.#proposeNodeUp();
  }

  async #install(output: Output): Promise<void> {
    const { core, consensus, wal, store, options } = this.#parts;
    const mark = output.snapshot!;
    const restorer = core.beginRestore();
    for await (const page of store.pages()) restorer.page(page.key, page.bytes);
    restorer.finish();
    const { term, vote, commit } = consensus.status();
    await wal.reset(mark, output.hardState ?? { term, vote, commit });
    await this.#parts.installed();
    this.#membership = mark.membership;
    this.#appliedTerm = mark.term;
    this.#members = decodeMembers(core.members) ?? [];
    this.#parts.membersChanged(this.#members);
    this.snapshotting.installed();
    options.log.info({ index: mark.index }, 'state replaced by a snapshot');
    // Effects of the entries that were skipped were missed here (waiters, sessions): the node counts as restarted.
    this.#reborn('unknown');
    this.watching.resync();
    this.reads.applied(core.appliedIndex);
  }

  #reborn(applied: 'none' | 'unknown'): void {
    this.origin.retire(applied);
    this.sessions.endAll(
      new GearmeshError('SESSION_UNKNOWN', { message: 'the node lost touch with the cluster; attach again' }),
    );
    this.#nonce = this.#parts.options.random.below(2 ** 32);
    this.#parts.reborn();
    this.#proposeNodeUp();
  }

  #proposeNodeUp(): void {
    if (this.#leaving || this.#stopped) return;
    const { options } = this.#parts;
    const bytes = encodeNodeUp({
      name: options.name,
      nonce: this.#nonce,
      grpc: options.advertised.grpc,
      http: options.advertised.http,
      version: options.version,
    });
    this.#deliver(0, 0, bytes);
  }

  #deliver(incarnation: number, seq: number, bytes: Uint8Array): boolean {
    const { transport, name } = this.#parts.options;
    const leader = this.leaderName;
    if (leader === '') return false;
    if (leader !== name) return transport.send(leader, 'data', { type: 'batch', incarnation, seq, bytes });
    if (!this.#desk.isOpen) return false;
    return this.#desk.accept(incarnation, seq, bytes) === null;
  }

  #batch(from: string, frame: Extract<PeerFrame, { type: 'batch' }>): void {
    // Not (yet) in office: the origin sends again when it learns of the leader, or when the leader says it is ready.
    if (!this.#desk.isOpen) return;
    const resendFrom = this.#desk.accept(frame.incarnation, frame.seq, frame.bytes);
    if (resendFrom === null || resendFrom === 0) return;
    this.#parts.options.transport.send(from, 'control', {
      type: 'batch-refused',
      incarnation: frame.incarnation,
      resendFrom,
      reason: resendFrom === frame.seq ? 'busy' : 'gap',
    });
  }

  #refused(from: string, frame: Extract<PeerFrame, { type: 'batch-refused' }>): void {
    if (from !== this.leaderName) return;
    if (frame.reason === 'ready') {
      this.origin.resendFrom(0);
      if (this.origin.incarnation === 0) this.#proposeNodeUp();
      return;
    }
    if (frame.incarnation !== this.origin.incarnation) return;
    if (frame.reason === 'busy') {
      this.#parts.options.clock.setTimer(BUSY_AGAIN_MS, () => this.origin.resendFrom(frame.resendFrom));
    } else {
      this.origin.resendFrom(frame.resendFrom);
    }
  }

  /** Control messages on a connection of their own; what follows one peer's queue is dropped by the transport and told to Raft. */
  #send(messages: readonly RaftMessage[]): void {
    const { transport } = this.#parts.options;
    let grouped: Map<string, { control: RaftMessage[]; data: RaftMessage[] }> | null = null;
    for (const message of messages) {
      const name = this.#nameOf(message.to);
      if (name === null) continue;
      if (message.snapshot !== null) {
        this.snapshotting.send(message);
        continue;
      }
      grouped ??= new Map();
      let group = grouped.get(name);
      if (group === undefined) {
        group = { control: [], data: [] };
        grouped.set(name, group);
      }
      (message.control ? group.control : group.data).push(message);
    }
    if (grouped === null) return;
    for (const [name, { control, data }] of grouped) {
      if (control.length > 0) transport.send(name, 'control', { type: 'raft', messages: control });
      if (data.length > 0 && !transport.send(name, 'data', { type: 'raft', messages: data })) {
        this.#parts.consensus.reportUnreachable(data[0]!.to);
      }
    }
  }

  #status(): void {
    const { core, consensus, wal, options } = this.#parts;
    const status = consensus.status();
    if (core.appliedIndex === this.#quietIndex) this.hashes.quiet(core.appliedIndex);
    this.#quietIndex = core.appliedIndex;
    const { index: hashIndex, hash } = this.hashes.newest;
    const word: NodeStatus = {
      role: status.role,
      term: status.term,
      leader: this.leaderName,
      applied: core.appliedIndex,
      commit: status.commit,
      lastIndex: status.lastIndex,
      logBytes: wal.bytes,
      diskLow: this.#diskLow,
      hashIndex,
      hash,
    };
    for (const name of this.#peerNames()) {
      if (!options.transport.isConnected(name)) continue;
      this.#parts.asking.ask(name, 'status', word, STATUS_MS * 5).catch(() => {});
    }
    this.origin.check();
    if (this.#desk.isOpen) this.#supervisor.look(status.commit);
    if (status.role === 'leader' && !status.membership.voters.includes(this.#parts.raftId)) {
      // etcd's core keeps a leader in office that removed itself; it must give the office up by our hand.
      if (!status.membership.outgoing.includes(this.#parts.raftId)) consensus.stepDown();
    }
    this.#sendWorkersAway();
  }

  /** Workers are sent elsewhere only after a while without a leader, and only to nodes that have one. */
  #sendWorkersAway(): void {
    const { timings } = this.#parts.options;
    if (this.#redirected || this.sessions.size === 0 || this.leaderlessMs < timings.redirectMs) return;
    const better: string[] = [];
    for (const [name, known] of this.board.all()) {
      if (this.board.reachableSince(name) === 0 || known.status.leader === '') continue;
      const grpc = this.#parts.options.transport.hello(name)?.grpc;
      if (grpc !== undefined && grpc !== '') better.push(grpc);
    }
    if (better.length === 0) return;
    this.#redirected = true;
    this.sessions.redirect(better, 'this node has no leader');
  }

  #diverged(found: Disagreement): void {
    const { log } = this.#parts.options;
    const against = [...found.others.values()];
    log.error(
      { index: found.index, own: found.own, others: Object.fromEntries(found.others) },
      'state hashes differ at one index',
    );
    const most = against.filter((hash) => hash === against[0]).length;
    if (against[0] !== found.own && most === against.length && most * 2 > this.#members.length - 1) {
      if (this.#members.length > 2 && most >= 2) {
        this.#fatal(
          new Error(
            `the state of this node differs from the majority's at index ${found.index}: it stops; empty its data directory and bring it back with gearmesh cluster replace`,
          ),
        );
      }
    }
  }

  #order(bytes: number, encode: Parameters<Origin['propose']>[0]['encode']): void {
    this.origin.propose({ bytes, repeatable: false, encode, done: () => {}, failed: () => {} });
  }

  #hasLeader(): boolean {
    const leader = this.leaderName;
    if (leader === '') return false;
    return leader === this.#parts.options.name || this.#parts.options.transport.isConnected(leader);
  }

  #peerNames(): string[] {
    const own = this.#parts.options.name;
    return this.#members.filter((member) => member.name !== own).map((member) => member.name);
  }

  #otherVoters(): readonly string[] | null {
    const { voters } = this.#membership;
    if (!voters.includes(this.#parts.raftId)) return null;
    const others: string[] = [];
    for (const id of voters) {
      const name = this.#nameOf(id);
      if (id !== this.#parts.raftId && name !== null) others.push(name);
    }
    return others;
  }

  #nameOf(raftId: number): string | null {
    for (const member of this.#members) if (member.raftId === raftId) return member.name;
    return null;
  }

  #every(ms: number, work: () => void): void {
    const at = this.#timers.length;
    const again = (): void => {
      this.#timers[at] = this.#parts.options.clock.setTimer(ms, () => {
        if (this.#stopped) return;
        work();
        again();
      });
    };
    again();
  }

  #fatal(error: Error): void {
    if (this.#stopped) return;
    void this.stop();
    this.#parts.options.onFatal(error);
  }
}
