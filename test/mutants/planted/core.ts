import type { Mutant } from '../mutant.js';

const OUTCOMES = 'src/core/commands/outcomes.ts';
const REBUILD = 'src/core/snapshot/rebuild.ts';
const LIFECYCLE = 'src/core/jobs/lifecycle.ts';
const LEASES = 'src/core/jobs/leases.ts';

/** The state machine: what the log's entries make of jobs, leases and sessions, and what a snapshot keeps of it. */
export const CORE: readonly Mutant[] = [
  {
    name: 'snapshot that omits timers',
    breaks: 'what was restored fires its timers as if it had never been away',
    edits: [
      {
        file: REBUILD,
        text: '    state.jobs.push(fn.endedList(at), seq, page, row);\n  }\n  setTimer(state, seq, page, row);\n',
        replacement: '    state.jobs.push(fn.endedList(at), seq, page, row);\n  }\n',
      },
    ],
  },
  {
    name: 'snapshot that omits the dedupe table',
    breaks: 'what was restored knows the ids of jobs whose record is gone',
    edits: [
      {
        file: 'src/core/dedupe.ts',
        text: '      const entry = generation.count++;\n      generation.byId.add(generation.idHash(entry), entry);\n',
        replacement: '      const entry = generation.count++;\n',
      },
    ],
  },
  {
    name: 'snapshot that omits the last lease',
    breaks: 'lease tokens only ever rise',
    edits: [
      {
        file: 'src/core/state.ts',
        text: '    state.lastToken = reader.f64();\n',
        replacement: '    reader.f64();\n',
      },
    ],
  },
  {
    name: 'unique index of running jobs not rebuilt',
    breaks: 'at most one live job has a unique key, also after a restore',
    edits: [
      {
        file: REBUILD,
        text: "if (uniqueKey !== '' && at <= RUNNING) state",
        replacement: "if (uniqueKey !== '' && at < RUNNING) state",
      },
    ],
  },
  {
    name: 'links that change beside an image on disk',
    breaks: 'the lists of jobs go on behind a page that came back from the disk',
    edits: [
      {
        file: 'src/core/jobs/table.ts',
        text: '      const behind = this.pageOf(next);\n      behind.imageVersion = -1;\n',
        replacement: '      const behind = this.pageOf(next);\n',
      },
    ],
  },
  {
    name: 'proposal dedupe off',
    breaks: 'a batch that is proposed twice is applied once',
    edits: [
      {
        file: 'src/core/apply.ts',
        text: 'if (node === null || seq !== node.lastBatch + 1) {',
        replacement: 'if (node === null || seq > node.lastBatch + 1) {',
      },
      // The leader's own memory of what it proposed would hide it in most cases.
      {
        file: 'src/node/leader-desk.ts',
        text: '    if (seq <= last) return null;\n',
        replacement: '',
      },
    ],
  },
  {
    name: 'lease token not checked',
    breaks: 'what is said with the token of an earlier lease is refused',
    edits: [
      {
        file: OUTCOMES,
        text: 'const running = state.tokens.get(token);',
        replacement: `const page = named === 0 ? null : state.jobs.page(named);
  const held = page !== null && page.row(named) >= 0 && page.more[page.row(named) * M_FIELDS + M_TOKEN] !== 0;
  const running = held ? named : state.tokens.get(token);`,
      },
    ],
  },
  {
    name: 'repeated outcome not remembered',
    breaks: 'a worker that says the same outcome again is told again that it counts',
    faults: ['message-loss', 'flap', 'crash', 'partition'],
    edits: [
      {
        file: OUTCOMES,
        text: '  more[numbers + M_LAST_TOKEN] = more[numbers + M_TOKEN]!;\n  more[numbers + M_LAST_REVISION] = state.index;\n  const session = unassign(state, fn, page, row);\n',
        replacement:
          '  const session = unassign(state, fn, page, row);\n  more[numbers + M_LAST_TOKEN] = more[numbers + M_TOKEN]!;\n  more[numbers + M_LAST_REVISION] = state.index;\n',
      },
    ],
  },
  {
    name: 'repeated outcome not known without a record',
    breaks: 'what ended a job may be said again as long as its id is known',
    edits: [
      {
        file: 'src/core/core.ts',
        text: 'return seq !== 0 || !isUlid(id) ? seq : findGone(this.#state, jobId(id));',
        replacement: 'return seq;',
      },
    ],
  },
  {
    name: 'one attempt too many',
    breaks: 'a job has as many attempts as it asked for',
    edits: [
      {
        file: LEASES,
        text: 'attempt >= maxAttempts(state, policy)',
        replacement: 'attempt > maxAttempts(state, policy)',
      },
    ],
  },
  {
    name: 'what was handed back keeps its place',
    breaks: 'a job that comes back goes to the tail of its priority',
    edits: [
      {
        file: LEASES,
        text: "  state.effects.job(seq, 'queued');\n  queue(state, fn, seq, page, row);\n",
        replacement: "  state.effects.job(seq, 'queued');\n  comeBack(state, fn, seq, page, row);\n",
      },
    ],
  },
  {
    name: 'queue restored in the order of submission',
    breaks: 'a job that came back stands at the tail, also after a restore',
    faults: ['snapshot', 'crash', 'power-loss', 'wipe'],
    edits: [
      {
        file: REBUILD,
        text: 'this.#places = ascending(this.#keys);',
        replacement: 'this.#places = Uint32Array.from(this.#keys, (_, at) => at);',
      },
    ],
  },
  {
    name: 'retention counted from the start',
    breaks: 'an ended job is kept for its retention from its end on',
    edits: [
      {
        file: LIFECYCLE,
        text: 'return own < 0 ? 0 : more[at + M_FINISHED_WALL]! + own;',
        replacement: 'return own < 0 ? 0 : more[at + M_STARTED_WALL]! + own;',
      },
    ],
  },
  {
    name: 'earlier life of a node not retired',
    breaks: 'a node that is started again gives back what the workers of its earlier life had',
    edits: [
      {
        file: 'src/core/commands/node-up.ts',
        text: 'if (before !== null) retire(state, before);',
        replacement: 'if (before !== null) state.nodes.retire(before);',
      },
    ],
  },
];
