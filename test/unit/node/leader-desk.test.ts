import { beforeEach, describe, expect, it } from 'vitest';
import { MalformedBytesError } from '../../../src/base/bytes.js';
import type { Proposed } from '../../../src/consensus/types.js';
import { BATCH_HEAD_BYTES } from '../../../src/core/codec.js';
import { encodeNodeUp } from '../../../src/core/index.js';
import { LeaderDesk } from '../../../src/node/leader-desk.js';
import type { World } from '../../../src/sim/world.js';
import { Machine, newWorld, pass } from './parts.js';

describe('the leader takes batches', () => {
  let world: World;
  let machine: Machine;
  let desk: LeaderDesk;
  let proposed: Uint8Array[];
  let answer: Proposed;
  let incarnation: number;
  let mayStamp: boolean;
  let turns: number;
  let uncommitted: number;

  beforeEach(() => {
    world = newWorld();
    mayStamp = true;
    turns = 0;
    uncommitted = 0;
    machine = new Machine();
    proposed = [];
    answer = 'accepted';
    const consensus = {
      propose: (entries: readonly Uint8Array[]) => {
        if (answer === 'accepted') proposed.push(...entries);
        return answer;
      },
      get uncommittedBytes() {
        return uncommitted;
      },
    };
    desk = new LeaderDesk({
      core: machine.core,
      consensus: consensus as never,
      clock: world.clock(0),
      clocks: {
        get mayStamp() {
          return mayStamp;
        },
        wallMs: () => world.clock(0).wallMs(),
      },
      askTurn: () => {
        turns += 1;
      },
    });
    incarnation = machine.nodeUp('n2');
    desk.open(2);
  });

  function batch(seq: number): Uint8Array {
    return machine.batch(incarnation, seq, (builder) => builder.pause('default', 'f', seq % 2 === 0));
  }

  /** One whose commands take so many bytes. */
  function sized(seq: number, bytes: number): Uint8Array {
    return Buffer.concat([batch(seq).subarray(0, BATCH_HEAD_BYTES), new Uint8Array(bytes)]);
  }

  it('once each and in order', () => {
    expect(desk.accept('n2', incarnation, 1, batch(1))).toBeNull();
    expect(desk.accept('n2', incarnation, 1, batch(1))).toBeNull();
    expect(desk.accept('n2', incarnation, 3, batch(3))).toBe(2);
    expect(desk.accept('n2', incarnation, 2, batch(2))).toBeNull();
    desk.flush();
    expect(proposed).toHaveLength(1);
    machine.core.apply(++machine.index, proposed[0]!, machine.effects);
    expect(machine.core.lastBatch(incarnation)).toBe(2);
  });

  it('and keeps them while it does not know the time', () => {
    mayStamp = false;
    expect(desk.accept('n2', incarnation, 1, batch(1))).toBeNull();
    desk.flush();
    expect(proposed).toHaveLength(0);
    mayStamp = true;
    const before = turns;
    desk.clockRead();
    expect(turns).toBe(before + 1);
    desk.flush();
    expect(proposed).toHaveLength(1);
    // Nothing waits any more.
    desk.clockRead();
    expect(turns).toBe(before + 1);
  });

  it('of no incarnation that it does not know', () => {
    incarnation += 7;
    expect(desk.accept('n2', incarnation, 1, batch(1))).toBe(0);
  });

  it('whose head is what the frame says, and logs no others: an entry that cannot be read stops every replica', () => {
    const good = batch(1);
    const changed = (at: number, byte: number) => {
      const bytes = Buffer.from(good);
      bytes[at] = byte;
      return bytes;
    };
    const up = encodeNodeUp({ name: 'n2', nonce: 1, grpc: '', http: '', version: '0' });
    const bad: [string, number, number, Uint8Array][] = [
      ['a batch of version 9', incarnation, 1, changed(0, 9)],
      ['a batch of kind 1 under', incarnation, 1, changed(1, 1)],
      ['a batch of kind 7 under', incarnation, 1, changed(1, 7)],
      ['in the frame of batch 1', incarnation, 1, batch(2)],
      ['in the frame of batch 1', incarnation + 1, 1, good],
      ['a batch of 0 commands', incarnation, 1, changed(BATCH_HEAD_BYTES - 4, 0)],
      ['commands in', incarnation, 1, changed(BATCH_HEAD_BYTES - 1, 200)],
      ['more bytes were promised', incarnation, 1, good.subarray(0, 10)],
      ['a batch of kind 2 under incarnation 0', 0, 0, good],
      ['a NodeUp of n2', 0, 0, up],
      ['more bytes were promised', 0, 0, up.subarray(0, up.length - 2)],
      ['a NodeUp of another form', 0, 0, Buffer.concat([up, Buffer.alloc(1)])],
    ];
    for (const [why, of, seq, bytes] of bad) {
      const accept = () => desk.accept('n3', of, seq, bytes);
      expect(accept, why).toThrow(MalformedBytesError);
      expect(accept).toThrow(why);
    }
    desk.flush();
    expect(proposed).toEqual([]);
    expect(desk.accept('n2', 0, 0, up)).toBeNull();
    expect(desk.accept('n2', incarnation, 1, good)).toBeNull();
  });

  it('and goes on behind what the log holds when it comes to office', () => {
    machine.entry([batch(1)]);
    desk.close();
    desk.open(3);
    expect(desk.accept('n2', incarnation, 1, batch(1))).toBeNull();
    desk.flush();
    expect(proposed).toEqual([]);
    expect(desk.accept('n2', incarnation, 3, batch(3))).toBe(2);
  });

  it('anew after an office in which they were proposed and lost', () => {
    desk.accept('n2', incarnation, 1, batch(1));
    desk.flush();
    desk.close();
    desk.open(3);
    proposed = [];
    expect(desk.accept('n2', incarnation, 1, batch(1))).toBeNull();
    desk.flush();
    expect(proposed).toHaveLength(1);
  });

  it('and keeps them while the log takes nothing', () => {
    answer = 'dropped';
    desk.accept('n2', incarnation, 1, batch(1));
    desk.flush();
    expect(desk.isOpen).toBe(true);
    answer = 'accepted';
    desk.flush();
    expect(proposed).toHaveLength(1);
    desk.flush();
    expect(proposed).toHaveLength(1);
  });

  it('and lets them wait for what is under way where that is much, until they are worth an entry', () => {
    uncommitted = 16 * 1024 - 1;
    desk.accept('n2', incarnation, 1, batch(1));
    desk.flush();
    expect(proposed).toHaveLength(1);

    uncommitted = 16 * 1024;
    desk.accept('n2', incarnation, 2, sized(2, 30 * 1024));
    desk.accept('n2', incarnation, 3, sized(3, 30 * 1024));
    desk.flush();
    expect(proposed).toHaveLength(1);
    desk.accept('n2', incarnation, 4, sized(4, 4 * 1024));
    desk.flush();
    expect(proposed).toHaveLength(2);

    desk.accept('n2', incarnation, 5, batch(5));
    desk.accept('n2', incarnation, 6, batch(6));
    desk.flush();
    expect(proposed).toHaveLength(2);
    // What was under way is committed and applied: what waited goes in one entry.
    uncommitted = 0;
    const before = turns;
    desk.afterApply();
    expect(turns).toBe(before + 1);
    desk.flush();
    expect(proposed).toHaveLength(3);
    desk.flush();
    expect(proposed).toHaveLength(3);
  });

  it('and is closed when it turns out to be out of office', () => {
    answer = 'not-leader';
    desk.accept('n2', incarnation, 1, batch(1));
    desk.flush();
    expect(desk.isOpen).toBe(false);
  });

  it('without holding more than its limit', () => {
    let seq = 1;
    while (desk.accept('n2', incarnation, seq, batch(seq)) === null) seq += 1;
    expect(seq).toBe(1_025);
    const up = encodeNodeUp({ name: 'n3', nonce: 1, grpc: '', http: '', version: '0' });
    for (let i = 0; i < 10; i++) expect(desk.accept('n3', 0, 0, up)).toBeNull();
    expect(desk.accept('n2', incarnation, seq, batch(seq))).toBe(seq);
  });

  it('rule: bounded apply - in entries of at most 1 MiB', () => {
    for (let seq = 1; seq <= 4; seq++) desk.accept('n2', incarnation, seq, sized(seq, 200 * 1024));
    desk.flush();
    expect(proposed).toHaveLength(2);
    for (const entry of proposed) expect(entry.length).toBeLessThanOrEqual(1024 * 1024);
  });

  it('and lets time between two leaders count as nothing', async () => {
    const before = machine.core.elapsedUs;
    desk.close();
    await pass(world, 60_000);
    desk.open(3);
    expect(desk.elapsedUs()).toBe(before);
    await pass(world, 5);
    expect(desk.elapsedUs()).toBe(before + 5_000);
  });

  it('and lets what is only to be dropped wait for another reason, a second at most', async () => {
    let wall = 0;
    let tidyWall = 0;
    const core = {
      elapsedUs: 0,
      wall: 0,
      nextDue: () => ({ elapsedUs: Number.POSITIVE_INFINITY, wall, tidyWall, sweeping: false }),
    };
    const one = new LeaderDesk({
      core: core as never,
      consensus: {
        propose: (entries: Uint8Array[]) => {
          proposed.push(...entries);
          return 'accepted';
        },
      } as never,
      clock: world.clock(0),
      clocks: { mayStamp: true, wallMs: () => world.clock(0).wallMs() },
      askTurn: () => {},
    });
    wall = Number.POSITIVE_INFINITY;
    tidyWall = world.clock(0).wallMs() + 100;
    one.open(2);
    await pass(world, 1_050);
    one.flush();
    expect(proposed).toEqual([]);
    await pass(world, 60);
    one.flush();
    expect(proposed).toHaveLength(1);
  });

  it('and moves time by a tick when a timer is due', async () => {
    const spec = {
      id: '01KDVDNW00ABCDEFGHJKMNPQRS',
      function: 'f',
      payload: new Uint8Array(0),
      payloadBlob: null,
      contentType: '',
      metadata: [],
      priority: 1,
      runAtWall: 0,
      delayMs: 500,
      uniqueKey: '',
      retry: null,
      runTimeoutMs: 0,
      startDeadlineWall: 0,
      retentionMs: -1,
      traceparent: '',
      foreground: false,
      seed: 1,
    } as const;
    machine.entry([machine.batch(incarnation, 1, (builder) => builder.submit('default', spec))]);
    const seq = machine.core.seqOf('default', spec.id);
    expect(machine.core.stateOf(seq)).toBe('scheduled');
    desk.afterApply();
    await pass(world, 400);
    desk.flush();
    expect(proposed).toEqual([]);
    await pass(world, 200);
    // One that is not taken now is proposed again, although nothing is applied meanwhile.
    answer = 'dropped';
    desk.flush();
    expect(proposed).toEqual([]);
    answer = 'accepted';
    desk.flush();
    expect(proposed).toHaveLength(1);
    desk.flush();
    expect(proposed).toHaveLength(1);
    machine.core.apply(++machine.index, proposed[0]!, machine.effects);
    expect(machine.core.stateOf(seq)).toBe('queued');
  });
});
