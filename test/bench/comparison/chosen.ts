import type { Options } from '../options.js';
import { PEERS } from '../peers/index.js';
import type { Peer } from '../peers/peer.js';
import type { Report } from '../report.js';

/** The other systems that are wanted and are here; says of each that is not why. Throws for a name that is none. */
export async function chosenPeers(wanted: Options['peers'], report: Report): Promise<Peer[]> {
  if (wanted === 'none') return [];
  const names = PEERS.map((peer) => peer.name);
  const unknown = wanted === 'all' ? undefined : wanted.find((name) => !names.includes(name));
  if (unknown !== undefined) {
    throw new Error(`--peers ${unknown}: all, none, or some of ${names.join(', ')} were expected`);
  }
  const chosen: Peer[] = [];
  for (const peer of PEERS) {
    if (wanted !== 'all' && !wanted.includes(peer.name)) continue;
    const missing = await peer.missing();
    if (missing === null) chosen.push(peer);
    else report.add('peers', `${peer.name}: skipped: ${missing}`, {});
  }
  return chosen;
}
