import type { ConsensusStatus } from '../../consensus/types.js';
import type { SimNode } from '../cluster.js';
import type { Bed, Fault } from './bed.js';
import { Groups } from './groups.js';

/** What each step may take, virtual milliseconds: an election that begins with a timeout, or a few writes. */
const ELECTION_MS = 4_000;
const WRITES_MS = 600;
/** A sync that does not return while it matters. */
const HANGING_MS = [8_000, 8_000] as const;
/** Answers are on their way for so long. */
const ANSWERS_MS = 10;
const REST_MS = 100;

/**
 * The scene of figure 8 in the Raft paper (section 5.4.2), in which the rule about entries of earlier terms matters:
 *
 * 1. `first` leads and is cut off with entries that nobody else has;
 * 2. `second` is elected, and cut off in the very moment, with the first entry of its term;
 * 3. `first` is elected again, by `copiers`, who take its old entries and the first of its new term, which the disk of
 *    `first` itself does not get done with: so a majority has the old ones, and no majority that of this term;
 * 4. power is lost at `first`, and those who can talk now are `second`, `first` and whoever knows of none of this:
 *    `second` has the newest entry and leads, and what was in the copies is replaced.
 *
 * Nothing of that was ever acknowledged, unless somebody counted the copies in step 3.
 */
class OldEntries {
  readonly #bed: Bed;
  readonly #groups: Groups;
  readonly #first: SimNode;
  /** Its disk gets done again. */
  #unhang: () => void = () => {};
  #second: SimNode;
  #copiers: readonly SimNode[] = [];
  #bystanders: readonly SimNode[] = [];
  #over = false;
  readonly #done: () => void;

  constructor(bed: Bed, leader: SimNode, done: () => void) {
    this.#bed = bed;
    this.#done = done;
    this.#groups = new Groups(bed.cluster);
    this.#first = leader;
    this.#second = leader;
  }

  begin(): void {
    const { cluster } = this.#bed;
    const first = this.#first;
    const rest = cluster.nodes.filter((node) => node !== first);
    this.#bed.coverage.injected('old-entries');
    this.#groups.be([rest], true);
    const { term } = statusOf(first)!;
    this.#step(
      ELECTION_MS,
      () => rest.some((node) => leadsBehind(node, term)),
      () => this.#succeeded(rest.find((node) => leadsBehind(node, term))!),
    );
  }

  #succeeded(second: SimNode): void {
    const { cluster, random } = this.#bed;
    const first = this.#first;
    this.#second = second;
    const rest = cluster.nodes.filter((node) => node !== first && node !== second);
    const most = (cluster.nodes.length - 1) / 2;
    const from = random.below(rest.length);
    const turned = [...rest.slice(from), ...rest.slice(0, from)];
    this.#copiers = turned.slice(0, most);
    this.#bystanders = turned.slice(most);
    this.#groups.be([], true);
    const { term, lastIndex } = statusOf(second)!;
    // `first` must have something that is replaced, and `second` what replaces it.
    this.#step(
      WRITES_MS,
      () => {
        const [old, own] = [statusOf(first), statusOf(second)];
        return old !== null && own !== null && old.durableIndex >= lastIndex && own.durableIndex >= lastIndex;
      },
      () => this.#again(term),
    );
  }

  #again(term: number): void {
    const first = this.#first;
    this.#groups.be([[first, ...this.#copiers]], true);
    this.#step(
      ELECTION_MS,
      () => leadsBehind(first, term),
      () => {
        // Before its own first entry is written.
        this.#unhang = first.syncTime.slow(HANGING_MS);
        const { lastIndex } = statusOf(first)!;
        this.#step(
          WRITES_MS,
          () => this.#copiers.every((node) => (statusOf(node)?.durableIndex ?? 0) >= lastIndex),
          () => this.#bed.lasting(ANSWERS_MS, () => this.#replaced(term)),
        );
      },
    );
  }

  #replaced(term: number): void {
    const { random } = this.#bed;
    const [first, second] = [this.#first, this.#second];
    if (this.#over || !this.#mayDie(first)) {
      this.#end();
      return;
    }
    first.kill(true);
    this.#unhang();
    this.#groups.be([[first, second, ...this.#bystanders]], true);
    this.#bed.bootAfter(first, random.between(10, 50));
    this.#step(
      ELECTION_MS,
      () => leadsBehind(second, term + 1) && first.node?.phase === 'ready',
      () => {
        this.#bed.coverage.effective('old-entries');
        this.#bed.lasting(REST_MS, () => this.#end());
      },
    );
  }

  #mayDie(node: SimNode): boolean {
    return !this.#bed.over && node.started && !this.#bed.frail.has(node);
  }

  #step(ms: number, test: () => boolean, next: () => void): void {
    this.#bed.within(ms, test, next, () => this.#end());
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#groups.heal();
    this.#unhang();
    this.#done();
  }
}

function statusOf(node: SimNode): ConsensusStatus | null {
  return node.node?.parts?.consensus.status() ?? null;
}

/** True where it leads in a term behind this one, though it may not have said so yet. */
function leadsBehind(node: SimNode, term: number): boolean {
  const status = statusOf(node);
  return status !== null && status.role === 'leader' && status.term > term;
}

/** Entries of earlier terms, where they are many and yet decide nothing. */
export function oldEntriesFaults(bed: Bed): Fault[] {
  const { cluster } = bed;
  let runs = false;

  const strike = (): boolean => {
    const { leader } = cluster;
    if (runs || leader === null || !cluster.allReady()) return false;
    if (cluster.nodes.some((node) => bed.frail.has(node) || node.paused)) return false;
    runs = true;
    new OldEntries(bed, leader, () => {
      runs = false;
    }).begin();
    return true;
  };

  return [{ kind: 'old-entries', weight: 4, strike }];
}
