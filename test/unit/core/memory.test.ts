import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { createCore, encodeEntry, encodeNodeUp } from '../../../src/core/index.js';
import { createPayloadStore } from '../../../src/storage/index.js';
import { Bed, Notes } from './bed.js';

const JOBS = 120_000;
const JOBS_PER_ENTRY = 500;

/** Bytes of arrays and buffers that are still referred to. */
function held(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  collect();
  return process.memoryUsage().arrayBuffers;
}

describe('memory', () => {
  /*
   * Nearly all of it is in arrays, whose sizes follow from what is kept: 88 bytes of a row's first part and 2 to find it, 2.5
   * of what a page of 256 jobs has beside, 104 for a payload of 100 with its meta and 4 beside it, and a slot of 8 in the index
   * of ids, which is at least half full: 218 at most. Up to 1 MiB of the newest chunk of payloads is empty: 9 for each of
   * so many jobs. A column of numbers more in the first part is 8.
   */
  it('a job that only waits takes at most 230 bytes beside the heap, a payload of 100 bytes included', () => {
    const payloads = createPayloadStore();
    const core = createCore({ payloads, clusterName: 'test' });
    const bed = new Bed();
    const before = held();
    const apply = (batch: Uint8Array): void => {
      bed.elapsedUs += 1000;
      core.apply(core.appliedIndex + 1, encodeEntry(bed.elapsedUs, bed.wall, [batch]), new Notes());
    };
    apply(encodeNodeUp({ name: 'n1', nonce: 1, grpc: 'a:1', http: 'a:2', version: '1' }));
    const payload = Buffer.alloc(100, 1);
    for (let entry = 1; entry <= JOBS / JOBS_PER_ENTRY; entry++) {
      for (let i = 0; i < JOBS_PER_ENTRY; i++) bed.builder.submit('default', bed.spec({ payload }));
      apply(bed.builder.finish(1, entry));
    }
    expect(core.counts().waiting).toBe(JOBS);
    expect((held() - before) / JOBS).toBeLessThan(230);
    expect(payloads.bytes).toBe(JOBS * 104);
  });
});
