import type { RaftId } from './types.js';

/** Hex digits of a disk id that become the Raft id: 52 bits, so that it stays an exact number. */
const digits = 13;

/**
 * The Raft id of the node that owns a data directory: the first 52 bits of its random id, so a wiped directory
 * can never speak as its former self. Never 0, which means "nobody". Throws `RangeError` on anything but hex.
 */
export function raftIdFromDiskId(hex: string): RaftId {
  if (!isDiskId(hex)) {
    throw new RangeError(
      `a disk id is at least ${digits} hex digits, not ${JSON.stringify(hex.slice(0, 64))}`,
    );
  }
  return Number.parseInt(hex.slice(0, digits), 16) || 1;
}

export function isDiskId(text: string): boolean {
  return text.length >= digits && /^[0-9a-f]+$/i.test(text);
}

/** The port names nodes by strings; the empty one is nobody. */
export function ridOf(id: RaftId): string {
  return id === 0 ? '' : String(id);
}

export function idOf(rid: string): RaftId {
  return rid === '' ? 0 : Number(rid);
}
