// Loaded into a node before its own code (`node --import`): on SIGUSR2 it writes what Probed holds to the file that
// BENCH_PROBE names, and begins anew; on SIGURG it collects all garbage and gives back what it can. The product knows
// nothing of it.
import { renameSync, writeFileSync } from 'node:fs';
import { PerformanceObserver } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Probed } from './probe-data.js';

const file = process.env.BENCH_PROBE ?? '';
let gcLongest = 0;
let gcTotal = 0;
let gcCount = 0;

function take(entries: readonly { readonly duration: number }[]): void {
  for (const { duration } of entries) {
    gcLongest = Math.max(gcLongest, duration);
    gcTotal += duration;
    gcCount++;
  }
}

const observer = new PerformanceObserver((list) => take(list.getEntries()));
observer.observe({ entryTypes: ['gc'] });

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as (how: object) => void;
process.on('SIGURG', () => collect({ type: 'major', execution: 'sync', flavor: 'last-resort' }));

process.on('SIGUSR2', () => {
  take(observer.takeRecords());
  const said: Probed = { memory: process.memoryUsage(), gcLongest, gcTotal, gcCount };
  // Whole or not there at all.
  writeFileSync(`${file}.new`, JSON.stringify(said));
  renameSync(`${file}.new`, file);
  gcLongest = gcTotal = gcCount = 0;
});
