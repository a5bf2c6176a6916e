/** Jobs keep within their memory whatever is done with them, and what lies on disk for them goes with them. */
import { describe, expect, it } from 'vitest';
import type { Core, JobSpec } from '../../../src/core/index.js';
import { createCore } from '../../../src/core/index.js';
import { JOBS_PER_PAGE } from '../../../src/core/jobs/fields.js';
import { Bed, MapPayloads, MapSpill } from './bed.js';

const LIMIT = 1_000_000;
const PAGES = 60;
const SETTINGS = { retentionMs: 86_400_000, retainedJobsMax: 1_000_000, sweepSteps: 2_000 };
const PAYLOAD = Buffer.alloc(500);

/** Nothing has to be moved. */
class Gathered extends MapSpill {
  override isScattered(): boolean {
    return false;
  }
}

function deep(memoryBytes = LIMIT): { readonly bed: Bed; readonly spill: MapSpill } {
  const spill = new Gathered();
  const bed = new Bed(SETTINGS, { store: spill, memoryBytes });
  const apply = bed.apply.bind(bed);
  bed.apply = (batches) => {
    const said = apply(batches);
    relieve(bed.core);
    return said;
  };
  return { bed, spill };
}

function relieve(core: Core): void {
  while (core.relieve());
}

function fill(
  bed: Bed,
  pages: number,
  change: (page: number, job: number) => Partial<JobSpec> = () => ({}),
): void {
  for (let page = 0; page < pages; page++) {
    bed.do((b) => {
      for (let job = 0; job < JOBS_PER_PAGE; job++) {
        b.submit('default', bed.spec({ payload: PAYLOAD, ...change(page, job) }));
      }
    });
  }
}

describe('the memory of jobs', () => {
  it('is kept while all jobs are looked at, one page after the other', () => {
    const { bed } = deep();
    fill(bed, PAGES);
    let after = 0;
    let seen = 0;
    do {
      const listed = bed.core.listJobs({
        ...{ namespace: 'default', function: '', states: [], uniqueKey: '' },
        ...{ pageSize: JOBS_PER_PAGE, after, budget: 1_000 },
      });
      seen += listed.jobs.length;
      after = listed.next;
      relieve(bed.core);
      expect(bed.payloads.bytes).toBeLessThan(LIMIT);
    } while (after !== 0);
    expect(seen).toBe(PAGES * JOBS_PER_PAGE);
  });

  it('is kept when clients are gone, in whose stead only pages are loaded in which some wait', () => {
    const { bed } = deep();
    fill(bed, PAGES, (page, job) => ({ uniqueKey: `${page}/${job}`, waits: page === 3 && job === 7 }));
    const { spillLoads } = bed.core.counts();
    bed.do((b) => b.nodeDown(bed.incarnation));
    bed.pass(60_000);
    expect(bed.core.counts().spillLoads - spillLoads).toBeLessThan(5);
    expect(bed.core.counts().waiting).toBe(PAGES * JOBS_PER_PAGE - 1);
  });

  it.each([
    ['delayed', { delayMs: 1e9 }],
    ['plain', {}],
  ])('is kept by a restore of %s jobs before plain ones, step by step', (_name, change) => {
    const { bed } = deep();
    fill(bed, PAGES, (page) => (page < PAGES - 10 ? change : {}));
    const cursor = bed.core.beginSnapshot();
    const payloads = new MapPayloads();
    const spill = { store: new Gathered(), memoryBytes: LIMIT };
    const core = createCore({ payloads, spill, settings: SETTINGS, clusterName: 'test' });
    const restorer = core.beginRestore();
    let peak = 0;
    const look = (): void => {
      peak = Math.max(peak, payloads.bytes);
    };
    for (let page = cursor.next(() => false); page !== null; page = cursor.next(() => false)) {
      restorer.page(page.key, page.bytes!);
      look();
    }
    let steps = 0;
    for (const _ of restorer.steps()) {
      look();
      steps++;
    }
    expect(peak).toBeLessThan(LIMIT + 2 * JOBS_PER_PAGE * PAYLOAD.length);
    expect(steps).toBeGreaterThan(PAGES / 2);
    expect(core.stateHash()).toBe(bed.core.stateHash());
    expect(core.queues(null)).toEqual(bed.core.queues(null));
  });

  it('is freed on disk as well by jobs that go while a snapshot has brought them back', () => {
    const { bed, spill } = deep(0);
    fill(bed, 5);
    expect(spill.count).toBeGreaterThan(3);
    const cursor = bed.core.beginSnapshot();
    for (let page = cursor.next(() => false); page !== null; page = cursor.next(() => false)) {
      if (!page.key.startsWith('jobs/')) continue;
      bed.do((b) => b.purge('default', 'f', ['queued', 'cancelled']));
      bed.pass(1);
    }
    expect(bed.core.counts()).toMatchObject({ jobs: 0, spilledJobs: 0 });
    expect(spill.count).toBe(0);
    expect(bed.payloads.count).toBe(0);
  });
});
