import { createConsensus, raftIdFromDiskId } from '../consensus/index.js';
import type { Consensus, HardState, InitialState, Membership, SnapshotMark } from '../consensus/types.js';
import { createCore } from '../core/index.js';
import type { Core } from '../core/interface.js';
import {
  type BlobStore,
  createPayloadStore,
  type DataDirectory,
  type OpenSpill,
  openBlobs,
  openSnapshots,
  openSpill,
  openWal,
  type SnapshotStore,
  StorageError,
  type Wal,
} from '../storage/index.js';
import { decodeMembers, encodeMembers, type Formation, type Member, readFormation } from './members.js';
import type { NodeOptions } from './options.js';
import { DamagedDiskError, restoreNewest } from './restoring.js';

/** Index and term of the state that a cluster begins with. */
const FIRST = { index: 1, term: 1 };
/** A membership without members. */
export const NOBODY: Membership = {
  voters: [],
  outgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

/** What gathers before it goes to the disk takes memory as well: a small part of what jobs may take. */
const SPILL_WRITE_MIN = 4 * 1024;
const SPILL_WRITE_MAX = 1024 * 1024;

/** Note under which the data directory keeps what was decided before there was a log. */
export const FORMATION_NOTE = 'formation';

/** What a disk gave back: everything an engine starts from. */
export interface Booted {
  readonly core: Core;
  readonly consensus: Consensus;
  readonly wal: Wal;
  readonly store: SnapshotStore;
  readonly blobStore: BlobStore;
  readonly spill: OpenSpill;
  readonly raftId: number;
  readonly membership: Membership;
  /** As the state tells them; for a node that was just added, as they were told to it: it must be able to answer. */
  readonly members: readonly Member[];
  readonly appliedTerm: number;
}

/** Restores state and log of a node that belongs to a cluster. Throws DamagedDiskError. */
export async function boot(options: NodeOptions, directory: DataDirectory): Promise<Booted> {
  const note = await readFormationNote(directory);
  const formation = readFormation(note?.formation);
  const log = (level: 'info' | 'warn' | 'error', message: string): void => options.log[level]({}, message);
  const store = await openSnapshots(options.disk, directory.snapshotsPath, { log });
  const { wal, recovery } = await openWal(options.disk, directory.walPath, {
    segmentBytes: options.segmentBytes,
    keepBytes: options.logMemoryBytes,
    random: options.random,
    log,
  });
  const spill = await openSpill(options.disk, directory.spillPath, {
    clock: options.clock,
    log,
    writeBytes: Math.min(SPILL_WRITE_MAX, Math.max(SPILL_WRITE_MIN, options.jobsMemoryBytes / 64)),
  });
  /** Nothing of this disk may still be written when it is set aside. */
  const close = async (): Promise<void> => {
    await wal.close();
    await store.close();
    await spill.close();
  };
  const damage = recovery.damage ?? store.damage;
  if (damage !== null) {
    await close();
    throw new DamagedDiskError(damage.message);
  }
  if (store.newest !== null && recovery.hardState === null && note === null) {
    await close();
    throw new DamagedDiskError(
      'the log is gone while its snapshot is there: what this node voted for is not known',
    );
  }
  if (recovery.tornBytes > 0) {
    options.log.warn(
      { bytes: recovery.tornBytes },
      'a torn tail of the log was cut off: it was never acknowledged',
    );
  }
  const core = createCore({
    payloads: createPayloadStore(),
    spill: { store: spill, memoryBytes: options.jobsMemoryBytes },
    settings: formation?.settings ?? {},
    clusterName: options.clusterName,
  });
  let hardState: HardState = recovery.hardState ?? { term: 0, vote: 0, commit: 0 };
  let mark: SnapshotMark = { index: 0, term: 0, membership: NOBODY };
  if (store.newest !== null) {
    mark = store.newest.mark;
    try {
      await restoreNewest({ core, store, spill, clock: options.clock });
    } catch (error) {
      await close();
      throw error;
    }
  } else if (note?.adopted !== true) {
    if (formation === null) {
      await close();
      throw new DamagedDiskError('the note of the cluster formation is missing or damaged');
    }
    mark = await beginCluster(core, store, formation);
    hardState = { term: FIRST.term, vote: 0, commit: FIRST.index };
    await wal.reset(mark, hardState);
  }
  // Died between a snapshot's arrival and the log's reset: a log that disagrees with the snapshot is void (Raft paper,
  // figure 13, step 7).
  const { outline } = recovery;
  const termAtMark = outline.termAt(mark.index);
  const isVoid = termAtMark !== null && termAtMark !== mark.term;
  const goesOn = !isVoid && outline.last > mark.index;
  if (goesOn && outline.first > mark.index + 1) {
    await close();
    throw new DamagedDiskError(
      `the log begins at index ${outline.first}, the snapshot ends at ${mark.index}: entries between them are missing`,
    );
  }
  const entries = goesOn ? recovery.entries.filter((entry) => entry.index > mark.index) : [];
  const lastIndex = goesOn ? outline.last : mark.index;
  const older = outline.part(mark.index + 1, lastIndex - entries.length);
  if (!goesOn && recovery.mark.index < mark.index) {
    // A snapshot was installed and the node died before its log was told. A vote counts for its own term alone.
    if (hardState.term < mark.term) hardState = { ...hardState, term: mark.term, vote: 0 };
    await wal.reset(mark, hardState);
  }
  // Used up: a directory that lost its log must never begin again from the note and vote as its old self. Not earlier:
  // interrupted before the log is there, it would be a snapshot without log and note, as a disk that lost its log is.
  if (store.newest !== null && note !== null) await directory.writeNote(FORMATION_NOTE, null);
  // The commit index in the hard state may lag behind the snapshot, never exceed the log.
  const commit = Math.min(Math.max(hardState.commit, mark.index), lastIndex);
  const initial: InitialState = { hardState: { ...hardState, commit }, mark, entries, older };
  const raftId = raftIdFromDiskId(directory.identity.diskId);
  const { heartbeatMs, electionTimeoutMs } = options.timings;
  const consensus = createConsensus({
    id: raftId,
    initial,
    archive: { source: wal, keepBytes: options.logMemoryBytes },
    electionTicks: Math.max(2, Math.round(electionTimeoutMs / heartbeatMs)),
    heartbeatTicks: 1,
    maxMessageBytes: 1024 * 1024,
    maxInflight: 256,
    maxUncommittedBytes: 64 * 1024 * 1024,
    random: (below) => options.random.below(below),
    log: (level, message) => {
      options.log[level]({}, message);
    },
  });
  const known = decodeMembers(core.members) ?? [];
  const members = known.length > 0 ? known : (formation?.members ?? []);
  return {
    core,
    consensus,
    wal,
    store,
    blobStore: await openBlobs(options.disk, directory.blobsPath),
    spill,
    raftId,
    membership: mark.membership,
    members,
    appliedTerm: mark.term,
  };
}

async function readFormationNote(
  directory: DataDirectory,
): Promise<{ adopted?: boolean; formation?: unknown } | null> {
  try {
    return (await directory.readNote(FORMATION_NOTE)) as { adopted?: boolean; formation?: unknown } | null;
  } catch (error) {
    if (!(error instanceof StorageError && error.code === 'DAMAGED')) throw error;
    throw new DamagedDiskError(error.message);
  }
}

/** The state that every member begins with, written as its first snapshot: the log starts behind it. */
async function beginCluster(core: Core, store: SnapshotStore, formation: Formation): Promise<SnapshotMark> {
  core.setMembers(FIRST.index, encodeMembers(formation.members));
  const mark: SnapshotMark = {
    ...FIRST,
    membership: {
      ...NOBODY,
      voters: formation.members.map((member) => member.raftId).sort((a, b) => a - b),
    },
  };
  const writer = await store.begin(mark);
  const cursor = core.beginSnapshot();
  for (let page = cursor.next(() => false); page !== null; page = cursor.next(() => false)) {
    if (page.bytes === null) throw new StorageError('CLOSED', 'a first snapshot has nothing to refer to');
    await writer.write({ key: page.key, version: page.version, bytes: page.bytes });
  }
  await writer.finish();
  return mark;
}
