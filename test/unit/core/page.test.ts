import { describe, expect, it } from 'vitest';
import { ByteReader, ByteWriter } from '../../../src/base/bytes.js';
import {
  F_CREATED_WALL,
  F_FIELDS,
  JOBS_PER_PAGE,
  M_ATTEMPT,
  M_FIELDS,
  M_FINISHED_WALL,
  M_REPLICATED,
  M_TIMER,
  U_FIELDS,
  U_SEED,
} from '../../../src/core/jobs/fields.js';
import { JobPage, NO_MORE, readJobPage } from '../../../src/core/jobs/page.js';
import type { FrozenPage } from '../../../src/core/snapshot/page.js';
import { Hash64 } from '../../../src/core/tables/hash.js';
import { MapPayloads } from './bed.js';

/** A page of so many jobs that wait. */
function waiting(count: number): JobPage {
  const page = new JobPage(3, new MapPayloads());
  for (let place = 0; place < count; place++) {
    const row = page.add(page.first + place);
    page.u[row * U_FIELDS + U_SEED] = place * 3 + 1;
    page.f[row * F_FIELDS + F_CREATED_WALL] = place * 7 + 1;
  }
  return page;
}

function hashOf(page: JobPage): string {
  const hash = new Hash64();
  page.hash(hash);
  return hash.hex();
}

function encoded(frozen: FrozenPage): Buffer {
  const writer = new ByteWriter();
  frozen.parts[0]!.encode(writer);
  return writer.take();
}

function restored(bytes: Buffer): JobPage {
  return readJobPage(3, bytes, new MapPayloads(), () => undefined).page;
}

describe('a page of jobs', () => {
  it('has second parts from the first number on that is not zero, and never writes what it shares with others', () => {
    const page = waiting(5);
    const row = page.row(page.first + 4);
    page.setMore(row, M_ATTEMPT, 0);
    expect(page.more).toBe(NO_MORE);
    page.setMore(row, M_ATTEMPT, 2);
    expect(page.more).not.toBe(NO_MORE);
    expect(page.more).toBe(page.ownMore());
    expect(page.more[row * M_FIELDS + M_ATTEMPT]).toBe(2);
    expect(NO_MORE[row * M_FIELDS + M_ATTEMPT]).toBe(0);
    page.setMore(row, M_ATTEMPT, 0);
    expect(page.more[row * M_FIELDS + M_ATTEMPT]).toBe(0);
  });

  it('hashes and encodes alike with second parts of zeros and without', () => {
    const without = waiting(40);
    const zeros = waiting(40);
    zeros.ownMore();
    const local = waiting(40);
    local.setMore(local.row(local.first), M_TIMER, 77);
    const set = waiting(40);
    set.setMore(set.row(set.first), M_ATTEMPT, 1);
    for (const page of [zeros, local, restored(encoded(without.present()))]) {
      expect(hashOf(page)).toBe(hashOf(without));
      expect(encoded(page.present()).equals(encoded(without.present()))).toBe(true);
    }
    expect(hashOf(set)).not.toBe(hashOf(without));
    expect(restored(encoded(without.present())).more).toBe(NO_MORE);
    expect(restored(encoded(local.present())).more).toBe(NO_MORE);
    // The same number in another column, and in another row.
    const column = waiting(40);
    column.setMore(column.row(column.first), M_FINISHED_WALL, 1);
    const other = waiting(40);
    other.setMore(other.row(other.first + 1), M_ATTEMPT, 1);
    expect(new Set([set, column, other, without].map(hashOf)).size).toBe(4);
  });

  it('comes back from a snapshot with what its jobs have, also a minus zero', () => {
    const page = waiting(JOBS_PER_PAGE);
    for (let place = 0; place < JOBS_PER_PAGE; place += 3) {
      page.setMore(page.row(page.first + place), place % M_REPLICATED, place - 0.5);
    }
    page.ownMore()[page.row(page.first + 1) * M_FIELDS + M_ATTEMPT] = -0;
    const copy = restored(encoded(page.present()));
    expect(hashOf(copy)).toBe(hashOf(page));
    expect(encoded(copy.present()).equals(encoded(page.present()))).toBe(true);
    expect(Object.is(copy.more[copy.row(copy.first + 1) * M_FIELDS + M_ATTEMPT], -0)).toBe(true);
  });

  it('is frozen as it was, whatever is written later', () => {
    for (const started of [false, true]) {
      const page = waiting(30);
      if (started) page.setMore(page.row(page.first), M_ATTEMPT, 1);
      const before = encoded(page.present());
      const frozen = page.freeze();
      page.setMore(page.row(page.first), M_ATTEMPT, 9);
      page.f[page.row(page.first) * F_FIELDS + F_CREATED_WALL] = 9;
      page.remove(page.first + 1);
      page.retire();
      expect(encoded(frozen).equals(before)).toBe(true);
    }
  });

  it('keeps every row when it grows and shrinks, and lets go of second parts that nobody needs', () => {
    const page = waiting(32);
    page.setMore(page.row(page.first + 31), M_ATTEMPT, 5);
    for (let place = 32; place < JOBS_PER_PAGE; place++) page.add(page.first + place);
    expect(page.more[page.row(page.first + 31) * M_FIELDS + M_ATTEMPT]).toBe(5);
    for (let place = 0; place < JOBS_PER_PAGE; place++) {
      if (place !== 20 && place !== 31) page.remove(page.first + place);
    }
    const left = page.row(page.first + 31);
    expect([page.count, page.more[left * M_FIELDS + M_ATTEMPT]]).toEqual([2, 5]);
    expect(page.u[page.row(page.first + 20) * U_FIELDS + U_SEED]).toBe(61);
    expect(page.f[left * F_FIELDS + F_CREATED_WALL]).toBe(218);

    const idle = waiting(JOBS_PER_PAGE);
    idle.setMore(idle.row(idle.first), M_ATTEMPT, 5);
    idle.setMore(idle.row(idle.first), M_ATTEMPT, 0);
    for (let place = 16; place < JOBS_PER_PAGE; place++) idle.remove(idle.first + place);
    expect(idle.more).toBe(NO_MORE);
  });

  it('refuses numbers of a second part that it does not know', () => {
    const page = waiting(1);
    page.setMore(0, M_ATTEMPT, 1);
    const bytes = encoded(page.present());
    const reader = new ByteReader(bytes);
    // Version, count, versions of blobs, place, words, numbers, what follows: then the bits of what is set.
    const at = 8 + 4 + 16 * 8 + 1 + 8 * 4 + 4 * 8 + 1;
    reader.raw(at);
    expect(reader.u32()).toBe(1 << M_ATTEMPT);
    bytes.writeUInt32LE(1 << 16, at);
    expect(() => restored(bytes)).toThrow('not known');
  });
});
