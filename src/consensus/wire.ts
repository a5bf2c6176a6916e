import { Entry, Message, MessageType, type Snapshot } from '@coaty/consensus.raft/ported/raftpb/raft.pb.js';
import { MalformedBytesError } from '../base/bytes.js';
import { invariant } from '../base/invariant.js';
import { idOf, ridOf } from './ids.js';
import { LogRecord, snapshotOf } from './log.js';
import { membershipOfConfState } from './membership.js';
import { entriesPerMessageMax } from './sizes.js';
import type { RaftId, RaftMessage, SnapshotMark } from './types.js';

/** Members of a configuration that a peer may name in one list. */
const membersMax = 1_000;
const contextMax = 256;
const empty = new Uint8Array(0);

/** What may come from another node. The rest of the port's types are local events or forwarded requests. */
const fromPeers = new Set<MessageType>([
  MessageType.MsgApp,
  MessageType.MsgAppResp,
  MessageType.MsgVote,
  MessageType.MsgVoteResp,
  MessageType.MsgSnap,
  MessageType.MsgHeartbeat,
  MessageType.MsgHeartbeatResp,
  MessageType.MsgTimeoutNow,
  MessageType.MsgReadIndex,
  MessageType.MsgReadIndexResp,
  MessageType.MsgPreVote,
  MessageType.MsgPreVoteResp,
]);

export function wrap(message: Message): RaftMessage {
  const { type } = message;
  return {
    to: idOf(message.to),
    from: idOf(message.from),
    term: message.term,
    control: type !== MessageType.MsgApp && type !== MessageType.MsgAppResp && type !== MessageType.MsgSnap,
    snapshot: type === MessageType.MsgSnap ? markOf(message.snapshot) : null,
    body: message,
  };
}

export function unwrap(message: RaftMessage): Message {
  invariant(message.body instanceof Message, 'a message comes from a core or from messageFromWire');
  return message.body;
}

export function markOf(snapshot: Snapshot): SnapshotMark {
  const { index, term, confState } = snapshot.metadata;
  return { index, term, membership: membershipOfConfState(confState) };
}

/**
 * Plain form for a serializer, by position: type, to, from, term, logTerm, index, commit, reject 0/1, rejectHint,
 * context, entries as term, kind 0/1 (command, membership), data, term, …, and for a snapshot index, term,
 * voters, outgoing, learners, learnersNext, autoLeave 0/1. The data of entries goes by reference.
 */
export function messageToWire(message: RaftMessage): unknown {
  const m = unwrap(message);
  const isRead = m.type === MessageType.MsgReadIndex || m.type === MessageType.MsgReadIndexResp;
  const context: unknown = isRead ? m.entries[0]!.data : m.context;
  const entries: unknown[] = [];
  if (m.type === MessageType.MsgApp) {
    for (const entry of m.entries) entries.push(entry.term, entry.type === 0 ? 0 : 1, entry.data ?? empty);
  }
  const wire: unknown[] = [
    m.type,
    message.to,
    message.from,
    m.term,
    m.logTerm,
    m.index,
    m.commit,
    m.reject ? 1 : 0,
    m.rejectHint,
    context ?? '',
    entries,
  ];
  if (message.snapshot !== null) {
    const { index, term, membership } = message.snapshot;
    const { voters, outgoing, learners, learnersNext, autoLeave } = membership;
    wire.push([index, term, voters, outgoing, learners, learnersNext, autoLeave ? 1 : 0]);
  }
  return wire;
}

