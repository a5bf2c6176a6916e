/** What an entry counts in a message besides its data, in bytes. */
const entryOverhead = 16;

/** The port hands entries over as arguments of a call, and a call takes some 100,000 at the very most. */
export const entriesPerMessageMax = 10_000;

export function entryCost(dataLength: number): number {
  return dataLength + entryOverhead;
}

/** What an entry counts while it is in memory: its data, and what is around it. */
export function heldCost(dataLength: number): number {
  return dataLength + 64;
}

/** How many entries a request for so many bytes may return: "no limit" means all. */
export function countMax(bytes: number): number {
  return bytes >= Number.MAX_SAFE_INTEGER ? Number.POSITIVE_INFINITY : entriesPerMessageMax;
}
