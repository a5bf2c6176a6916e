import { crc32 } from 'node:zlib';
import type { Consensus, HardState, Output, RaftId } from '../consensus/types.js';
import type { Core } from '../core/interface.js';
import type { SimCluster, SimNode } from './cluster.js';
import type { Coverage } from './coverage.js';
import type { SimViolation } from './report.js';
import { checkTables, Limits } from './tables.js';

/** The tables of a core are looked at again after so many entries. */
const LOOK_ENTRIES = 128;
/** More of them say nothing new. */
const VIOLATIONS_MAX = 50;
const NO_STATE: HardState = { term: 0, vote: 0, commit: 0 };

interface Write {
  readonly number: number;
  readonly hardState: HardState | null;
  /** 0: it holds no entry. */
  readonly firstIndex: number;
  readonly lastIndex: number;
}

/** What one disk has promised: it outlives the processes that work on it. */
interface Promised {
  hardState: HardState;
  lastIndex: number;
  /** Handed out, and not yet known to be on the disk. */
  pending: Write[];
  /** Votes that were synced, by term. */
  readonly votes: Map<number, RaftId>;
}

interface Watched {
  consensus: Consensus | null;
  lookedAt: number;
  limits: Limits;
  term: number;
  /** Time of its state so far, both clocks: microseconds and milliseconds. */
  elapsedUs: number;
  wall: number;
}

/**
 * What must hold in every step, judged by looking into the nodes: at most one leader of a term, one vote of a disk in a
 * term, entries that were committed stay what they are, what a disk has promised is there after a restart, and the tables
 * of each core agree with one another.
 */
export class Inside {
  readonly violations: SimViolation[] = [];
  readonly #cluster: SimCluster;
  readonly #coverage: Coverage;
  readonly #watched: Watched[];
  readonly #leaders = new Map<number, string>();
  readonly #promised = new Map<RaftId, Promised>();
  /** Term and checksum of what was committed, by index. */
  readonly #committed = new Map<
    number,
    { readonly term: number; readonly crc: number; readonly by: string }
  >();

