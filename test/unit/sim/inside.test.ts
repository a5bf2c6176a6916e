import { describe, expect, it } from 'vitest';
import type { Consensus, LogEntry, Output } from '../../../src/consensus/types.js';
import type { SimCluster } from '../../../src/sim/cluster.js';
import { Coverage } from '../../../src/sim/coverage.js';
import { Inside } from '../../../src/sim/inside.js';

const IDLE: Output = {
  hardState: null,
  entries: [],
  snapshot: null,
  mustSync: false,
  messages: [],
  committed: [],
  reads: [],
  standing: null,
  write: 0,
};

const STARTED = { id: 1, term: 1, vote: 0, commit: 1, lastIndex: 1 };

function entry(index: number, term: number, text = ''): LogEntry {
  return { index, term, kind: 'command', data: Buffer.from(text) };
}

/** A consensus core that hands out what a test says. */
class Script {
  readonly #outputs: Output[] = [];
  readonly #started: object;
  /** As `Inside` has wrapped it. */
  readonly consensus: Consensus;

  constructor(started: object) {
    this.#started = { ...STARTED, ...started };
    this.consensus = {
      status: () => this.#started,
      take: () => this.#outputs.shift() ?? null,
      persisted: () => {},
    } as unknown as Consensus;
  }

  take(output: Partial<Output>): void {
    this.#outputs.push({ ...IDLE, ...output });
    this.consensus.take();
  }
}

/** Nodes whose processes a test starts; the names of the rules that were broken. */
function bed() {
  const nodes = ['n1', 'n2'].map((name) => ({ name, node: null as object | null }));
  const coverage = new Coverage();
  const inside = new Inside({ nodes } as unknown as SimCluster, coverage);
  const start = (at: number, started: object = {}): Script => {
    const script = new Script({ id: at + 1, ...started });
    nodes[at]!.node = { parts: { consensus: script.consensus } };
    inside.look();
    return script;
  };
  return { coverage, start, rules: () => inside.violations.map(({ rule }) => rule) };
}

const LEADS = { role: 'leader', term: 2, leader: 1 } as const;

describe('what must hold inside', () => {
  it('is broken by two leaders of one term, not by one that says it twice', () => {
    const { start, rules, coverage } = bed();
    const [one, other] = [start(0), start(1)];
    one.take({ standing: LEADS });
    one.take({ standing: LEADS });
    expect(rules()).toEqual([]);
    other.take({ standing: { ...LEADS, term: 3 } });
    expect(rules()).toEqual([]);
    expect(coverage.count('elections')).toBe(2);
    other.take({ standing: { ...LEADS, term: 3 } });
    start(0).take({ standing: { ...LEADS, term: 3 } });
    expect(rules()).toEqual(['one-leader']);
  });

  it.each([
    ['of another term', entry(2, 2, 'a')],
    ['with other bytes', entry(2, 1, 'b')],
  ])('is broken by a committed entry that is elsewhere one %s', (_, second) => {
    const { start, rules } = bed();
    start(0).take({ committed: [entry(2, 1, 'a')] });
    const other = start(1);
    other.take({ committed: [entry(3, 1, 'a')] });
    expect(rules()).toEqual([]);
    other.take({ committed: [second] });
    expect(rules()).toEqual(['committed']);
  });

  it('is broken by a second vote in a term, in one life or over a restart, unless the first was never synced', () => {
    const vote = (to: number, write: number) => ({ hardState: { term: 2, vote: to, commit: 1 }, write });
    const { start, rules } = bed();
    const first = start(0);
    first.take(vote(7, 1));
    start(0).take(vote(8, 1));
    expect(rules()).toEqual([]);
    const one = start(1);
    one.take(vote(7, 1));
    one.consensus.persisted(1);
    const again = start(1, { term: 2, vote: 7 });
    again.take(vote(7, 1));
    expect(rules()).toEqual([]);
    again.take(vote(8, 2));
    expect(rules()).toEqual(['one-vote']);
  });

  it('is broken by a disk that forgot its vote, its term, its commit index or entries', () => {
    const written = {
      hardState: { term: 5, vote: 7, commit: 3 },
      entries: [entry(2, 5), entry(3, 5)],
      write: 1,
    };
    const good = { term: 5, vote: 7, commit: 3, lastIndex: 3 };
    const found = (after: object, persisted = true): string[] => {
      const { start, rules } = bed();
      const one = start(0);
      one.take(written);
      if (persisted) one.consensus.persisted(1);
      start(0, after);
      return rules();
    };
    expect(found(good)).toEqual([]);
    expect(found(STARTED, false)).toEqual([]);
    expect(found({ ...good, term: 4, vote: 0 })).toEqual(['goes-back']);
    expect(found({ ...good, vote: 8 })).toEqual(['one-vote']);
    expect(found({ ...good, commit: 2 })).toEqual(['goes-back']);
    expect(found({ ...good, lastIndex: 2 })).toEqual(['durable']);
  });

  it('allows what a new leader cut off and what was under way to be gone', () => {
    const { start, rules, coverage } = bed();
    const one = start(0);
    one.take({ entries: [entry(2, 1), entry(3, 1), entry(4, 1)], write: 1 });
    one.consensus.persisted(1);
    one.take({ entries: [entry(3, 2)], write: 2 });
    expect(coverage.count('truncations')).toBe(1);
    start(0, { lastIndex: 2 });
    expect(rules()).toEqual([]);
    start(0, { lastIndex: 1 });
    expect(rules()).toEqual(['durable']);
  });

  it('is broken by a process that goes from one term back to an earlier one', () => {
    const { start, rules } = bed();
    const one = start(0);
    one.take({ standing: { role: 'follower', term: 4, leader: 0 } });
    one.take({ standing: { role: 'follower', term: 3, leader: 0 } });
    expect(rules()).toEqual(['goes-back']);
  });
});
