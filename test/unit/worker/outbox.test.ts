/** The outbox: frames of bounded size, in which nothing overtakes what it depends on. */
import { describe, expect, test } from 'vitest';
import { OutcomeKind, type WorkFrame } from '../../../proto/gen/gearmesh/v1/worker.js';
import { Outbox } from '../../../src/worker/outbox.js';
import { bareOutcome } from '../../../src/worker/running.js';

const KIB = 1 << 10;

function frames(outbox: Outbox): WorkFrame[] {
  const taken: WorkFrame[] = [];
  while (!outbox.empty) taken.push(outbox.take());
  return taken;
}

function complete(token: number, bytes: number) {
  return { ...bareOutcome(token, `job-${token}`, OutcomeKind.COMPLETE, 0), result: new Uint8Array(bytes) };
}

describe('frames', () => {
  test('are cut at their size; the credit comes with the last outcomes', () => {
    const outbox = new Outbox();
    for (let token = 1; token <= 6; token++) outbox.outcome(complete(token, 400 * KIB));
    outbox.credit(6);
    outbox.goodbye('bye');
    const taken = frames(outbox);
    expect(taken.map((f) => [f.outcomes.map((o) => o.leaseToken), f.credit, f.goodbye?.reason])).toEqual([
      [[1, 2], 0, undefined],
      [[3, 4], 0, undefined],
      [[5, 6], 6, 'bye'],
    ]);
  });

  test('data goes before the outcome that counts it, in chunks numbered on', async () => {
    const outbox = new Outbox();
    for (let i = 0; i < 12; i++) expect(outbox.data(1, i, new Uint8Array(200 * KIB))).toBe(true);
    outbox.outcome(complete(1, 1));
    const taken = frames(outbox);
    const chunks = taken.flatMap((f) => f.data.flatMap((d) => d.chunks.map((_, i) => d.first + i)));
    expect(chunks).toEqual(Array.from({ length: 12 }, (_, i) => i));
    const withOutcome = taken.findIndex((f) => f.outcomes.length > 0);
    expect(taken.slice(withOutcome + 1).every((f) => f.data.length === 0)).toBe(true);
    for (const frame of taken) {
      const bytes = frame.data.reduce((sum, d) => sum + d.chunks.length * 200 * KIB, 0);
      expect(bytes).toBeLessThanOrEqual(1_024 * KIB);
    }
  });

  test('what is larger than a frame goes alone', () => {
    const outbox = new Outbox();
    outbox.outcome(complete(1, 10));
    outbox.outcome(complete(2, 2_000 * KIB));
    outbox.outcome(complete(3, 10));
    expect(frames(outbox).map((f) => f.outcomes.map((o) => o.leaseToken))).toEqual([[1], [2], [3]]);
  });
});

describe('data that waits', () => {
  test('holds its sender back, until it is taken', async () => {
    const outbox = new Outbox();
    const never = new AbortController().signal;
    outbox.data(1, 0, new Uint8Array(100 * KIB));
    await outbox.room(never);
    outbox.data(1, 1, new Uint8Array(300 * KIB));
    let room = false;
    const waiting = outbox.room(never).then(() => {
      room = true;
    });
    await Promise.resolve();
    expect(room).toBe(false);
    frames(outbox);
    await waiting;
  });

  test('does not hold back a job that was aborted', async () => {
    const outbox = new Outbox();
    const abort = new AbortController();
    outbox.data(1, 0, new Uint8Array(300 * KIB));
    const waiting = outbox.room(abort.signal);
    abort.abort();
    await waiting;
  });

  test('is bounded, and is dropped with its lease', () => {
    const outbox = new Outbox();
    let at = 0;
    while (outbox.data(1, at, new Uint8Array(256 * KIB))) at++;
    expect(at).toBe(31); // 8 MiB, with what each chunk costs beside
    outbox.forget(1);
    expect(outbox.empty).toBe(true);
    expect(outbox.data(2, 0, new Uint8Array(256 * KIB))).toBe(true);
  });
});

test('a new stream says anew what belongs to a stream, and keeps data and progress', () => {
  const outbox = new Outbox();
  outbox.ack(1);
  outbox.credit(5);
  outbox.outcome(complete(1, 1));
  outbox.progress(2, 1, 2, '');
  outbox.data(2, 0, new Uint8Array(1));
  outbox.restart();
  const frame = outbox.take();
  expect([frame.acks, frame.credit, frame.outcomes]).toEqual([[], 0, []]);
  expect([frame.progress.length, frame.data.length]).toEqual([1, 1]);
  expect(outbox.empty).toBe(true);
});
