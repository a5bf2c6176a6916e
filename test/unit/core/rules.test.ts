import { describe, expect, it } from 'vitest';
import { asFunction, Bed, complete, fail, release, SECRET } from './bed.js';

/** Section 11 of the design, "Rules that are easy to get wrong": those that the state machine keeps. */

describe('a node that comes back has missed effects', () => {
  it('rule: skipped log - NodeUp again begins a new life; a repeated proposal of the same life changes nothing', () => {
    const bed = new Bed();
    const session = bed.open(1);
    const first = bed.incarnation;
    expect(bed.up('n1', 1).lines).toEqual([`up n1 1 ${first}`]);
    expect(bed.core.session(session)!.state).toBe('attached');
    const notes = bed.up('n1', 2);
    expect(bed.incarnation).toBe(first + 1);
    expect(notes.of('retired')).toEqual([`retired ${first}`]);
    expect(bed.core.session(session)!.state).toBe('detached');
    expect(bed.core.lastBatch(first)).toBe(-1);
    expect(bed.core.nodes()).toMatchObject([{ name: 'n1', incarnation: first + 1, up: true }]);
  });

  it('rule: skipped log - only the next batch of a live incarnation is applied', () => {
    const bed = new Bed();
    const node = bed.incarnation;
    const batch = (seq: number) => {
      bed.builder.submit('default', bed.spec());
      return bed.builder.finish(node, seq);
    };
    expect(bed.apply([batch(2)]).lines).toEqual([`skipped ${node}/2 expected 1`]);
    bed.apply([batch(1)]);
    expect(bed.apply([batch(1)]).lines).toEqual([`skipped ${node}/1 expected 2`]);
    bed.apply([batch(2)]);
    expect(bed.core.lastBatch(node)).toBe(2);
    expect(bed.core.counts().jobs).toBe(2);
    bed.up('n2', 5);
    bed.do((b) => b.nodeDown(node));
    expect(bed.apply([batch(3)]).lines).toEqual([`skipped ${node}/3 expected 0`]);
    expect(bed.apply([batch(1)]).lines).toEqual([`skipped ${node}/1 expected 0`]);
    expect(bed.core.counts().jobs).toBe(2);
  });
});

describe('attach and detach race', () => {
  it('rule: attach and detach - detach, credit, acknowledgement and release of an old epoch do nothing', () => {
    const bed = new Bed({ ackTimeoutMs: 100 });
    const session = bed.open(1);
    const seq = bed.submit();
    const token = bed.token(seq);
    bed.do((b) => b.sessionAttach(session, SECRET, [token]));
    expect(bed.core.session(session)).toMatchObject({ epoch: 2, credit: 0, held: 1 });
    bed.do((b) => b.sessionDetach(session, 1));
    bed.do((b) => b.sessionClose(session, 1));
    bed.do((b) => b.credit(session, 1, 50));
    const released = bed.do((b) => b.outcomes(session, 1, 50, [release(seq, token)]));
    expect(released.outcomes.get(0)!.refusal).toBe('LEASE_LOST');
    expect(bed.core.session(session)).toMatchObject({ state: 'attached', credit: 0, held: 1 });
    // A completion is true in any epoch: the token fences it.
    const done = bed.do((b) => b.outcomes(session, 1, 50, [complete(seq, token)]));
    expect(done.outcomes.get(0)!.refusal).toBeNull();
    expect(bed.core.session(session)!.credit).toBe(0);
    bed.do((b) => b.credit(session, 2, 1));
    const next = bed.submit();
    bed.do((b) => b.acks(session, 1, [bed.token(next)]));
    bed.passElapsed(100);
    expect(bed.state(next)).toBe('queued');
  });

  it('rule: attach and detach - credit is cumulative within an epoch: a repeated message counts once', () => {
    const bed = new Bed();
    const session = bed.open(0);
    for (let i = 0; i < 3; i++) bed.do((b) => b.credit(session, 1, 2));
    const seqs = [bed.submit(), bed.submit(), bed.submit()];
    expect(seqs.map((seq) => bed.state(seq))).toEqual(['running', 'running', 'queued']);
    bed.do((b) => b.credit(session, 1, 2));
    expect(bed.state(seqs[2]!)).toBe('queued');
  });

  it('rule: attach and detach - detach zeroes the credit', () => {
    const bed = new Bed();
    const session = bed.open(5);
    bed.do((b) => b.sessionDetach(session, 1));
    expect(bed.state(bed.submit())).toBe('queued');
    bed.do((b) => b.credit(session, 1, 10));
    expect(bed.core.counts().running).toBe(0);
  });

  it('rule: attach and detach - attach lists the tokens still held, and the core releases the others', () => {
    const bed = new Bed({ initialBackoffMs: 0 });
    const session = bed.open(3);
    const [kept, lost, unseen] = [bed.submit(), bed.submit(), bed.submit()];
    const tokens = [kept, lost, unseen].map((seq) => bed.token(seq));
    bed.do((b) => b.acks(session, 1, tokens.slice(0, 2)));
    bed.do((b) => b.sessionDetach(session, 1));
    bed.up('n2', 2);
    const notes = bed.do((b) => b.sessionAttach(session, SECRET, [tokens[0]!, 4711]));
    expect(notes.results.get(0)).toMatchObject({ refusal: null, epoch: 2 });
    expect(notes.of('lease lost').map((line) => line.split(' ')[4])).toEqual([`${lost}`, `${unseen}`]);
    expect(bed.core.heldTokens(session)).toEqual([tokens[0]]);
    // The attempt that the worker had begun counts, the one that it never saw does not.
    expect([lost, unseen].map((seq) => bed.core.job(seq)!.attempt)).toEqual([1, 0]);
    expect(bed.core.session(session)!.node).toBe('n2');
    bed.passElapsed(60_000);
    expect(bed.state(kept)).toBe('running');
  });
});

