import type { Membership } from '../consensus/types.js';
import { Blobs } from './blobs/blobs.js';
import { NOBODY } from './boot.js';
import type { EngineParts } from './engine-parts.js';
import { type Member, nameOf, otherNames } from './members.js';

/** What changes while an engine works. */
export interface BlobsSurroundings {
  readonly members: () => readonly Member[];
  readonly membership: () => Membership;
  readonly installing: () => boolean;
  readonly hasLeader: () => boolean;
  readonly diskLow: () => boolean;
  readonly fatal: (error: Error) => void;
}

/** The payloads and results outside the log of this engine's node. */
export function blobsOf(parts: EngineParts, around: BlobsSurroundings): Blobs {
  const { options, core, consensus, blobStore, raftId } = parts;
  return new Blobs({
    core,
    store: blobStore,
    transport: options.transport,
    clock: options.clock,
    random: options.random,
    log: options.log,
    raftId,
    // While a snapshot takes the place of the state the two do not go together: nothing is counted.
    membership: () => (around.installing() ? NOBODY : around.membership()),
    nameOf: (id) => nameOf(around.members(), id),
    peerNames: () => otherNames(around.members(), options.name),
    upToDate: () => around.hasLeader() && consensus.status().commit <= core.appliedIndex,
    diskLow: around.diskLow,
    freeBytes: () => options.disk.freeBytes(options.directory),
    diskReserveBytes: options.diskReserveBytes,
    uploadsMax: options.blobUploadsMax,
    fatal: around.fatal,
  });
}
