import { expect, it } from 'vitest';
import type { JobSpec } from '../../../src/core/types.js';
import { jobSpec } from './parts.js';
import { SimBed } from './sim-bed.js';

/** Goal: what may be submitted all or nothing is what docs/api.md says, to the byte, and all of it is taken. */
const MOST = 768 * 1024;
/** Besides texts and payload. */
const HEAD = 160;

/** As the page counts them: so many jobs that fill `bytes`. */
function filling(bed: SimBed, jobs: number, bytes: number): JobSpec[] {
  const texts = Buffer.byteLength('default') + Buffer.byteLength('ü');
  const each = Math.floor(bytes / jobs);
  return Array.from({ length: jobs }, (_, i) => {
    const size = i === 0 ? bytes - each * (jobs - 1) : each;
    const payload = Buffer.alloc(size - HEAD - texts);
    return jobSpec({ id: bed.leader.node!.newJobId(), function: 'ü', payload });
  });
}

it.each([2, 3, 4_000])('takes %i jobs up to the limit, and refuses one byte more', async (jobs) => {
  const bed = await SimBed.started(3, { settings: { payloadBytesMax: 512 * 1024 } });
  const submit = (bytes: number) =>
    bed.settled(bed.leader.node!.submit('default', filling(bed, jobs, bytes), { allOrNothing: true }));
  const results = await submit(MOST);
  expect(results.map((one) => one.error).filter((error) => error !== null)).toEqual([]);
  const refused = await submit(MOST + 1).catch((error: unknown) => error);
  expect(refused).toMatchObject({
    code: 'LIMIT_REACHED',
    metadata: { limit: 'all-or-nothing-bytes-max', value: String(MOST) },
    retryable: false,
    retryAfterMs: null,
  });
  expect(bed.core(bed.leader).counts().jobs).toBe(jobs);
});