describe('an outcome is repeated', () => {
  const setUp = (settings = {}) => {
    const bed = new Bed({ initialBackoffMs: 0, ...settings });
    const session = bed.open(1);
    const seq = bed.submit();
    return { bed, session, seq, token: bed.token(seq) };
  };

  it('rule: outcome repeated - the same outcome gets the same answer, while the record is there and after; another one is LEASE_LOST', () => {
    for (const retentionMs of [60_000, 0]) {
      const { bed, session, seq, token } = setUp({ retentionMs });
      const first = bed.outcome(session, complete(seq, token)).outcomes.get(0)!;
      bed.pass(10);
      expect(bed.outcome(session, complete(seq, token)).outcomes.get(0)).toEqual(first);
      expect(bed.outcome(session, complete(seq, token, 'other')).outcomes.get(0)!.refusal).toBe('LEASE_LOST');
      expect(bed.outcome(session, fail(seq, token)).outcomes.get(0)!.refusal).toBe('LEASE_LOST');
      expect(bed.outcome(session, complete(seq, token + 1)).outcomes.get(0)!.refusal).toBe('LEASE_LOST');
    }
  });

  it('rule: outcome repeated - the same answer also while the next attempt runs', () => {
    const { bed, session, seq, token } = setUp();
    const first = bed.outcome(session, fail(seq, token), 2).outcomes.get(0)!;
    expect(bed.state(seq)).toBe('running');
    expect(bed.outcome(session, fail(seq, token)).outcomes.get(0)).toEqual(first);
    expect(bed.core.job(seq)).toMatchObject({ state: 'running', attempt: 2 });
  });

  it('rule: outcome repeated - a lease that ended without an outcome stays lost', () => {
    const { bed, session, seq, token } = setUp({ ackTimeoutMs: 100 });
    bed.passElapsed(100);
    expect(bed.outcome(session, complete(seq, token)).outcomes.get(0)!.refusal).toBe('LEASE_LOST');
  });
});

