import type { LogEntry, Membership, Output, RaftMessage, Standing } from '../consensus/types.js';
import { createBatchBuilder } from '../core/index.js';
import type { PeerFrame } from '../peer/types.js';
import type { Blobs } from './blobs/blobs.js';
import { blobsOf } from './engine-blobs.js';
import type { EngineParts } from './engine-parts.js';
import { snapshotsOf } from './engine-snapshots.js';
import { Failover } from './failover.js';
import { Hashes } from './hashes.js';
import { type Receivers, receive } from './incoming.js';
import { install } from './install.js';
import { LeaderContact } from './leader-contact.js';
import { LeaderDesk } from './leader-desk.js';
import { LiveData } from './live-data.js';
import { LocalEffects } from './local-effects.js';
import { decodeMembers, type Member, nameOfPeer, otherNames, otherVoters } from './members.js';
import { News } from './news.js';
import { Origin, order } from './origin.js';
import { Post } from './post.js';
import { Presence } from './presence.js';
import { Reads } from './reads.js';
import { Replica } from './replica.js';
import { ROUND_MS, Rounds } from './rounds.js';
import { goesOn, Sessions } from './sessions.js';
import type { Snapshotting } from './snapshotting.js';
import { StatusBoard } from './status.js';
import { Supervisor } from './supervisor.js';
import { Repeated, Turn } from './turn.js';
import { Waiters } from './waiters.js';
import { Watching } from './watching.js';

const ACKNOWLEDGE_MS = 1_000;
const NODE_UP_AGAIN_MS = 300;
const BLOBS_MS = 1_000;

/** A node that belongs to a cluster, at work: consensus, log, state machine and what is attached to this node. */
export class Engine {
  readonly #parts: EngineParts;
  readonly #turn: Turn;
  readonly #repeated: Repeated;
  readonly #replica: Replica;
  readonly #desk: LeaderDesk;
  readonly #supervisor: Supervisor;
  readonly #failover: Failover;
  readonly #post: Post;
  readonly #receivers: Receivers;
  readonly #rounds: Rounds;
  readonly #news: News;
  readonly #effects: LocalEffects;
  readonly #presence: Presence;
  readonly #contact: LeaderContact;
  readonly origin: Origin;
  readonly reads: Reads;
  readonly sessions: Sessions;
  readonly watching: Watching;
  readonly waiters: Waiters;
  readonly liveData: LiveData;
  readonly snapshotting: Snapshotting;
  readonly board: StatusBoard;
  readonly hashes: Hashes;
  readonly blobs: Blobs;
  readonly #nameOf: (id: number) => string | null;
  #members: readonly Member[];
  #membership: Membership;
  #appliedTerm: number;
  #standing: Standing;
  #draining = false;
  #stopped = false;
  #diskLow = false;

