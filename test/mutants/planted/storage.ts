import type { Mutant } from '../mutant.js';

const WAL = 'src/storage/wal.ts';
const FORMAT = 'src/storage/wal-format.ts';

/** What a disk is written and what is read from it again. */
export const STORAGE: readonly Mutant[] = [
  {
    name: 'acknowledge before the sync',
    breaks: 'a write of the log counts once its sync has returned',
    edits: [
      {
        file: WAL,
        text: 'await active.file.sync();\n    active.end',
        replacement: 'active.file.sync().catch(() => {});\n    active.end',
      },
    ],
  },
  {
    name: 'a failed sync goes unnoticed',
    breaks: 'after a sync that failed nothing of that write counts',
    edits: [
      {
        file: WAL,
        text: 'await active.file.sync();\n    active.end',
        replacement: 'await active.file.sync().catch(() => {});\n    active.end',
      },
    ],
  },
  {
    name: 'vote not persisted',
    breaks: 'a node votes once in a term, also when it is started again',
    edits: [
      {
        file: FORMAT,
        text: '    out.writeDoubleLE(batch.hardState.vote, 56);\n',
        replacement: '',
      },
    ],
  },
  {
    name: 'term not persisted',
    breaks: 'a node goes on in the term in which it was',
    edits: [
      {
        file: FORMAT,
        text: '    out.writeDoubleLE(batch.hardState.term, 48);\n',
        replacement: '',
      },
    ],
  },
  {
    name: 'torn tail accepted',
    breaks: 'a batch whose entries were not written to the end is none',
    faults: ['torn-write', 'power-loss', 'power-loss-all'],
    edits: [
      {
        file: FORMAT,
        text: 'if (body.length !== header.bodyBytes || crc32(body) !== header.bodyCrc) return null;',
        replacement: 'if (body.length !== header.bodyBytes) return null;',
      },
    ],
  },
  {
    name: 'torn tail left in the log',
    breaks: 'a torn tail is cut off: the log goes on where it began',
    faults: ['torn-write', 'power-loss', 'power-loss-all'],
    edits: [
      {
        file: 'src/storage/wal-recovery.ts',
        text: '  const header = decodeBatchHeader(bytes, segment, segment.end);\n  return header',
        replacement:
          '  const header = decodeBatchHeader(bytes, segment, segment.end);\n  segment.end += BLOCK;\n  return header',
      },
    ],
  },
  {
    name: 'bad CRC accepted',
    breaks: 'a page of a snapshot whose checksum does not fit is damage',
    faults: ['bit-flip', 'snapshot'],
    edits: [
      {
        file: 'src/storage/snapshots.ts',
        text: 'if (bytes.length === page.length && crc32(bytes) === page.crc) return bytes;',
        replacement: 'if (bytes.length === page.length) return bytes;',
      },
    ],
  },
  {
    name: 'log truncated one too far',
    breaks: 'an entry that replaces another leaves those before it alone',
    faults: ['deposed-leader', 'crash'],
    edits: [
      {
        file: 'src/storage/wal-index.ts',
        text: 'this.#places.at(-1)!.first >= index)',
        replacement: 'this.#places.at(-1)!.first >= index - 1)',
      },
    ],
    hidden: 'what a start reads is compared with the terms that it found: the node ends before it serves',
  },
  {
    name: 'what may be replaced is left on disk',
    breaks: 'a start hands over all entries that it does not know as committed',
    edits: [
      {
        file: 'src/storage/wal-recovery.ts',
        text: '(this.hardState?.commit ?? 0) + 1',
        replacement: '(this.hardState?.commit ?? 0) + 2',
      },
    ],
    hidden: 'the log in memory asks for it: the node ends before it begins',
  },
  {
    name: 'snapshot install keeps the old log',
    breaks: 'the log goes on behind the snapshot that was installed',
    edits: [
      {
        file: 'src/consensus/log.ts',
        text: '    this.#drop(this.#records.length);\n',
        replacement: '',
      },
    ],
  },
  {
    name: 'replaced entries are read back',
    breaks: 'of several entries with one index the log gives the newest',
    edits: [
      {
        file: 'src/storage/wal-index.ts',
        text: 'const replaces = index <= this.#last;',
        replacement: 'const replaces = false;',
      },
    ],
  },
  {
    name: 'segments go while the log still reads them',
    breaks: 'a release leaves on disk what is kept for those who lag',
    edits: [
      {
        file: 'src/storage/wal.ts',
        text: 'const first = Math.min(keepFrom, this.#mark.index + 1);',
        replacement: 'const first = this.#mark.index + 1;',
      },
    ],
    hidden: 'the node ends as it finds nothing to read, and its next life takes the log from its snapshot on',
  },
];
