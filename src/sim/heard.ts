import type { PeerFrame } from '../peer/types.js';
import type { SimCluster, SimNode } from './cluster.js';
import type { Coverage, State } from './coverage.js';

/** What nodes say when they reach a state; a line that is not of interest is missing here. */
const LINES: ReadonlyMap<string, State> = new Map<string, State>([
  ['snapshot taken', 'snapshotsTaken'],
  ['state replaced by a snapshot', 'snapshotsInstalled'],
  ['receiving a snapshot was given up', 'snapshotsInterrupted'],
  ['sending a snapshot failed', 'snapshotsInterrupted'],
  ['node is down', 'nodeDowns'],
  ['node stays behind and is declared down', 'nodeDowns'],
  ['node applies too slowly and gets no more jobs', 'nodesStalled'],
  ["this node's clock is away from the median of the voters': check their clocks", 'clocksNoticed'],
  ["the leader's clock is away from the median of the voters': handing over", 'clockHandovers'],
  ['the disk is nearly full: new jobs are refused', 'fullDiskRefusals'],
  ['the disk is full: no snapshot could be taken', 'fullDiskRefusals'],
  ['a torn tail of the log was cut off: it was never acknowledged', 'tornTails'],
  [
    'the disk is damaged: what was on it is set aside and this node waits to be added again (gearmesh cluster replace)',
    'disksSetAside',
  ],
  ['the leader is gone: campaigning', 'fastFailovers'],
]);

/** Listens to a cluster and notes the states that it reaches. */
export class Heard {
  readonly #coverage: Coverage;
  /** Newest batch that was sent, by the incarnation of its node. */
  readonly #sent = new Map<number, number>();
  /** Index of the newest snapshot that each node took by itself. */
  readonly #taken = new Map<string, number>();
  /** Indexes of the snapshots that took the place of somebody's state. */
  readonly #installed = new Set<number>();
  #leader = '';

  constructor(cluster: SimCluster, coverage: Coverage) {
    this.#coverage = coverage;
    cluster.heard = (node, message, fields) => this.#line(node, message, fields);
    cluster.booted = (node) => this.#booted(node);
    cluster.network.passing = (frame) => this.#frame(frame);
  }

  /** To be called after each event. */
  look(leader: SimNode | null): void {
    if (leader === null || leader.name === this.#leader) return;
    if (this.#leader !== '') this.#coverage.reached('leaderChanges');
    this.#leader = leader.name;
  }

  /** True once the newest snapshot of this node, of `index` or later, has become another one's state. */
  takenOver(node: SimNode, index: number): boolean {
    const taken = this.#taken.get(node.name) ?? 0;
    return taken >= index && this.#installed.has(taken);
  }

  #line(node: SimNode, message: string, fields: object): void {
    const state = LINES.get(message);
    if (state === undefined) return;
    this.#coverage.reached(state);
    const { index } = fields as { index?: number };
    if (index === undefined) return;
    if (state === 'snapshotsTaken') this.#taken.set(node.name, index);
    if (state === 'snapshotsInstalled') this.#installed.add(index);
  }

  #booted({ node }: SimNode): void {
    if (node === null) return;
    const attach = node.attachSession.bind(node);
    node.attachSession = async (...args: Parameters<typeof attach>) => {
      const session = await attach(...args);
      this.#coverage.reached('sessionResumes');
      return session;
    };
  }

  #frame(frame: PeerFrame): void {
    if (frame.type !== 'batch') return;
    const before = this.#sent.get(frame.incarnation) ?? 0;
    if (frame.incarnation !== 0 && frame.seq <= before) this.#coverage.reached('reproposals');
    else this.#sent.set(frame.incarnation, frame.seq);
  }
}