  constructor(parts: EngineParts) {
    this.#parts = parts;
    const { options, core, consensus } = parts;
    const { clock, log, observer } = options;
    this.#membership = parts.membership;
    this.#members = parts.members;
    this.#nameOf = (id) => nameOfPeer(this.#members, options.transport, id);
    this.#appliedTerm = parts.appliedTerm;
    const { role, term, leader } = consensus.status();
    this.#standing = { role, term, leader };
    this.#contact = new LeaderContact(clock, () => this.#hasLeader());
    const { askTurn } = this;
    this.#turn = new Turn(clock, () => this.#work());
    this.#repeated = new Repeated(clock);
    const voters = (): readonly string[] | null => otherVoters(this.#members, this.#membership, parts.raftId);
    const { clockSkewMaxMs: limitMs } = options.timings;
    this.board = new StatusBoard({ clock, core, limitMs, otherVoters: voters });
    this.hashes = new Hashes(() => core.stateHash());
    this.blobs = blobsOf(parts, {
      members: () => this.#members,
      membership: () => this.#membership,
      installing: () => this.installing,
      hasLeader: () => this.#hasLeader(),
      diskLow: () => this.#diskLow,
      fatal: (error) => this.#fatal(error),
    });
    this.origin = new Origin({
      core,
      builder: createBatchBuilder((ref) => this.blobs.claims.countOf(ref)),
      clock,
      log,
      observer,
      pendingBytesMax: options.pendingBytesMax,
      deliver: (incarnation, seq, bytes) => this.#post.deliver(incarnation, seq, bytes),
      leaderInReach: () => this.#post.leaderInReach,
      askTurn,
    });
    this.#presence = new Presence({
      options,
      origin: this.origin,
      deliver: (bytes) => {
        if (!this.#stopped) this.#post.deliver(0, 0, bytes);
      },
      begun: parts.ready,
    });
    this.liveData = new LiveData({
      clock,
      peers: () => this.#peerNames().filter((name) => options.transport.isConnected(name)),
      send: (peer, bytes) => options.transport.send(peer, 'data', { type: 'events', bytes }),
    });
    this.sessions = new Sessions({
      core,
      clock,
      origin: this.origin,
      liveData: this.liveData,
      observer,
      naming: this.blobs,
    });
    this.watching = new Watching({ core, clock, liveData: this.liveData });
    this.waiters = new Waiters(core, this.origin);
    this.reads = new Reads({
      clock,
      appliedIndex: () => core.appliedIndex,
      readIndex: (context) => consensus.readIndex(context),
      askTurn,
    });
    this.#desk = new LeaderDesk({ core, consensus, clock, clocks: this.board.clocks, askTurn });
    const { board } = this;
    this.#news = new News({ clock, consensus, board, nameOf: this.#nameOf, askTurn });
    this.#post = new Post({
      ownName: options.name,
      transport: options.transport,
      clock,
      consensus,
      desk: this.#desk,
      origin: () => this.origin,
      snapshotting: () => this.snapshotting,
      news: this.#news,
      leaderName: () => this.leaderName,
      nameOf: this.#nameOf,
      peerNames: () => this.#peerNames(),
      proposeNodeUp: () => this.#presence.propose(),
    });
    this.#effects = new LocalEffects({
      origin: this.origin,
      sessions: this.sessions,
      watching: this.watching,
      liveData: this.liveData,
      blobs: this.blobs,
      polled: parts.polled,
      nodeUp: (name, nonce, incarnation) => this.#presence.up(name, nonce, incarnation),
      nodeRetired: (incarnation) => this.#nodeRetired(incarnation),
    });
    this.#rounds = new Rounds({
      options,
      core,
      consensus,
      wal: parts.wal,
      asking: parts.asking,
      board: this.board,
      hashes: this.hashes,
      sessions: this.sessions,
      raftId: parts.raftId,
      leaderName: () => this.leaderName,
      leaderlessMs: () => this.leaderlessMs,
      peerNames: () => this.#peerNames(),
      members: () => this.#members.length,
      diskLow: () => this.#diskLow,
      transferTo: (name) => this.transferTo(name),
      draining: () => this.#draining,
      attached: () => this.sessions.size + this.watching.size > 0 || parts.polling(),
      news: this.#news,
      takeSnapshot: () => void this.snapshotting.take(),
      astray: (index) => this.#parts.astray(index),
      clockRead: () => this.#desk.clockRead(),
    });
    this.snapshotting = snapshotsOf(parts, {
      turns: this.#rounds.turns,
      nameOf: this.#nameOf,
      termAt: () => this.#appliedTerm,
      membership: () => this.#membership,
      arrived: (message) => {
        this.step([message]);
        this.#replica.pump(); // at once: nothing may come between
      },
      fatal: (error) => this.#fatal(error),
    });
    const { liveData, snapshotting, blobs } = this;
    const step = this.step.bind(this);
    this.#receivers = { step, post: this.#post, liveData, snapshotting, blobs };
    this.#supervisor = new Supervisor({
      core,
      clock,
      log,
      timings: options.timings,
      board: this.board,
      ownName: options.name,
      nodeDown: (incarnation) => order(this.origin, (one) => one.nodeDown(incarnation)),
      nodeStalled: (incarnation, stalled) =>
        order(this.origin, (one) => one.nodeStalled(incarnation, stalled)),
    });
    this.#failover = new Failover({
      ownName: options.name,
      clock,
      random: options.random,
      log,
      asking: parts.asking,
      probe: (name, ms) => options.transport.probe(name, ms),
      otherVoters: voters,
      standing: () => ({ leader: this.leaderName, term: this.#standing.term }),
      lastLog: () => ({ term: this.#appliedTerm, index: consensus.status().lastIndex }),
      clockOff: () => this.board.clocks.judge()?.isOff ?? false,
      campaign: () => this.#campaign(),
    });
    this.#replica = new Replica({
      consensus,
      wal: parts.wal,
      clock,
      observer,
      send: (messages) => this.#post.raft(messages),
      apply: (entry) => this.#apply(entry),
      applied: (index) => this.#applied(index),
      reads: (reads) => this.reads.answered(reads),
      standing: (standing) => this.#stand(standing),
      install: (output) => this.#install(output),
      fatal: (error) => this.#fatal(error),
    });
  }

  start(): void {
    const { timings } = this.#parts.options;
    this.#repeated.every(timings.heartbeatMs, () => {
      this.#parts.consensus.tick();
      this.#turn.ask();
    });
    this.#repeated.every(ROUND_MS, () => this.#round());
    this.#repeated.every(ACKNOWLEDGE_MS, () => this.sessions.acknowledge());
    this.#repeated.every(BLOBS_MS, () => this.blobs.look());
    this.#repeated.every(NODE_UP_AGAIN_MS, () => this.#presence.proposeIfMissing());
    this.#contact.look();
    this.#turn.ask();
  }

  /** Ends all work at once: nothing more is written, sent or applied. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#repeated.stop();
    this.#desk.close();
    this.#failover.stop();
    this.origin.close();
    this.reads.close();
    this.blobs.stop();
    await this.snapshotting.stop();
    await this.#replica.stop();
  }

  /** Own name for this incarnation in the log is taken back; to be called once nothing is under way any more. */
  leave(): Promise<void> {
    return this.#presence.leave();
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
    return this.#contact.lostMs;
  }

  get diskLow(): boolean {
    if (this.#diskLow) return true;
    const leader = this.board.of(this.leaderName);
    return leader?.status.diskLow ?? false;
  }

  /** A snapshot takes the place of the state: there is nothing to read. */
  get installing(): boolean {
    return this.#replica.installing;
  }

  /** The others learn at once that this node is being stopped. */
  startDraining(): void {
    this.#draining = true;
    this.#rounds.tell();
  }

  setDiskLow(low: boolean): void {
    this.#diskLow = low;
  }

  step(messages: readonly RaftMessage[]): void {
    if (this.#stopped) return;
    for (const message of messages) this.#parts.consensus.step(message);
    this.#turn.ask();
  }

  readonly askTurn = (): void => this.#turn.ask();

  /**
   * Work is taken from members alone: a disk that is still empty may be connected under any name, and answers questions.
   * Throws MalformedBytesError.
   */
  frame(from: string, frame: PeerFrame): void {
    if (!this.#members.some((member) => member.name === from)) return;
    receive(this.#receivers, from, frame);
  }

  heardStatus(from: string, body: unknown): void {
    this.#rounds.heard(from, body);
  }

  leaderLost(body: unknown): Promise<unknown> {
    return this.#failover.answer(body);
  }

  peerConnected(name: string): void {
    this.board.connected(name);
    this.liveData.peerConnected(name);
    this.blobs.peerConnected();
    this.#contact.look();
    if (name === this.leaderName) this.origin.resendFrom(0);
    this.#turn.ask();
  }

  peerLost(name: string): void {
    this.board.lost(name);
    this.liveData.peerLost(name);
    this.blobs.peerLost(name);
    this.snapshotting.peerLost(name);
    this.#contact.look();
    const id = this.#members.find((member) => member.name === name)?.raftId;
    if (id !== undefined && this.#standing.role === 'leader') this.#parts.consensus.reportUnreachable(id);
    this.#failover.peerLost(name);
  }

  campaignIfLeaderless(): void {
    if (this.#standing.leader === 0 && !this.#stopped) this.#campaign();
  }

  transferTo(name: string): boolean {
    const member = this.#members.find((one) => one.name === name);
    if (member === undefined || this.#standing.role !== 'leader') return false;
    this.#parts.consensus.transferTo(member.raftId);
    this.#turn.ask();
    return true;
  }

  #campaign(): void {
    this.#parts.consensus.campaign();
    this.#turn.ask();
  }

  #nodeRetired(incarnation: number): void {
    if (incarnation !== this.origin.incarnation || this.#presence.leaving) return;
    this.#parts.options.log.warn({ incarnation }, 'the cluster declared this node down; it reports back');
    this.#reborn('none');
  }

  #round(): void {
    this.#rounds.make();
    this.origin.check();
    if (this.#desk.isOpen) this.#supervisor.look(this.#parts.consensus.status().commit);
  }

  #work(): void {
    if (this.#stopped) return;
    this.origin.flush();
    this.reads.flush();
    this.#desk.flush();
    this.#replica.pump();
  }

  #apply(entry: LogEntry): void {
    const { core, consensus } = this.#parts;
    this.#effects.index = entry.index;
    this.#appliedTerm = entry.term;
    if (entry.kind === 'membership') {
      const { membership, context } = consensus.applyMembership(entry);
      this.#membership = membership;
      const members = context.length > 0 ? decodeMembers(context) : null;
      const told = members !== null && members.length > 0;
      core.setMembers(entry.index, told ? context : null);
      if (told) {
        this.#members = members;
        this.#parts.membersChanged(members);
      }
      this.blobs.membershipChanged();
    } else if (entry.data.length === 0) {
      core.skip(entry.index);
    } else {
      core.apply(entry.index, entry.data, this.#effects);
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
    this.#news.look();
    this.snapshotting.check();
    this.#parts.queuesChanged();
  }

  #openDesk(): void {
    this.#desk.open(this.#standing.term);
    this.#supervisor.reset();
    this.#post.announceReady();
    this.origin.resendFrom(0);
    this.#presence.proposeIfMissing();
  }

  #stand(standing: Standing): void {
    const { log, observer } = this.#parts.options;
    const before = this.#standing;
    this.#standing = standing;
    if (standing.role !== 'leader' || standing.term !== before.term) this.#desk.close();
    this.#contact.look();
    // Asks their clocks as well: one that has just started must have read them before its first stamp.
    if (standing.role === 'leader' && before.role !== 'leader') this.#rounds.tell();
    if (standing.leader === before.leader) return;
    const leader = this.leaderName;
    observer.leaderChanged(leader, standing.term);
    if (standing.leader === 0) return;
    log.info({ leader, term: standing.term }, 'leader known');
    this.origin.resendFrom(0);
    this.#presence.proposeIfMissing();
  }

  async #install(output: Output): Promise<void> {
    const { core, options } = this.#parts;
    const mark = output.snapshot!;
    // Damage here ends the node; at its next start it finds the same and sets the disk aside.
    await install(this.#parts, output);
    this.#membership = mark.membership;
    this.#appliedTerm = mark.term;
    this.#members = decodeMembers(core.members) ?? [];
    this.#parts.membersChanged(this.#members);
    this.snapshotting.installed();
    this.blobs.installed();
    options.log.info({ index: mark.index }, 'state replaced by a snapshot');
    // Effects of the entries that were skipped were missed here (waiters, sessions): the node counts as restarted.
    this.#reborn('unknown');
    this.watching.resync();
    this.reads.applied(core.appliedIndex);
  }

  #reborn(applied: 'none' | 'unknown'): void {
    this.origin.retire(applied);
    this.waiters.reborn();
    this.sessions.endAll(goesOn('the session lost its node'));
    this.#parts.reborn();
    this.#presence.renew();
  }

  #hasLeader(): boolean {
    const { name, transport } = this.#parts.options;
    return this.leaderName === name || transport.isConnected(this.leaderName);
  }

  #peerNames(): string[] {
    return otherNames(this.#members, this.#parts.options.name);
  }

  #fatal(error: Error): void {
    if (this.#stopped) return;
    void this.stop();
    this.#parts.options.onFatal(error);
  }
}