describe('an apply is bounded', () => {
  const STEPS = 20;
  /** Entries until nothing is left; none of them may say much more than its steps allow. */
  const drain = (bed: Bed): number => {
    let entries = 0;
    do {
      const notes = bed.apply([]);
      expect(notes.of('job').length).toBeLessThanOrEqual(STEPS * 5 + 5);
      entries++;
    } while (bed.core.nextDue().sweeping);
    return entries;
  };

  it('rule: bounded apply - due timers go on through the following entries', () => {
    const bed = new Bed({ sweepSteps: STEPS });
    for (let i = 0; i < 200; i++) bed.submit({ delayMs: 100 });
    bed.wall += 100;
    expect(drain(bed)).toBeGreaterThanOrEqual(10);
    expect(bed.core.counts().waiting).toBe(200);
  });

  it('rule: bounded apply - a purge goes on through the following entries', () => {
    const bed = new Bed({ sweepSteps: STEPS });
    for (let i = 0; i < 200; i++) bed.submit();
    bed.do((b) => b.purge('default', 'f', ['queued']));
    expect(bed.core.counts().jobs).toBeGreaterThan(100);
    expect(drain(bed)).toBeGreaterThanOrEqual(9);
    expect(bed.core.counts().jobs).toBe(0);
  });

  it('rule: bounded apply - NodeDown with many sessions and jobs goes on through the following entries', () => {
    const bed = new Bed({ sweepSteps: STEPS });
    const node = bed.incarnation;
    for (let i = 0; i < 30; i++) bed.open(5, ['f'], i % 2 === 0);
    for (let i = 0; i < 150; i++) bed.submit();
    expect(bed.core.counts().running).toBe(150);
    bed.up('n2', 2);
    bed.do((b) => b.nodeDown(node));
    expect(drain(bed)).toBeGreaterThanOrEqual(3);
    expect(bed.core.counts()).toMatchObject({ sessions: 15, running: 75, waiting: 75 });
    bed.elapsedUs += 10_000_000;
    expect(drain(bed)).toBeGreaterThanOrEqual(4);
    expect(bed.core.counts()).toMatchObject({ sessions: 0, running: 0, waiting: 150 });
  });

  it('rule: bounded apply - what an attach does not claim is released through the following entries, and nothing else', () => {
    const bed = new Bed({ sweepSteps: STEPS });
    const session = bed.open(100);
    for (let i = 0; i < 105; i++) bed.submit();
    const held = bed.core.heldTokens(session);
    expect(held).toHaveLength(100);
    const claimed = held.filter((token) => token % 3 === 0);
    // Said in any order, and twice; one is not its own.
    const said = [...claimed].reverse().concat(claimed[0]!, 4_711);
    bed.do((b) => b.sessionAttach(session, SECRET, said));
    const left = bed.core.heldTokens(session).length;
    expect(left).toBeGreaterThanOrEqual(100 - STEPS);
    expect(left).toBeLessThan(100);
    expect(bed.core.nextDue().sweeping).toBe(true);
    // New leases of the new epoch are not in question, and one of those that stay ends on the way.
    bed.do((b) => b.credit(session, 2, 3));
    const first = claimed.at(-1)!;
    bed.outcome(session, complete(bed.core.seqOfToken(first), first), 3);
    const copy = new Bed();
    const restorer = copy.core.beginRestore();
    const cursor = bed.core.beginSnapshot();
    for (let page = cursor.next(() => false); page !== null; page = cursor.next(() => false)) {
      restorer.page(page.key, page.bytes!);
    }
    restorer.finish();
    expect(copy.core.stateHash()).toBe(bed.core.stateHash());
    expect(drain(bed)).toBeGreaterThanOrEqual(2);
    const now = bed.core.heldTokens(session);
    expect(now.filter((token) => token <= held.at(-1)!)).toEqual(claimed.filter((token) => token !== first));
    expect(now.filter((token) => token > held.at(-1)!)).toHaveLength(3);
    // The copy of the state in the middle of it comes to the same end.
    copy.wall = bed.wall;
    copy.elapsedUs = bed.elapsedUs;
    drain(copy);
    expect(copy.core.heldTokens(session)).toEqual(now);
  });

  it('rule: bounded apply - a later attach has its own list of claims', () => {
    const bed = new Bed({ sweepSteps: STEPS });
    const session = bed.open(100);
    for (let i = 0; i < 100; i++) bed.submit();
    const held = bed.core.heldTokens(session);
    bed.do((b) => b.sessionAttach(session, SECRET, []));
    const left = bed.core.heldTokens(session);
    expect(left.length).toBeGreaterThan(10);
    bed.do((b) => b.sessionAttach(session, SECRET, left.slice(-10)));
    drain(bed);
    expect(bed.core.heldTokens(session)).toEqual(held.slice(-10));
  });

  it('rule: bounded apply - credit for more jobs than one entry may assign goes on through the following entries', () => {
    const bed = new Bed({ sweepSteps: STEPS });
    for (let i = 0; i < 500; i++) bed.submit();
    const session = bed.open(400);
    expect(bed.core.session(session)!.held).toBe(STEPS * 5);
    expect(bed.core.nextDue().sweeping).toBe(true);
    drain(bed);
    expect(bed.core.session(session)!.held).toBe(400);
  });

  it('rule: bounded apply - an entry does at most a few thousand steps unless set otherwise', () => {
    const bed = new Bed();
    expect(bed.core.settings.sweepSteps).toBeLessThanOrEqual(4_000);
    const total = bed.core.settings.sweepSteps * 3;
    for (let i = 0; i < total; i++) bed.submit({ delayMs: 100 });
    bed.wall += 100;
    let entries = 0;
    do {
      const done = bed.apply([]).of('job').length;
      expect(done).toBeLessThanOrEqual(bed.core.settings.sweepSteps);
      entries += 1;
    } while (bed.core.nextDue().sweeping);
    expect(entries).toBeGreaterThanOrEqual(3);
    expect(bed.core.counts().waiting).toBe(total);
  });

  it('rule: bounded apply - sweeps end even when only one step is allowed', () => {
    const bed = new Bed({ sweepSteps: 1 });
    const node = bed.incarnation;
    bed.open(5, ['f'], false);
    bed.open(5);
    for (let i = 0; i < 10; i++) bed.submit();
    bed.up('n2', 2);
    bed.do((b) => b.nodeDown(node));
    bed.ticks();
    bed.pass(20_000);
    expect(bed.core.counts()).toMatchObject({ sessions: 0, waiting: 10 });
  });
});

