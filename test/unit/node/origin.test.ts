import { beforeEach, describe, expect, it } from 'vitest';
import type { GearmeshError } from '../../../src/core/errors.js';
import { createBatchBuilder } from '../../../src/core/index.js';
import { LocalEffects } from '../../../src/node/local-effects.js';
import { Origin, type Proposal } from '../../../src/node/origin.js';
import type { World } from '../../../src/sim/world.js';
import { Machine, NOTHING, newWorld, pass, silent } from './parts.js';

describe('the batches of a node', () => {
  let world: World;
  let machine: Machine;
  let origin: Origin;
  let sent: { incarnation: number; seq: number; bytes: Uint8Array }[];
  let takes: boolean;
  let led: boolean;
  let told: string[];
  let logged: string[];

  beforeEach(() => {
    world = newWorld();
    machine = new Machine();
    sent = [];
    takes = true;
    led = true;
    told = [];
    logged = [];
    origin = new Origin({
      core: machine.core,
      builder: createBatchBuilder(),
      clock: world.clock(0),
      log: { ...silent, error: (_fields, message) => logged.push(message) },
      observer: { proposed: () => {} } as never,
      pendingBytesMax: 1_000,
      deliver: (incarnation, seq, bytes) => {
        if (takes) sent.push({ incarnation, seq, bytes });
        return takes;
      },
      leaderInReach: () => led,
      askTurn: () => {},
    });
    machine.effects = {
      ...NOTHING,
      batchStart: (incarnation, seq) => origin.batchStart(incarnation, seq),
      batchEnd: () => origin.batchEnd(machine.index),
      batchSkipped: (incarnation, _seq, expected) => origin.batchSkipped(incarnation, expected),
      command: (position, result) => origin.command(position, result),
    };
  });

  function call(name: string, options: Partial<Proposal> = {}): () => boolean {
    return origin.propose({
      bytes: 100,
      repeatable: false,
      encode: (builder) => builder.pause('default', name, true),
      done: () => told.push(`${name} done`),
      failed: (error: GearmeshError) => told.push(`${name} ${error.code} ${error.outcome}`),
      ...options,
    });
  }

  /** Each batch is said as often as it was sent. */
  function apply(batches = sent.splice(0)): void {
    for (const { bytes } of batches) machine.entry([bytes]);
  }

  it('wait for an incarnation, and are answered by their apply and not by being sent', () => {
    call('a');
    origin.flush();
    expect(sent).toEqual([]);
    origin.begin(machine.nodeUp('n1'));
    origin.flush();
    expect(sent.map((one) => one.seq)).toEqual([1]);
    expect(told).toEqual([]);
    apply();
    expect(told).toEqual(['a done']);
    expect(origin.awaited).toBe(false);
    expect(origin.pendingBytes).toBe(0);
  });

  it('count once, however often they are sent', () => {
    origin.begin(machine.nodeUp('n1'));
    call('a');
    origin.flush();
    call('b');
    origin.flush();
    origin.resendFrom(0);
    origin.flush();
    expect(sent.map((one) => one.seq)).toEqual([1, 2, 1, 2]);
    apply();
    expect(told).toEqual(['a done', 'b done']);
  });

  it('are sent again from the gap that the state machine reports', () => {
    origin.begin(machine.nodeUp('n1'));
    call('a');
    origin.flush();
    call('b');
    origin.flush();
    apply([sent[1]!]);
    expect(told).toEqual([]);
    sent = [];
    origin.flush();
    expect(sent.map((one) => one.seq)).toEqual([1, 2]);
    apply();
    expect(told).toEqual(['a done', 'b done']);
  });

  it('stay in order when one was not taken', () => {
    origin.begin(machine.nodeUp('n1'));
    takes = false;
    call('a');
    origin.flush();
    call('b');
    origin.flush();
    takes = true;
    origin.flush();
    expect(sent.map((one) => one.seq)).toEqual([1, 2]);
  });

  it('are sent again when nothing is heard of them for a second', async () => {
    origin.begin(machine.nodeUp('n1'));
    call('a');
    origin.flush();
    await pass(world, 900);
    origin.check();
    origin.flush();
    expect(sent).toHaveLength(1);
    await pass(world, 200);
    origin.check();
    origin.flush();
    expect(sent).toHaveLength(2);
  });

  it('rule: skipped log - after NodeDown open calls go on under the next incarnation, once', () => {
    origin.begin(machine.nodeUp('n1'));
    call('a');
    origin.flush();
    const late = sent.splice(0);
    const next = machine.nodeUp('n1', 2);
    origin.retire('none');
    origin.begin(next);
    origin.flush();
    expect(sent.map(({ incarnation, seq }) => [incarnation, seq])).toEqual([[next, 1]]);
    apply(late);
    expect(told).toEqual([]);
    apply();
    expect(told).toEqual(['a done']);
  });

  it('rule: skipped log - open calls are reported unknown, unless their job ids let them be repeated', () => {
    origin.begin(machine.nodeUp('n1'));
    call('once');
    call('again', { repeatable: true });
    origin.flush();
    origin.retire('unknown');
    expect(told).toEqual(['once OUTCOME_UNKNOWN UNKNOWN']);
    sent = [];
    origin.begin(machine.nodeUp('n1', 2));
    origin.flush();
    apply();
    expect(told).toEqual(['once OUTCOME_UNKNOWN UNKNOWN', 'again done']);
  });

  it('are never called undone once they may have counted', () => {
    origin.begin(machine.nodeUp('n1'));
    const takeBack = call('sent', { repeatable: true });
    origin.flush();
    origin.retire('unknown');
    const undo = call('new');
    expect(takeBack()).toBe(false);
    expect(undo()).toBe(true);
    call('other');
    origin.close();
    expect(told).toEqual(['sent OUTCOME_UNKNOWN UNKNOWN', 'other SHUTTING_DOWN NOT_APPLIED']);
  });

  it('are not made without a leader: what waits can be taken back, and the rest is sent with the next one', () => {
    origin.begin(machine.nodeUp('n1'));
    call('early');
    origin.flush();
    led = false;
    const takeBack = call('hasty');
    call('patient');
    origin.flush();
    expect(takeBack()).toBe(true);
    apply();
    expect(told).toEqual(['early done']);
    expect(sent).toEqual([]);
    led = true;
    origin.flush();
    expect(sent.map((one) => one.seq)).toEqual([2]);
    apply();
    expect(told).toEqual(['early done', 'patient done']);
    expect(origin.pendingBytes).toBe(0);
  });

  it('that nobody took are undone with the call that is taken back', () => {
    origin.begin(machine.nodeUp('n1'));
    takes = false;
    const takeBack = call('hasty');
    call('patient');
    origin.flush();
    call('later');
    origin.flush();
    expect(takeBack()).toBe(true);
    takes = true;
    origin.flush();
    expect(sent.map((one) => one.seq)).toEqual([1]);
    apply();
    expect(told).toEqual(['patient done', 'later done']);
    expect(origin.pendingBytes).toBe(0);
  });

  it('that nobody took did not happen when the node stops', () => {
    origin.begin(machine.nodeUp('n1'));
    takes = false;
    call('a');
    origin.flush();
    origin.close();
    expect(told).toEqual(['a SHUTTING_DOWN NOT_APPLIED']);
  });

  it('are refused above the limit, but for what nobody would say again', () => {
    for (let i = 0; i < 10; i++) call(`a${i}`);
    call('more');
    expect(told).toEqual(['more LIMIT_REACHED NOT_APPLIED']);
    call('detach', { owed: true });
    origin.begin(machine.nodeUp('n1'));
    origin.flush();
    apply();
    expect(told).toContain('detach done');
  });

  it('are awaited as long as somebody waits for one of their answers', () => {
    origin.begin(machine.nodeUp('n1'));
    call('housekeeping', { awaited: false });
    expect(origin.awaited).toBe(false);
    const takeBack = call('call');
    expect(origin.awaited).toBe(true);
    origin.flush();
    expect(origin.awaited).toBe(true);
    expect(takeBack()).toBe(false);
    expect(origin.awaited).toBe(false);
    call('other');
    origin.flush();
    apply();
    expect(told).toEqual(['housekeeping done', 'call done', 'other done']);
    expect(origin.awaited).toBe(false);
  });

  it('leave out a call that cannot be encoded, and carry the others', () => {
    origin.begin(machine.nodeUp('n1'));
    const broken: Partial<Proposal> = {
      encode: (builder) => {
        builder.pause('default', 'half said', true);
        throw new Error('no');
      },
    };
    call('a');
    call('broken', broken);
    call('b', { command: (position) => told.push(`b answered at ${position}`) });
    origin.flush();
    expect(told).toEqual(['broken INTERNAL NOT_APPLIED']);
    expect(logged).toHaveLength(1);
    apply();
    expect(told.slice(1)).toEqual(['b answered at 0', 'a done', 'b done']);
    expect(machine.core.queue('default', 'half said')).toBeNull();
    expect(machine.core.queue('default', 'b')?.paused).toBe(true);
    // A batch of nothing is none.
    call('broken', broken);
    origin.flush();
    expect(sent).toEqual([]);
    call('c');
    origin.flush();
    expect(sent.map((one) => one.seq)).toEqual([2]);
    apply();
    expect(told.at(-1)).toBe('c done');
    expect(origin.pendingBytes).toBe(0);
  });

  it('tell what is under way at the end from what was never sent', () => {
    origin.begin(machine.nodeUp('n1'));
    call('sent');
    origin.flush();
    call('waiting');
    origin.close();
    call('late');
    expect(told).toEqual([
      'waiting SHUTTING_DOWN NOT_APPLIED',
      'sent OUTCOME_UNKNOWN UNKNOWN',
      'late SHUTTING_DOWN NOT_APPLIED',
    ]);
  });

  it('of other nodes tell nothing here', () => {
    const effects = new LocalEffects({ origin } as never);
    origin.begin(machine.nodeUp('n1'));
    expect(effects.batchStart(origin.incarnation + 1, 1)).toBe(false);
    effects.batchEnd();
    expect(told).toEqual([]);
  });
});
