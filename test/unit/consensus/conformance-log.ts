import { expect, test } from 'vitest';
import type { Output, RaftMessage } from '../../../src/consensus/types.js';
import { bytes, Cluster, type ClusterOptions, type Codec, type Factory, type Node, text } from './cluster.js';

export function logConformance(factory: Factory, codec: Codec): void {
  const three = (options: ClusterOptions['options'] = {}) =>
    new Cluster({ factory, codec, voters: [1, 2, 3], options });
  const carried = (message: RaftMessage): string => {
    const entries = (codec.toWire(message) as unknown[])[10] as unknown[];
    return entries.length > 0 ? 'entries' : 'none';
  };

  test('what the leader accepts is applied everywhere, in order', () => {
    const cluster = three();
    const leader = cluster.elect(1);
    cluster.propose(leader, 'a', 'b');
    cluster.propose(leader, 'c');
    for (const node of cluster.all) expect(cluster.commands(node)).toEqual(['a', 'b', 'c']);
  });

  test('the commit index reaches the others with no heartbeat', () => {
    const cluster = three();
    const leader = cluster.elect(1);
    cluster.propose(leader, 'a');
    for (const node of cluster.all) expect(node.core.status().commit).toBe(leader.core.status().lastIndex);
  });

  test('and is not answered: an entry costs each of the others one answer', () => {
    const cluster = three();
    const leader = cluster.elect(1);
    cluster.propose(leader, 'a');
    const passed: string[] = [];
    cluster.filter = (message) => {
      passed.push(`${message.from}>${message.to} ${carried(message)}`);
      return true;
    };
    cluster.propose(leader, 'b');
    expect(passed.filter((one) => one === '1>2 entries')).toHaveLength(1);
    // The commit index.
    expect(passed.filter((one) => one === '1>2 none')).toHaveLength(1);
    expect(passed.filter((one) => one.startsWith('2>1'))).toHaveLength(1);
    for (const node of cluster.all) expect(cluster.commands(node)).toEqual(['a', 'b']);
  });

  test('and who is in no hurry hears of it with the next entry, or when told to be told', () => {
    const cluster = three();
    const leader = cluster.elect(1);
    const passed: string[] = [];
    cluster.filter = (message) => {
      if (message.from === 1) passed.push(`${message.to} ${carried(message)}`);
      return true;
    };
    leader.core.hurry(new Set([3]));
    cluster.propose(leader, 'a');
    expect(passed.sort()).toEqual(['2 entries', '3 entries', '3 none']);
    expect(leader.core.newsWaits).toBe(true);
    expect(cluster.commands(cluster.node(3))).toEqual(['a']);
    expect(cluster.commands(cluster.node(2))).toEqual([]);
    cluster.propose(leader, 'b');
    expect(cluster.commands(cluster.node(2))).toEqual(['a']);
    leader.core.tellNews();
    cluster.settle();
    expect(leader.core.newsWaits).toBe(false);
    expect(cluster.commands(cluster.node(2))).toEqual(['a', 'b']);
    // A leader that is one no more has nothing to tell.
    cluster.propose(leader, 'c');
    cluster.elect(2);
    expect(leader.core.newsWaits).toBe(false);
    for (const node of cluster.all) expect(cluster.commands(node)).toEqual(['a', 'b', 'c']);
  });

  test('a heartbeat tells it too, so nobody is late for long', () => {
    const cluster = three();
    const leader = cluster.elect(1);
    leader.core.hurry(new Set());
    cluster.propose(leader, 'a');
    expect(cluster.commands(cluster.node(2))).toEqual([]);
    cluster.tick();
    for (const node of cluster.all) expect(cluster.commands(node)).toEqual(['a']);
  });

  test('only the leader accepts', () => {
    const cluster = three();
    expect(cluster.node(1).core.propose([bytes('a')])).toBe('not-leader');
    cluster.elect(1);
    expect(cluster.node(2).core.propose([bytes('a')])).toBe('not-leader');
  });

  test('the data of an entry goes by reference', () => {
    const cluster = three();
    const leader = cluster.elect(1);
    const data = bytes('a');
    leader.core.propose([data]);
    expect(leader.core.take()?.entries[0]?.data).toBe(data);
  });

  test('the leader sends its entries before its own disk has them', () => {
    const cluster = three();
    const leader = cluster.elect(1);
    leader.syncs = false;
    cluster.propose(leader, 'a');
    expect(cluster.commands(cluster.node(2))).toEqual(['a']);
    expect(cluster.commands(leader)).toEqual([]);
    cluster.sync(leader);
    cluster.settle();
    expect(cluster.commands(leader)).toEqual(['a']);
  });

  test('rule: durable index - a leader whose disk lags does not count itself', () => {
    const cluster = three();
    const leader = cluster.elect(1);
    leader.syncs = false;
    cluster.node(3).syncs = false;
    cluster.propose(leader, 'a');
    const before = leader.core.status();
    expect(before.commit).toBe(before.lastIndex - 1);
    expect(before.durableIndex).toBe(before.lastIndex - 1);
    expect(before.progress.find((peer) => peer.id === 1)?.match).toBe(before.lastIndex - 1);
    cluster.sync(leader);
    cluster.settle();
    expect(leader.core.status().commit).toBe(before.lastIndex);
  });

  test('a follower whose disk lags does not count', () => {
    const cluster = three();
    const leader = cluster.elect(1);
    cluster.crash(3);
    cluster.node(2).syncs = false;
    cluster.propose(leader, 'a');
    cluster.tick(3);
    expect(cluster.commands(leader)).toEqual([]);
    cluster.sync(cluster.node(2));
    cluster.settle();
    expect(cluster.commands(leader)).toEqual(['a']);
  });

  test('rule: durable index - a new leader does not count what it had not yet synced as a follower', () => {
    const cluster = three();
    cluster.elect(1);
    cluster.crash(3);
    const second = cluster.node(2);
    second.syncs = false;
    cluster.propose(cluster.node(1), 'a');
    const { lastIndex } = second.core.status();
    second.core.campaign();
    cluster.settle();
    // Its request for votes waits behind the same disk.
    expect(second.leads).toBe(false);
    expect(second.core.status().durableIndex).toBe(lastIndex - 1);
    cluster.sync(second);
    cluster.settle();
    expect(second.leads).toBe(true);
    // The entry that opens its term is not on its disk yet: one disk of three is no majority.
    expect(second.core.status().commit).toBeLessThan(second.core.status().lastIndex);
    cluster.sync(second);
    cluster.settle();
    expect(cluster.commands(second)).toEqual(['a']);
  });

  test('work that was not synced is lost in a crash and comes back from the others', () => {
    const cluster = three();
    const leader = cluster.elect(1);
    cluster.node(3).syncs = false;
    cluster.propose(leader, 'a', 'b');
    cluster.crash(3);
    cluster.restart(3);
    expect(cluster.node(3).core.status().lastIndex).toBe(leader.core.status().lastIndex - 2);
    cluster.node(3).syncs = true;
    cluster.tick(3);
    expect(cluster.commands(cluster.node(3))).toEqual(['a', 'b']);
  });

  test('rule: durable index - a truncation lowers it, and the end of the older write does not raise it', () => {
    const cluster = three();
    cluster.elect(1);
    cluster.isolate(1);
    const old = cluster.node(1);
    old.syncs = false;
    cluster.propose(old, 'lost 1', 'lost 2', 'lost 3');
    const { lastIndex } = old.core.status();
    cluster.elect(2);
    cluster.propose(cluster.node(2), 'kept');
    cluster.heal();
    cluster.tick(3);
    expect(old.unsynced.length).toBeGreaterThan(1);
    const common = lastIndex - 3;
    expect(old.core.status().durableIndex).toBe(common);
    cluster.sync(old, 1);
    expect(old.core.status().durableIndex).toBe(common);
    cluster.sync(old);
    cluster.settle();
    expect(old.core.status().durableIndex).toBe(old.core.status().lastIndex);
    cluster.tick(2);
    expect(cluster.commands(old)).toEqual(['kept']);
  });

  test('rule: durable index - answers to appends of one term are one per sync', () => {
    const cluster = three();
    const leader = cluster.elect(1);
    const follower = cluster.node(2);
    follower.syncs = false;
    for (const command of ['a', 'b', 'c', 'd']) cluster.propose(leader, command);
    cluster.sync(follower);
    const output = follower.core.take();
    expect(output?.messages).toHaveLength(1);
    cluster.node(1).core.step(output!.messages[0]!);
    const { progress, lastIndex } = leader.core.status();
    expect(progress.find((peer) => peer.id === 2)?.match).toBe(lastIndex);
  });

  test('rule: durable index - durability is attested by index and term: an answer of an older term moves nothing', () => {
    const cluster = three();
    const first = cluster.elect(1);
    const common = first.core.status().lastIndex;
    // Node 2 has three entries on its disk and says so; the answer is long on its way, and the leader loses all.
    cluster.isolate(3);
    first.syncs = false;
    expect(first.core.propose(['lost 1', 'lost 2', 'lost 3'].map(bytes))).toBe('accepted');
    cluster.drain(first);
    while (cluster.network.length > 0) cluster.deliver(0);
    cluster.drain(cluster.node(2));
    const late = cluster.network.splice(0).filter((frame) => frame.from === 2 && frame.to === 1);
    expect(late.length).toBeGreaterThan(0);
    expect(cluster.node(2).core.status().durableIndex).toBe(common + 3);
    cluster.crash(1);
    first.syncs = true;
    cluster.heal();
    cluster.isolate(2);
    cluster.restart(1);
    cluster.elect(3);
    // The same leader again, alone with another entry in the place of the third: nobody else has it.
    cluster.elect(1);
    cluster.isolate(3);
    cluster.propose(first, 'alone');
    const { commit, lastIndex } = first.core.status();
    expect(lastIndex).toBe(common + 3);
    cluster.heal();
    for (const frame of late) cluster.arrive(frame);
    cluster.drain(first);
    expect(first.core.status().commit).toBe(commit);
    expect(first.core.status().progress.find((peer) => peer.id === 2)?.match).toBeLessThan(lastIndex);
  });

  test('ten thousand entries in one proposal', () => {
    const cluster = three();
    const leader = cluster.elect(1);
    const commands = Array.from({ length: 10_000 }, (_, i) => String(i));
    cluster.propose(leader, ...commands);
    for (const node of cluster.all) expect(cluster.commands(node)).toEqual(commands);
  });

  test('more than one call could take as arguments', () => {
    const cluster = three({ maxMessageBytes: 8 * 1024 * 1024 });
    const leader = cluster.elect(1);
    cluster.cut.add('1>3').add('1>2');
    expect(leader.core.propose(Array.from({ length: 150_000 }, () => new Uint8Array(0)))).toBe('accepted');
    cluster.drain(leader);
    const { lastIndex } = leader.core.status();
    const counts = cluster.network.map((frame) => ((frame.wire as unknown[])[10] as unknown[]).length / 3);
    expect(Math.max(...counts)).toBe(10_000);
    expect(leader.core.status().durableIndex).toBe(lastIndex);
  });

  test('a message holds no more than its limit, or one entry', () => {
    const cluster = three({ maxMessageBytes: 10_000 });
    const leader = cluster.elect(1);
    const sizes: number[] = [];
    cluster.filter = (message) => {
      const wire = codec.toWire(message) as unknown[];
      const data = (wire[10] as unknown[]).filter((field) => field instanceof Uint8Array) as Uint8Array[];
      if (data.length > 0) sizes.push(data.reduce((sum, one) => sum + one.length, 0));
      return true;
    };
    // From the unstable part of the log, and later, for the node that comes back, from the stable one.
    cluster.isolate(3);
    leader.core.propose(Array.from({ length: 50 }, () => new Uint8Array(1_000)));
    leader.core.propose([new Uint8Array(30_000)]);
    cluster.settle();
    cluster.heal();
    cluster.tick(3);
    expect(cluster.node(3).appliedIndex).toBe(leader.core.status().lastIndex);
    expect(Math.max(...sizes)).toBe(30_000);
    expect(sizes.filter((size) => size > 10_000 && size !== 30_000)).toEqual([]);
    expect(sizes.some((size) => size > 5_000 && size <= 10_000)).toBe(true);
  });

  test('proposals are dropped, all or nothing, while too much waits for its commit', () => {
    const cluster = three({ maxUncommittedBytes: 1_000 });
    const leader = cluster.elect(1);
    cluster.cut.add('2>1').add('3>1');
    const { lastIndex } = leader.core.status();
    expect(leader.core.propose([new Uint8Array(600)])).toBe('accepted');
    expect(leader.core.propose([new Uint8Array(300), new Uint8Array(300)])).toBe('dropped');
    expect(leader.core.status().lastIndex).toBe(lastIndex + 1);
    expect(leader.core.propose([new Uint8Array(400)])).toBe('accepted');
    cluster.settle();
    cluster.heal();
    cluster.tick(2);
    expect(leader.core.propose([new Uint8Array(5_000)])).toBe('accepted');
  });

  test('no more than the window is under way to one peer', () => {
    const cluster = three({ maxInflight: 4, maxMessageBytes: 100 });
    const leader = cluster.elect(1);
    cluster.drain(leader);
    leader.core.propose(Array.from({ length: 40 }, () => new Uint8Array(100)));
    const output = leader.core.take() as Output;
    expect(output.messages.filter((message) => message.to === 2)).toHaveLength(4);
    for (const { to, from } of output.messages) leader.core.reportUnreachable(to === 1 ? from : to);
    cluster.tick(3);
    expect(cluster.node(2).appliedIndex).toBe(leader.core.status().lastIndex);
  });

  test('committed entries come in order, once, and only when they are on this disk', () => {
    const cluster = new Cluster({ factory, codec, voters: [1] });
    const node = cluster.node(1);
    node.syncs = false;
    node.core.campaign();
    node.core.propose([bytes('a')]);
    const first = node.core.take() as Output;
    expect(first.entries.map((entry) => text(entry.data))).toEqual(['', 'a']);
    expect(first).toMatchObject({ mustSync: true, committed: [] });
    expect(node.core.take()).toBeNull();
    node.core.persisted(first.write);
    const second = node.core.take() as Output;
    expect(second.committed).toEqual(first.entries);
    expect(second.write).toBe(0);
    expect(node.core.take()).toBeNull();
  });

  test('a lone voter that leads again does not count what it has not synced', () => {
    const cluster = new Cluster({ factory, codec, voters: [1] });
    const node = cluster.elect(1);
    const { lastIndex } = node.core.status();
    node.syncs = false;
    cluster.propose(node, 'a');
    node.core.stepDown();
    node.core.campaign();
    cluster.settle();
    expect(node.core.status()).toMatchObject({ role: 'leader', commit: lastIndex, durableIndex: lastIndex });
    expect(node.core.status().progress[0]?.match).toBe(lastIndex);
    cluster.sync(node);
    cluster.settle();
    expect(cluster.commands(node)).toEqual(['a']);
  });

  test('a restart finds term, vote and log, and goes on', () => {
    const cluster = three();
    cluster.elect(1);
    cluster.propose(cluster.node(1), 'a', 'b');
    const before = cluster.all.map((node) => node.core.status());
    for (const node of cluster.all) cluster.crash(node.id);
    for (const node of cluster.all) cluster.restart(node.id);
    for (const [i, node] of cluster.all.entries()) {
      const { term, vote, lastIndex } = before[i]!;
      expect(node.core.status()).toMatchObject({ term, vote, lastIndex, durableIndex: lastIndex });
    }
    cluster.tick(60);
    cluster.propose(cluster.leader, 'c');
    for (const node of cluster.all) expect(cluster.commands(node)).toEqual(['a', 'b', 'c']);
  });

  test('a commit index beyond the end of the log found counts as the end', () => {
    const cluster = three();
    const node = cluster.node(1);
    cluster.crash(1);
    node.disk = { ...node.disk, hardState: { term: 1, vote: 0, commit: 77 } };
    cluster.restart(1);
    expect(node.core.status().commit).toBe(1);
  });

  const compactAt = (node: Node): void => {
    const index = node.appliedIndex;
    const term = node.core.status().term;
    const mark = { index, term, membership: node.membership };
    node.core.compact(mark, index + 1);
    node.disk = { ...node.disk, mark, entries: node.disk.entries.filter((entry) => entry.index > index) };
  };

  test('a laggard gets a snapshot where the log is gone, and the log goes on behind it', () => {
    const cluster = three();
    const leader = cluster.elect(1);
    cluster.isolate(3);
    cluster.propose(leader, 'a', 'b', 'c');
    compactAt(leader);
    expect(leader.core.status().firstIndex).toBe(leader.appliedIndex + 1);
    cluster.propose(leader, 'd');
    const laggard = cluster.node(3);
    laggard.syncs = false;
    cluster.heal();
    cluster.tick(3);
    expect(laggard.snapshots.map((mark) => mark.index)).toEqual([leader.appliedIndex - 1]);
    expect(leader.core.status().progress.find((peer) => peer.id === 3)?.state).toBe('snapshot');
    laggard.syncs = true;
    cluster.settle();
    cluster.tick(2);
    expect(laggard.core.status().durableIndex).toBe(leader.appliedIndex);
    expect(cluster.commands(laggard)).toEqual(['a', 'b', 'c', 'd']);
    expect(leader.core.status().progress.find((peer) => peer.id === 3)?.state).toBe('replicate');
    cluster.crash(3);
    cluster.restart(3);
    expect(laggard.core.status()).toMatchObject({
      firstIndex: leader.appliedIndex,
      lastIndex: leader.appliedIndex,
    });
  });

  test('rule: durable index - a snapshot that replaces other entries lowers it until it is on disk', () => {
    const cluster = three();
    const old = cluster.elect(1);
    cluster.isolate(1);
    cluster.propose(old, 'lost 1', 'lost 2', 'lost 3', 'lost 4', 'lost 5');
    const common = old.appliedIndex;
    const leader = cluster.elect(2);
    cluster.propose(leader, 'a');
    compactAt(leader);
    old.syncs = false;
    cluster.heal();
    cluster.tick(3);
    expect(old.snapshots.map((mark) => mark.index)).toEqual([leader.appliedIndex]);
    expect(old.core.status().durableIndex).toBe(common);
    old.syncs = true;
    cluster.settle();
    expect(old.core.status().durableIndex).toBe(leader.appliedIndex);
  });

  test('a snapshot that got lost is sent again once it is reported', () => {
    const cluster = three();
    const leader = cluster.elect(1);
    cluster.isolate(3);
    cluster.propose(leader, 'a');
    compactAt(leader);
    let lost = 0;
    cluster.filter = (message) => message.snapshot === null || ++lost > 1;
    cluster.heal();
    cluster.tick(5);
    expect(lost).toBe(1);
    leader.core.reportSnapshot(3, false);
    cluster.tick(3);
    expect(cluster.commands(cluster.node(3))).toEqual(['a']);
  });

  test('entries may be kept behind a snapshot for those who lag a little', () => {
    const cluster = three();
    const leader = cluster.elect(1);
    cluster.propose(leader, 'a');
    cluster.isolate(3);
    cluster.propose(leader, 'b', 'c');
    const { term } = leader.core.status();
    const mark = { index: leader.appliedIndex, term, membership: leader.membership };
    leader.core.compact(mark, leader.appliedIndex - 1);
    cluster.heal();
    cluster.tick(3);
    expect(cluster.node(3).snapshots).toEqual([]);
    expect(cluster.commands(cluster.node(3))).toEqual(['a', 'b', 'c']);
  });
}
