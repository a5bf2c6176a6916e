import { type Mutant, PORT } from '../mutant.js';

const CORE = 'src/consensus/core.ts';
const LOG = `${PORT}/log.js`;
const RAFT = `${PORT}/raft.js`;

/** Who leads, and what counts as decided. */
export const CONSENSUS: readonly Mutant[] = [
  {
    name: 'append answered before its sync',
    breaks: 'a follower attests what is on its disk',
    faults: ['slow-disk', 'power-loss', 'power-loss-all', 'crash'],
    edits: [
      {
        file: 'src/consensus/outbox.ts',
        text: 'return message.reject || message.index === 0 ? 0 : all;',
        replacement: 'return 0;',
      },
    ],
  },
  {
    name: 'apply before commit',
    breaks: 'only what a majority has is applied',
    edits: [
      {
        file: CORE,
        text: 'const upTo = Math.min(raft.raftLog.committed, this.#durability.index);',
        replacement: 'const upTo = this.#durability.index;',
      },
      {
        file: CORE,
        text: 'raft.raftLog.appliedTo(index);',
        replacement: 'raft.raftLog.appliedTo(Math.min(index, raft.raftLog.committed));',
      },
    ],
  },
  {
    name: 'commit by half',
    breaks: 'an entry is committed when more than half of the voters have it',
    edits: [
      {
        file: `${PORT}/quorum/majority.js`,
        text: 'const pos = n - (Math.floor(n / 2) + 1);',
        replacement: 'const pos = n - Math.floor(n / 2);',
      },
    ],
  },
  {
    name: 'commit without the current-term rule',
    breaks: 'an entry of an earlier term is committed only by one of the present term behind it',
    faults: ['old-entries', 'crash'],
    edits: [
      {
        file: LOG,
        text: 'this.zeroTermOnErrCompacted(...this.term(maxIndex)) === term) {',
        replacement: 'term > 0) {',
      },
    ],
  },
  {
    name: 'two votes in a term',
    breaks: 'a node votes once in a term',
    edits: [
      {
        file: RAFT,
        text: '(this.lead === raft_pb_1.ridnone && this.vote === raft_pb_1.ridnone) ||',
        replacement: 'this.lead === raft_pb_1.ridnone ||',
      },
    ],
  },
  {
    name: 'a shorter log may lead',
    breaks: 'nobody votes for one whose log is behind its own',
    faults: ['laggard', 'crash'],
    edits: [
      {
        file: LOG,
        text: 'return term > this.lastTerm() || (term === this.lastTerm() && lasti >= this.lastIndex());',
        replacement: 'return term >= this.lastTerm();',
      },
    ],
  },
  {
    name: 'entries in conflict are kept',
    breaks: "where logs differ, the leader's counts",
    edits: [
      {
        file: LOG,
        text: 'if (!this.matchTerm(ne.index, ne.term)) {',
        replacement: 'if (ne.index > this.lastIndex()) {',
      },
    ],
  },
  {
    name: "old leader's append accepted",
    breaks: 'what a leader of an earlier term says does not count',
    faults: ['pause', 'partition', 'one-way-partition', 'message-delay'],
    edits: [
      {
        file: RAFT,
        text: 'else if (m.term < this.term) {',
        replacement: 'else if (m.term < this.term && m.type !== raft_pb_1.MessageType.MsgApp) {',
      },
    ],
  },
  {
    name: 'heartbeat commits what the follower lacks',
    breaks: 'a heartbeat names the commit index only as far as the follower is known to have the log',
    edits: [
      {
        file: RAFT,
        text: '!== void 0 ? _b : 0, this.raftLog.committed);\n        const m = new raft_pb_1.Message({\n            to: to,\n            type: raft_pb_1.MessageType.MsgHeartbeat,',
        replacement:
          '!== void 0 ? this.raftLog.committed : 0, this.raftLog.committed);\n        const m = new raft_pb_1.Message({\n            to: to,\n            type: raft_pb_1.MessageType.MsgHeartbeat,',
      },
    ],
  },
  {
    name: 'ReadIndex without a quorum',
    breaks: 'a leader answers a read once a majority has confirmed that it leads',
    faults: ['deposed-leader', 'transfer'],
    edits: [
      {
        file: 'src/consensus/port.ts',
        text: '        checkQuorum: true,\n',
        replacement: '        checkQuorum: true,\n        readOnlyOption: 1,\n',
      },
    ],
  },
];