describe('whatever apply reads is replicated', () => {
  it('rule: replicated inputs - settings come with the log and its snapshots, whatever the node was started with', () => {
    const bed = new Bed({ maxAttempts: 9 });
    bed.do((b) => b.settings({ maxAttempts: 1 }));
    const other = new Bed({ maxAttempts: 5 });
    const cursor = bed.core.beginSnapshot();
    const restorer = other.core.beginRestore();
    for (let page = cursor.next(() => false); page !== null; page = cursor.next(() => false)) {
      restorer.page(page.key, page.bytes!);
    }
    restorer.finish();
    expect(other.core.settings).toEqual(bed.core.settings);
    expect(other.core.stateHash()).toBe(bed.core.stateHash());
  });
});

describe('a stalled node', () => {
  it('rule: stalled node - assignments that are not acknowledged return by a core timer, and the attempt does not count', () => {
    const bed = new Bed({ ackTimeoutMs: 1_000 });
    const session = bed.open(1);
    const seq = bed.submit();
    const token = bed.token(seq);
    expect(bed.core.nextDue().elapsedUs).toBe(bed.elapsedUs + 1_000_000);
    bed.passElapsed(999);
    expect(bed.state(seq)).toBe('running');
    expect(bed.passElapsed(1).of('lease lost')).toEqual([
      `lease lost ${session}/1 job ${seq} token ${token} unacknowledged`,
    ]);
    expect(bed.core.job(seq)).toMatchObject({ state: 'queued', attempt: 0 });
  });

  it('rule: stalled node - it gets no assignments until it has caught up', () => {
    const bed = new Bed();
    const session = bed.open(5);
    const node = bed.incarnation;
    bed.up('n2', 2);
    bed.do((b) => b.nodeStalled(node, true));
    const seq = bed.submit();
    expect(bed.state(seq)).toBe('queued');
    expect(bed.core.nodes()).toMatchObject([{ stalled: true }, { stalled: false }]);
    const notes = bed.do((b) => b.nodeStalled(node, false));
    expect(notes.of('assigned').length).toBe(1);
    expect(bed.core.session(session)!.held).toBe(1);
  });
});

describe('NodeDown', () => {
  it('rule: node down - all sessions of the node count as if their connections had broken', () => {
    const bed = new Bed({ sessionGraceMs: 500 });
    const node = bed.incarnation;
    const resumable = bed.open(1);
    const other = bed.open(1, ['f'], false);
    const [a, b] = [bed.submit(), bed.submit()];
    bed.do((builder) => builder.acks(resumable, 1, [bed.token(a)]));
    bed.up('n2', 2);
    const notes = bed.do((builder) => builder.nodeDown(node));
    expect(notes.of('retired')).toEqual([`retired ${node}`]);
    expect(notes.of('detached')).toEqual([
      `detached ${resumable}/1 at ${node}`,
      `detached ${other}/1 at ${node}`,
    ]);
    expect([bed.state(a), bed.state(b)]).toEqual(['running', 'queued']);
    expect(bed.core.nodes()[0]).toMatchObject({ name: 'n1', up: false });
    // In time at another node: the job goes on under the same token.
    const token = bed.token(a);
    bed.do((builder) => builder.sessionAttach(resumable, SECRET, [token]));
    bed.passElapsed(10_000);
    expect(bed.outcome(resumable, complete(a, token)).outcomes.get(0)!.refusal).toBeNull();
  });
});

