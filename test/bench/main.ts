import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { ENGINE_FLAGS } from '../../src/cli/engine-flags.js';
import { RealCluster } from '../support/real-cluster.js';
import { purge } from './bench-cluster.js';
import { fdatasync, residentBytes } from './gauge.js';
import { Report } from './report.js';
import { PARTS, w10, w10Summary } from './w10.js';
import { type Bench, fill, w1, w1b, w2, w3, w6 } from './workloads.js';

const HELP = `Measures a three-node cluster of real processes on this machine, with real fdatasync, 100-byte jobs.

    npm run bench                       all of it, the default form
    npm run bench -- --only W1,W3       some of it
    npm run bench -- --runs 5           every workload so often (3)
    npm run bench -- --seconds 20       longer runs (5)
    npm run bench -- --fill 310         whole cycles for 310 s first, so that the dedupe window is full
    npm run bench -- --kills 50         leaders killed by W6 (20)
    npm run bench -- --profile DIR      CPU profiles of the nodes, one file each
    npm run bench -- --json             one line of JSON instead of text

  W1   acknowledged submissions, one job a call
  W1b  the same in batches of 100
  W2   whole cycles
  W3   submit to start, one at a time
  W6   time from kill(2) of the leader to the answer of a submission sent after it
  W10  Gearman's packets, beside a gearmand with its jobs in memory where one is installed, by turns:
       W10a background submissions, W10b whole cycles, W10c round trip of a foreground job, one at a time
`;

const { values: flags } = parseArgs({
  options: {
    only: { type: 'string', default: 'W1,W1b,W2,W3,W6,W10' },
    seconds: { type: 'string', default: '5' },
    runs: { type: 'string', default: '3' },
    kills: { type: 'string', default: '20' },
    fill: { type: 'string', default: '0' },
    json: { type: 'boolean', default: false },
    profile: { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
if (flags.help) {
  process.stdout.write(HELP);
  process.exit(0);
}
const only = new Set(flags.only.split(','));
const gearman = PARTS.filter((part) => only.has('W10') || only.has(`W10${part}`));
const report = new Report(flags.json);

const disk = await fdatasync(200, 1);
report.add(
  'disk',
  0,
  `fdatasync of 4 KiB, preallocated: p50 ${disk.p50.toFixed(2)} ms, p99 ${disk.p99.toFixed(2)} ms; ${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}; Node ${process.version}`,
  disk,
);
if (gearman.length > 0 || ['W1', 'W1b', 'W2', 'W3'].some((one) => only.has(one))) await inOneCluster();
if (only.has('W6')) await w6(report, Number(flags.kills));
report.finish();

async function inOneCluster(): Promise<void> {
  const profile = flags.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${flags.profile}`];
  const nodeFlags = [...ENGINE_FLAGS, ...profile];
  const cluster = await RealCluster.start({ nodeFlags });
  try {
    if (Number(flags.fill) > 0) await fill({ cluster, report, run: 0, seconds: Number(flags.fill) });
    for (let run = 1; run <= Number(flags.runs); run++) {
      const bench: Bench = { cluster, report, run, seconds: Number(flags.seconds) };
      if (only.has('W3')) await w3(bench);
      if (only.has('W2')) await w2(bench);
      if (only.has('W1')) await w1(bench);
      if (only.has('W1b')) await w1b(bench);
      if (gearman.length > 0) await w10(bench, gearman);
      await purge(cluster);
    }
    if (gearman.length > 0) w10Summary({ report });
    const rss = cluster.nodes.map((node) => Math.round(residentBytes(node.pid) / 1024 / 1024));
    report.add('mem', 0, `resident memory of the nodes at the end: ${rss.join(', ')} MiB`, {
      max: Math.max(...rss),
    });
    await cluster.agreedHash();
    report.add('hash', 0, 'all replicas agree', { agree: 1 });
  } catch (error) {
    process.stderr.write(`${cluster.logs()}\n`);
    throw error;
  } finally {
    if (flags.profile !== undefined) await Promise.all(cluster.nodes.map((node) => node.end('SIGTERM')));
    await cluster.remove();
  }
}
