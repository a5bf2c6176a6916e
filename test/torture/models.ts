/** What a data directory must hold, part by part, as a plain value for each; and how what was found differs from it. */
import type { HardState, LogEntry } from '../../src/consensus/types.js';
import type { DataDirectory, SnapshotStore, Wal, WalRecovery } from '../../src/storage/index.js';

export interface IdentityModel {
  /** Null before the directory was born: then any may be found. */
  readonly diskId: string | null;
  readonly clusterId: string | null;
}

export type NotesModel = Readonly<Record<string, unknown>>;

export interface LogModel {
  readonly hardState: HardState | null;
  readonly mark: { readonly index: number; readonly term: number };
  /** Ascending; those up to the mark may be gone, and may not be others than these. */
  readonly entries: readonly LogEntry[];
  /** The unfinished end of a write lies behind the last batch, until the next one is written over it. */
  readonly torn: boolean;
}

export interface PageModel {
  readonly key: string;
  readonly version: number;
  readonly bytes: Uint8Array;
}

export interface SnapshotModel {
  /** 0: there is none. */
  readonly index: number;
  readonly term: number;
  readonly pages: readonly PageModel[];
}

/** One property per part of the data directory; a new part adds one here, one to `PARTS`, and steps. */
export interface Models {
  readonly identity: IdentityModel;
  readonly notes: NotesModel;
  readonly log: LogModel;
  readonly snapshot: SnapshotModel;
}

export type PartName = keyof Models;

/** Everything of a data directory, opened by the shipped code. */
export interface Opened {
  readonly directory: DataDirectory;
  readonly store: SnapshotStore;
  readonly wal: Wal;
  readonly recovery: WalRecovery;
}

interface Part<M> {
  /** What is found, in the model's form. */
  read(opened: Opened): Promise<M>;
  /** In words; null where what was found is what the model says. */
  differs(found: M, model: M): string | null;
}

export const NOTE_NAMES = ['formation', 'damage'];

export function lastIndex(log: LogModel): number {
  return log.entries.at(-1)?.index ?? log.mark.index;
}

function stateOf(state: HardState | null): string {
  return state === null ? 'none' : `term ${state.term}, vote ${state.vote}, commit ${state.commit}`;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

function logDiffers(found: LogModel, model: LogModel): string | null {
  if (stateOf(found.hardState) !== stateOf(model.hardState)) {
    return `hard state ${stateOf(found.hardState)} instead of ${stateOf(model.hardState)}`;
  }
  if (found.mark.index !== model.mark.index || found.mark.term !== model.mark.term) {
    return `mark ${found.mark.index}/${found.mark.term} instead of ${model.mark.index}/${model.mark.term}`;
  }
  if (lastIndex(found) !== lastIndex(model)) {
    return `the log ends at ${lastIndex(found)} instead of ${lastIndex(model)}`;
  }
  const first = found.entries[0]?.index ?? lastIndex(found) + 1;
  if (first > model.mark.index + 1) return `the log begins at ${first}, behind the mark ${model.mark.index}`;
  const expected = new Map(model.entries.map((entry) => [entry.index, entry]));
  let next = first;
  for (const entry of found.entries) {
    const is = expected.get(entry.index);
    if (entry.index !== next++) return `entry ${entry.index} where ${next - 1} belongs`;
    if (is === undefined) return `entry ${entry.index} was never written`;
    if (entry.term !== is.term || entry.kind !== is.kind) {
      return `entry ${entry.index} is ${entry.kind} of term ${entry.term} instead of ${is.kind} of ${is.term}`;
    }
    if (!sameBytes(entry.data, is.data)) return `entry ${entry.index} has other bytes`;
  }
  return null;
}

function snapshotDiffers(found: SnapshotModel, model: SnapshotModel): string | null {
  if (found.index !== model.index || found.term !== model.term) {
    return `snapshot at ${found.index}/${found.term} instead of ${model.index}/${model.term}`;
  }
  const names = (pages: readonly PageModel[]): string => pages.map((p) => `${p.key}:${p.version}`).join(' ');
  if (names(found.pages) !== names(model.pages)) {
    return `pages ${names(found.pages)} instead of ${names(model.pages)}`;
  }
  const wrong = found.pages.find((page, at) => !sameBytes(page.bytes, model.pages[at]!.bytes));
  return wrong === undefined ? null : `page ${wrong.key} has other bytes`;
}

function jsonDiffers(found: unknown, model: unknown): string | null {
  const [is, should] = [JSON.stringify(found), JSON.stringify(model)];
  return is === should ? null : `${is} instead of ${should}`;
}

export const PARTS: { readonly [K in PartName]: Part<Models[K]> } = {
  identity: {
    read: async ({ directory }) => ({
      diskId: directory.identity.diskId,
      clusterId: directory.identity.cluster?.id ?? null,
    }),
    differs: (found, model) => (model.diskId === null ? null : jsonDiffers(found, model)),
  },
  notes: {
    read: async ({ directory }) => {
      const notes: Record<string, unknown> = {};
      for (const name of NOTE_NAMES) {
        const value = await directory.readNote(name);
        if (value !== null) notes[name] = value;
      }
      return notes;
    },
    differs: (found, model) => {
      const sorted = (notes: NotesModel): unknown => NOTE_NAMES.map((name) => notes[name] ?? null);
      return jsonDiffers(sorted(found), sorted(model));
    },
  },
  log: {
    read: async ({ recovery: { hardState, mark, entries, tornBytes } }) => ({
      hardState,
      mark,
      entries,
      torn: tornBytes > 0,
    }),
    differs: logDiffers,
  },
  snapshot: {
    read: async ({ store }) => {
      const pages: PageModel[] = [];
      // A copy: the bytes are a view on what the next read reuses.
      for await (const page of store.pages()) pages.push({ ...page, bytes: Buffer.from(page.bytes) });
      const mark = store.newest?.mark ?? { index: 0, term: 0 };
      return { index: mark.index, term: mark.term, pages };
    },
    differs: snapshotDiffers,
  },
};

/** Models that may be found, by part: the first is what was acknowledged, the others are under way. */
export type Expected = { readonly [K in PartName]: readonly Models[K][] };

export const NOTHING: Expected = {
  identity: [{ diskId: null, clusterId: null }],
  notes: [{}],
  log: [{ hardState: null, mark: { index: 0, term: 0 }, entries: [], torn: false }],
  snapshot: [{ index: 0, term: 0, pages: [] }],
};