describe('matching does not scan', () => {
  it('rule: matching - the best job over hundreds of functions: highest priority, then oldest', () => {
    const bed = new Bed({ functionsMax: 10_000 });
    const functions = Array.from({ length: 300 }, (_, i) => `f${i}`);
    for (const fn of functions) bed.submit({ function: fn, priority: 1 });
    const session = bed.open(0, functions);
    for (let i = 0; i < 5_000; i++) bed.submit({ function: functions[i % 300]!, priority: 2 });
    const first = bed.do((b) => b.credit(session, 1, 300)).of('assigned');
    const order = first.map((line) => Number(line.split(' ')[3]));
    expect(order).toEqual(Array.from({ length: 300 }, (_, i) => i + 1));
    const urgent = bed.submit({ function: 'f7', priority: 0 });
    const next = bed.do((b) => b.credit(session, 1, 301)).of('assigned');
    expect(next[0]).toContain(`job ${urgent} `);
  });

  it('rule: matching - sessions of different kinds take turns in the order in which they began to wait', () => {
    const bed = new Bed();
    const kinds = [['f'], ['f', 'g'], ['f', 'h'], ['f']];
    const sessions = kinds.map((functions) => bed.open(1, functions));
    const limited = bed.open(1, [asFunction({ name: 'f', concurrency: 1, runTimeoutMs: 0 })]);
    const got = Array.from({ length: 5 }, () => bed.core.job(bed.submit())!.session);
    expect(got).toEqual([...sessions, limited]);
  });
});

describe('numbers', () => {
  it('rule: numbers - tokens and seqs ascend and are never given twice, across restores too', () => {
    const bed = new Bed();
    const session = bed.open(100);
    let last = 0;
    for (let i = 0; i < 20; i++) {
      const seq = bed.submit();
      const token = bed.token(seq);
      expect(token).toBeGreaterThan(last);
      last = token;
      bed.outcome(session, complete(seq, token), 200);
      if (i !== 10) continue;
      const cursor = bed.core.beginSnapshot();
      const pages: { key: string; bytes: Uint8Array | null }[] = [];
      for (let page = cursor.next(() => false); page !== null; page = cursor.next(() => false))
        pages.push(page);
      const restorer = bed.core.beginRestore();
      for (const { key, bytes } of pages) restorer.page(key, bytes!);
      restorer.finish();
    }
    expect(last).toBe(20);
  });

  it('rule: numbers - seqs and tokens carry restore epoch and partition, below 2^53', () => {
    const BASE = (31 * 256 + 255) * 2 ** 40;
    const first = new Bed();
    first.submit();
    // As a restore of the last epoch in the last partition would begin.
    const restorer = first.core.beginRestore();
    for (const { key, bytes } of pagesOf(new Bed())) {
      if (key === 'meta') {
        const at = bytes.indexOf('test') + 'test'.length;
        bytes.writeDoubleLE(31, at + 8);
        bytes.writeDoubleLE(255, at + 16);
        bytes.writeDoubleLE(BASE, at + 40);
        bytes.writeDoubleLE(BASE, at + 48);
      }
      restorer.page(key, bytes);
    }
    restorer.finish();
    first.speakFor(1);
    const session = first.open(2);
    const [seq, next] = [first.submit(), first.submit()];
    expect([seq, next]).toEqual([BASE + 1, BASE + 2]);
    expect(first.token(next)).toBe(BASE + 2);
    expect(Number.isSafeInteger(BASE + 2 ** 40 - 1)).toBe(true);
    // They are the numbers by which everything is found, through a restore too.
    const second = new Bed();
    const again = second.core.beginRestore();
    for (const { key, bytes } of pagesOf(first)) again.page(key, bytes);
    again.finish();
    second.speakFor(1);
    expect(second.core.job(next)).toEqual(first.core.job(next));
    expect(second.core.seqOfToken(BASE + 1)).toBe(seq);
    expect(second.outcome(session, complete(seq, BASE + 1)).outcomes.get(0)!.refusal).toBeNull();
    expect(second.submit()).toBe(BASE + 3);
  });
});

function pagesOf(bed: Bed): { key: string; bytes: Buffer }[] {
  const pages: { key: string; bytes: Buffer }[] = [];
  const cursor = bed.core.beginSnapshot();
  for (let page = cursor.next(() => false); page !== null; page = cursor.next(() => false)) {
    pages.push({ key: page.key, bytes: Buffer.from(page.bytes!) });
  }
  return pages;
}
