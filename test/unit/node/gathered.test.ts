import { beforeEach, describe, expect, it } from 'vitest';
import { createBatchBuilder } from '../../../src/core/index.js';
import { Gathered } from '../../../src/node/gathered.js';
import { Origin } from '../../../src/node/origin.js';
import { Machine, NOTHING, newWorld, silent } from './parts.js';

/** Goal: what many connections say in one turn is one command, as it stands when the turn's batch is made. */
describe('what is gathered in a turn', () => {
  let machine: Machine;
  let origin: Origin;
  let gathered: Gathered;
  let sent: Uint8Array[];
  let said: [number, number][][];
  let led: boolean;

  beforeEach(() => {
    machine = new Machine();
    sent = [];
    said = [];
    led = true;
    origin = new Origin({
      core: machine.core,
      builder: createBatchBuilder(),
      clock: newWorld().clock(0),
      log: silent,
      observer: { proposed: () => {} } as never,
      pendingBytesMax: 1_000_000,
      deliver: (_incarnation, _seq, bytes) => sent.push(bytes) > 0,
      leaderInReach: () => led,
      askTurn: () => {},
    });
    machine.effects = {
      ...NOTHING,
      batchStart: (incarnation, seq) => origin.batchStart(incarnation, seq),
      batchEnd: () => origin.batchEnd(machine.index),
    };
    gathered = new Gathered(origin, (builder, items) => {
      said.push([...items]);
      builder.waiters(items);
    });
    origin.begin(machine.nodeUp('n1'));
  });

  /** Commands of each batch that was sent. */
  const commands = (): number[] => sent.map((bytes) => Buffer.from(bytes).readUInt32LE(18));

  it('is one command, whatever else the turn proposes', () => {
    gathered.add(1, 1);
    origin.propose({
      bytes: 100,
      repeatable: false,
      encode: (builder) => builder.pause('default', 'f', true),
      done: () => {},
      failed: () => {},
    });
    gathered.add(2, -1);
    gathered.add(1, 1);
    origin.flush();
    expect(said).toEqual([
      [
        [1, 2],
        [2, -1],
      ],
    ]);
    expect(commands()).toEqual([2]);
    gathered.add(3, 1);
    origin.flush();
    expect(said[1]).toEqual([[3, 1]]);
  });

  it('leaves out what was taken back or came to nothing, and is no command then', () => {
    gathered.add(1, 1);
    gathered.remove(1);
    gathered.add(2, 1);
    gathered.add(2, -1);
    origin.flush();
    expect(said).toEqual([]);
    expect(sent).toEqual([]);
    expect(origin.pendingBytes).toBe(0);
    // What is on its way cannot be taken back.
    gathered.add(3, 1);
    origin.flush();
    gathered.remove(3);
    expect(said).toEqual([[[3, 1]]]);
  });

  it('waits for a leader with the rest, and is bounded', () => {
    led = false;
    for (let key = 1; key <= 1_000; key++) gathered.add(key, 1);
    origin.flush();
    expect(said).toEqual([]);
    gathered.add(1_001, 1);
    led = true;
    origin.flush();
    expect(said.map((items) => items.length)).toEqual([256, 256, 256, 233]);
    expect(said.flat()).toHaveLength(1_001);
  });

  it('is void with the life of the node, on its way or not', () => {
    gathered.add(1, 1);
    origin.flush();
    gathered.add(2, 1);
    origin.retire('none');
    gathered.void();
    gathered.add(3, 1);
    said = [];
    sent = [];
    origin.begin(machine.nodeUp('n1', 2));
    origin.flush();
    expect(said).toEqual([[[3, 1]]]);
    machine.entry(sent);
    expect(origin.pendingBytes).toBe(0);
  });
});