  constructor(cluster: SimCluster, coverage: Coverage) {
    this.#cluster = cluster;
    this.#coverage = coverage;
    this.#watched = cluster.nodes.map(() => ({
      consensus: null,
      lookedAt: 0,
      limits: new Limits(),
      term: 0,
      elapsedUs: 0,
      wall: 0,
    }));
  }

  /** To be called after each event: a node is watched from the moment it has a log. */
  look(): void {
    const { nodes } = this.#cluster;
    for (let i = 0; i < nodes.length; i++) {
      const consensus = nodes[i]!.node?.parts?.consensus ?? null;
      const watched = this.#watched[i]!;
      if (consensus === watched.consensus) continue;
      watched.consensus = consensus;
      if (consensus !== null) this.#begin(nodes[i]!, watched, consensus);
    }
  }

  /** To be called when a node has applied. */
  applied(node: SimNode): void {
    const core = node.node?.parts?.core;
    const watched = this.#watched[this.#cluster.nodes.indexOf(node)];
    if (core === undefined || watched === undefined) return;
    const broken = (rule: string, text: string): void => this.broken(rule, text);
    watched.limits.look(node.name, core, broken);
    this.#time(node.name, watched, core);
    if (core.appliedIndex >= watched.lookedAt && core.appliedIndex < watched.lookedAt + LOOK_ENTRIES) return;
    watched.lookedAt = core.appliedIndex;
    checkTables(node.name, core, broken);
  }

  broken(rule: string, text: string): void {
    if (this.violations.length < VIOLATIONS_MAX) this.violations.push({ seenBy: 'inside', rule, text });
  }

  /** Time of the log never runs backward, and what is counted by a monotonic clock is no more than has passed. */
  #time(name: string, watched: Watched, { appliedIndex, elapsedUs, wall }: Core): void {
    const at = `at index ${appliedIndex} of ${name}`;
    if (elapsedUs < watched.elapsedUs)
      this.broken('time', `elapsed time goes from ${watched.elapsedUs} µs back to ${elapsedUs} ${at}`);
    if (wall < watched.wall) this.broken('time', `wall time goes from ${watched.wall} back to ${wall} ${at}`);
    const passedUs = this.#cluster.world.now * 1_000;
    if (elapsedUs > passedUs)
      this.broken('time', `${elapsedUs} µs are counted, of which ${passedUs} have passed, ${at}`);
    watched.elapsedUs = elapsedUs;
    watched.wall = wall;
  }

  #begin(node: SimNode, watched: Watched, consensus: Consensus): void {
    const status = consensus.status();
    let promised = this.#promised.get(status.id);
    if (promised === undefined) {
      promised = { hardState: NO_STATE, lastIndex: 0, pending: [], votes: new Map() };
      this.#promised.set(status.id, promised);
    }
    this.#checkStart(node.name, promised, status);
    // What was under way when the former process ended is there, or is not: from now on it is what was found.
    promised.pending = [];
    promised.hardState = { term: status.term, vote: status.vote, commit: status.commit };
    promised.lastIndex = status.lastIndex;
    watched.term = status.term;
    watched.lookedAt = 0;
    watched.limits = new Limits();
    watched.elapsedUs = 0;
    watched.wall = 0;
    const take = consensus.take.bind(consensus);
    const persisted = consensus.persisted.bind(consensus);
    const disk = promised;
    consensus.take = () => {
      const output = take();
      if (output !== null) this.#took(node.name, status.id, watched, disk, output);
      return output;
    };
    consensus.persisted = (write) => {
      this.#persisted(disk, write);
      persisted(write);
    };
  }

  #checkStart(
    name: string,
    promised: Promised,
    found: { term: number; vote: RaftId; commit: number; lastIndex: number },
  ): void {
    const { term, vote, commit } = promised.hardState;
    if (found.term < term)
      this.broken('goes-back', `${name} starts in term ${found.term}, its disk had promised ${term}`);
    if (found.term === term && vote !== 0 && found.vote !== vote)
      this.broken(
        'one-vote',
        `${name} starts with the vote ${found.vote} in term ${term}, it had voted ${vote}`,
      );
    if (found.commit < commit)
      this.broken('goes-back', `${name} starts with commit ${found.commit}, its disk had promised ${commit}`);
    let last = promised.lastIndex;
    for (const { firstIndex } of promised.pending) if (firstIndex > 0) last = Math.min(last, firstIndex - 1);
    if (found.lastIndex < last)
      this.broken('durable', `${name} starts with a log up to ${found.lastIndex}, ${last} had been synced`);
  }

  #took(name: string, id: RaftId, watched: Watched, disk: Promised, output: Output): void {
    const { standing, hardState, entries, committed, write, snapshot } = output;
    if (standing !== null) {
      if (standing.term < watched.term)
        this.broken('goes-back', `${name} goes from term ${watched.term} back to ${standing.term}`);
      watched.term = standing.term;
      if (standing.role === 'leader') this.#led(`${name} (${id})`, standing.term);
    }
    if (hardState !== null) this.#checkVote(name, disk, hardState);
    if (write !== 0) {
      const firstIndex = snapshot !== null ? 1 : (entries[0]?.index ?? 0);
      const lastIndex = entries.at(-1)?.index ?? snapshot?.index ?? 0;
      const end = disk.pending.findLast((one) => one.firstIndex > 0)?.lastIndex ?? disk.lastIndex;
      if (snapshot === null && firstIndex > 0 && firstIndex <= end) this.#coverage.reached('truncations');
      disk.pending.push({ number: write, hardState, firstIndex, lastIndex });
    }
    for (const { index, term, data } of committed) {
      const crc = crc32(data as Uint8Array);
      const before = this.#committed.get(index);
      if (before === undefined) this.#committed.set(index, { term, crc, by: name });
      else if (before.term !== term || before.crc !== crc)
        this.broken(
          'committed',
          `entry ${index} is of term ${term} (${crc}) at ${name} and was of term ${before.term} (${before.crc}) at ${before.by}`,
        );
    }
  }

  /** A vote that was synced, or that this process gave, is the only one of its term. */
  #checkVote(name: string, disk: Promised, { term, vote }: HardState): void {
    if (vote === 0) return;
    const given = disk.pending.find(({ hardState }) => hardState?.term === term && hardState.vote !== 0);
    const before = given?.hardState?.vote ?? disk.votes.get(term) ?? vote;
    if (before !== vote) this.broken('one-vote', `${name} votes ${before} and ${vote} in term ${term}`);
  }

  #led(who: string, term: number): void {
    const other = this.#leaders.get(term);
    if (other === undefined) {
      this.#leaders.set(term, who);
      this.#coverage.reached('elections');
    } else if (other !== who) {
      this.broken('one-leader', `${who} and ${other} both lead in term ${term}`);
    }
  }

  #persisted(disk: Promised, number: number): void {
    while (disk.pending.length > 0 && disk.pending[0]!.number <= number) {
      const write = disk.pending.shift()!;
      if (write.hardState !== null) {
        disk.hardState = write.hardState;
        if (write.hardState.vote !== 0) disk.votes.set(write.hardState.term, write.hardState.vote);
      }
      if (write.firstIndex > 0) disk.lastIndex = write.lastIndex;
    }
  }
}