/** Checks all that came from outside; throws `MalformedBytesError`. */
export function messageFromWire(wire: unknown): RaftMessage {
  const fields = list(wire, 12, 'message');
  const m = new Message();
  const type = whole(fields[0], 'type') as MessageType;
  if (!fromPeers.has(type)) throw malformed('type', type);
  m.type = type;
  m.to = ridOf(id(fields[1], 'to'));
  m.from = ridOf(id(fields[2], 'from'));
  m.term = whole(fields[3], 'term');
  m.logTerm = whole(fields[4], 'logTerm');
  m.index = whole(fields[5], 'index');
  m.commit = whole(fields[6], 'commit');
  m.reject = flag(fields[7], 'reject');
  m.rejectHint = whole(fields[8], 'rejectHint');
  const context = fields[9];
  if (typeof context !== 'string' || context.length > contextMax) throw malformed('context', context);

  const isRead = type === MessageType.MsgReadIndex || type === MessageType.MsgReadIndexResp;
  // The port takes term 0 for "from here", past all checks of terms; only a question to the leader carries it.
  if ((m.term === 0) !== (type === MessageType.MsgReadIndex)) throw malformed('term', m.term);
  if (isRead) {
    if (context === '') throw malformed('context', context);
    m.entries = [new Entry({ data: context })];
  } else if (context !== '') {
    m.context = context;
  }
  readEntries(m, fields[10]);
  if (type === MessageType.MsgSnap) {
    m.snapshot = snapshotOf(readMark(fields[11], m.term));
  } else if (fields.length > 11) {
    throw malformed('snapshot', fields[11]);
  }
  return wrap(m);
}

function readEntries(m: Message, value: unknown): void {
  const flat = list(value, entriesPerMessageMax * 3, 'entries');
  if (flat.length % 3 !== 0) throw malformed('entries', flat.length);
  if (m.type !== MessageType.MsgApp) {
    if (flat.length > 0) throw malformed('entries', flat.length);
    return;
  }
  const records: LogRecord[] = new Array(flat.length / 3);
  let term = m.logTerm;
  if (term > m.term) throw malformed('logTerm', term);
  for (let i = 0; i < records.length; i++) {
    const found = whole(flat[i * 3], 'term of an entry');
    if (found < term || found < 1 || found > m.term) throw malformed('term of an entry', found);
    term = found;
    const kind = flag(flat[i * 3 + 1], 'kind of an entry') ? 'membership' : 'command';
    const data = flat[i * 3 + 2];
    if (!(data instanceof Uint8Array)) throw malformed('data of an entry', data);
    records[i] = new LogRecord(term, m.index + 1 + i, kind, data);
  }
  whole(m.index + records.length, 'index');
  m.entries = records;
}

function readMark(value: unknown, termMax: number): SnapshotMark {
  const fields = list(value, 7, 'snapshot');
  const index = id(fields[0], 'index of a snapshot');
  const term = id(fields[1], 'term of a snapshot');
  if (term > termMax) throw malformed('term of a snapshot', term);
  const [voters, outgoing, learners, learnersNext] = [2, 3, 4, 5].map((i) =>
    list(fields[i], membersMax, 'members').map((member) => id(member, 'member')),
  );
  const membership = {
    voters: voters!,
    outgoing: outgoing!,
    learners: learners!,
    learnersNext: learnersNext!,
    autoLeave: flag(fields[6], 'autoLeave'),
  };
  if (membership.voters.length === 0) throw malformed('voters', 0);
  const sets = [new Set(membership.voters), new Set(membership.outgoing), new Set(membership.learners)];
  const joint = sets[1]!.size > 0;
  const overlap = membership.learners.some((member) => sets[0]!.has(member) || sets[1]!.has(member));
  const stray = membership.learnersNext.some((member) => !sets[1]!.has(member) || sets[0]!.has(member));
  if (overlap || stray || (membership.autoLeave && !joint)) throw malformed('membership', '');
  const all = [membership.voters, membership.outgoing, membership.learners, membership.learnersNext];
  if (all.some((members) => new Set(members).size !== members.length)) throw malformed('membership', '');
  return { index, term, membership };
}

function list(value: unknown, lengthMax: number, name: string): readonly unknown[] {
  if (!Array.isArray(value) || value.length > lengthMax) throw malformed(name, value);
  return value;
}

function whole(value: unknown, name: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw malformed(name, value);
  return value;
}

function id(value: unknown, name: string): RaftId {
  const found = whole(value, name);
  if (found === 0) throw malformed(name, found);
  return found;
}

function flag(value: unknown, name: string): boolean {
  if (value !== 0 && value !== 1) throw malformed(name, value);
  return value === 1;
}

function malformed(name: string, value: unknown): MalformedBytesError {
  const shown =
    typeof value === 'number' || typeof value === 'string' ? String(value).slice(0, 64) : typeof value;
  return new MalformedBytesError(`consensus message: ${name} may not be ${shown}`);
}
