import {
  constants,
  type NodeGCPerformanceDetail,
  type PerformanceEntry,
  PerformanceObserver,
} from 'node:perf_hooks';
import { getHeapStatistics, setFlagsFromString } from 'node:v8';

/** Garbage that may gather between two major collections, bytes. */
const SLACK_BYTES = 128 * 1024 * 1024;
/** V8 does not start a major collection for less growth than this anyway. */
const MOST_PERCENT = 1_000;
/** From here on the slack is less than V8 grants by itself. */
const LEAST_PERCENT = 30;

/**
 * How much a heap with `live` bytes may grow before the next major collection, percent; 0 leaves it to V8. The state of
 * a node is typed arrays, which V8 counts as growth but not as heap: it takes a node under load for a small heap that
 * grows by several times its size per second, and marks it all again five times a second, on every core there is.
 */
export function growingPercent(live: number): number {
  const percent = Math.floor((SLACK_BYTES / Math.max(live, 1)) * 100);
  return percent < LEAST_PERCENT ? 0 : Math.min(percent, MOST_PERCENT);
}

type GcEntry = PerformanceEntry & { readonly detail?: NodeGCPerformanceDetail };

/** Keeps the collector's slack at a fixed number of bytes, whatever the heap's size. */
export function paceCollector(): void {
  let set = -1;
  const adapt = (): void => {
    const percent = growingPercent(getHeapStatistics().used_heap_size);
    if (percent === set) return;
    set = percent;
    setFlagsFromString(`--heap-growing-percent=${percent}`);
  };
  adapt();
  const observer = new PerformanceObserver((list) => {
    const major = list
      .getEntries()
      .some((entry) => (entry as GcEntry).detail?.kind === constants.NODE_PERFORMANCE_GC_MAJOR);
    if (major) adapt();
  });
  observer.observe({ entryTypes: ['gc'] });
}
