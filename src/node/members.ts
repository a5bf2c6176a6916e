import { raftIdFromDiskId } from '../consensus/index.js';
import type { Membership, RaftId } from '../consensus/types.js';
import type { Settings } from '../core/types.js';
import type { Transport } from '../peer/types.js';

/** One member: its name is its place in the cluster, its disk id who it really is. */
export interface Member {
  readonly name: string;
  readonly diskId: string;
  readonly raftId: RaftId;
  /** `host:port` for other nodes. */
  readonly peer: string;
}

/** What a cluster decides once, before any vote: who belongs to it and with which settings it begins. */
export interface Formation {
  readonly clusterId: string;
  readonly clusterName: string;
  readonly members: readonly Member[];
  readonly settings: Partial<Settings>;
  /** Counts the proposals of one founder: a later one takes the place of an earlier one. */
  readonly attempt: number;
}

export function encodeMembers(members: readonly Member[]): Uint8Array {
  return Buffer.from(JSON.stringify(members), 'utf8');
}

/** Reads what `encodeMembers` wrote; null for anything else. */
export function decodeMembers(bytes: Uint8Array): Member[] | null {
  if (bytes.length === 0) return [];
  try {
    return readMembers(JSON.parse(Buffer.from(bytes).toString('utf8')));
  } catch {
    return null;
  }
}

function readMembers(value: unknown): Member[] | null {
  if (!Array.isArray(value)) return null;
  const members: Member[] = [];
  for (const one of value as unknown[]) {
    if (typeof one !== 'object' || one === null) return null;
    const { name, diskId, raftId, peer } = one as Record<string, unknown>;
    if (typeof name !== 'string' || typeof diskId !== 'string' || typeof peer !== 'string') return null;
    if (typeof raftId !== 'number' || !Number.isSafeInteger(raftId) || raftId <= 0) return null;
    members.push({ name, diskId, raftId, peer });
  }
  return members;
}

/** Reads a formation from a peer or from disk; null when it is not one. */
export function readFormation(value: unknown): Formation | null {
  if (typeof value !== 'object' || value === null) return null;
  const { clusterId, clusterName, members, settings, attempt } = value as Record<string, unknown>;
  if (typeof clusterId !== 'string' || typeof clusterName !== 'string') return null;
  const list = readMembers(members);
  if (list === null || list.length === 0) return null;
  const seeds: Record<string, number> = {};
  if (typeof settings === 'object' && settings !== null) {
    for (const [key, seed] of Object.entries(settings)) if (typeof seed === 'number') seeds[key] = seed;
  }
  return {
    clusterId,
    clusterName,
    members: list,
    settings: seeds as Partial<Settings>,
    attempt: typeof attempt === 'number' && Number.isSafeInteger(attempt) ? attempt : 0,
  };
}

/** Null for an id that no member has. */
export function nameOf(members: readonly Member[], id: RaftId): string | null {
  return members.find((member) => member.raftId === id)?.name ?? null;
}

/**
 * As `nameOf`, also for a disk that this node's list does not name yet but whose hello was taken: the leader that says
 * who took whose place is to be answered before the list that names it has arrived.
 */
export function nameOfPeer(
  members: readonly Member[],
  transport: Pick<Transport, 'hello'>,
  id: RaftId,
): string | null {
  const known = nameOf(members, id);
  if (known !== null) return known;
  for (const { name } of members) {
    const theirs = transport.hello(name);
    if (theirs !== null && theirs.clusterId !== null && raftIdFromDiskId(theirs.diskId) === id) return name;
  }
  return null;
}

/** Names of all besides `own`. */
export function otherNames(members: readonly Member[], own: string): string[] {
  return members.filter((member) => member.name !== own).map((member) => member.name);
}

/** Names of the voters besides `own`; null where `own` has no vote. */
export function otherVoters(
  members: readonly Member[],
  membership: Membership,
  own: RaftId,
): readonly string[] | null {
  const { voters } = membership;
  if (!voters.includes(own)) return null;
  const others: string[] = [];
  for (const id of voters) {
    const name = id === own ? null : nameOf(members, id);
    if (name !== null) others.push(name);
  }
  return others;
}
