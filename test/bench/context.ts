import type { Options } from './options.js';
import type { Report } from './report.js';

/** What a workload with a cluster of its own gets. */
export interface Context {
  readonly report: Report;
  readonly options: Options;
}
