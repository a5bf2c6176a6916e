import { cpus } from 'node:os';
import { chosenPeers } from './comparison/chosen.js';
import { markdown } from './comparison/markdown.js';
import { compared, ratioLines } from './comparison/ratios.js';
import { turns } from './comparison/turns.js';
import type { Context } from './context.js';
import { fdatasync } from './gauge.js';
import { HELP, type Options, readOptions } from './options.js';
import { PEERS } from './peers/index.js';
import { Report } from './report.js';
import { TURN } from './turn.js';
import { deep, deepest } from './workloads/deep.js';
import { frozen, killed, stopped } from './workloads/failover.js';
import { floor } from './workloads/floor.js';
import { growth } from './workloads/growth.js';
import { pauses } from './workloads/pauses.js';
import { payloads } from './workloads/payloads.js';
import { startup } from './workloads/startup.js';

/** What is done once, each in a cluster of its own, if one of these names is wanted. */
const ONCE: readonly (readonly [readonly string[], (context: Context) => Promise<void>])[] = [
  [['floor'], floor],
  [['W4'], payloads],
  [['W5j', 'W5f', 'W5w'], growth],
  [['W6'], killed],
  [['W6t'], stopped],
  [['W6s'], frozen],
  [['W7', 'W8'], deep],
  [['W7d'], deepest],
  [['W9'], pauses],
  [['W11'], startup],
];
const IN_TURNS: readonly string[] = [...TURN, 'W3f', 'W10a', 'W10b', 'W10c', 'syncs'];

const options = wanted();
if (options === null) process.stdout.write(HELP);
else process.exitCode = await bench(options);

function wanted(): Options | null {
  try {
    return readOptions(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`);
    process.exit(2);
  }
}

/** Returns the exit code. */
async function bench(options: Options): Promise<number> {
  const say = (line: string): void => {
    if (!options.json) process.stdout.write(`${line}\n`);
  };
  const report = new Report(say);
  const context: Context = { report, options };
  const any = (names: readonly string[]): boolean => names.some((name) => options.only.has(name));
  const disk = await fdatasync(200, 1);
  report.add(
    'disk',
    `fdatasync of 4 KiB, preallocated: p50 ${disk.p50.toFixed(2)} ms, p99 ${disk.p99.toFixed(2)} ms; ${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}; Node ${process.version}`,
    disk,
  );
  const peers = await chosenPeers(options.peers, report);
  const comparesFailover = peers.length > 0 && options.only.has('W6');
  const failed = any(IN_TURNS) || comparesFailover ? await turns(context, peers) : [];
  for (const [names, run] of ONCE) if (any(names)) await run(context);

  report.judge();
  const lines = compared(report);
  for (const line of ratioLines(lines)) say(line);
  if (options.markdown) {
    say('');
    say(markdown(report, lines, new Map(PEERS.map((peer) => [peer.name, peer.promise]))));
  }
  if (options.json) {
    const rows = report.rows.map(({ figures, workload, run, side, ...row }) => ({
      ...figures,
      workload,
      run,
      side,
      calm: report.isCalm({ figures, workload, run, side, ...row }),
    }));
    process.stdout.write(`${JSON.stringify({ rows, ratios: lines })}\n`);
  }
  if (failed.length > 0) process.stderr.write(`failed: ${failed.join(', ')}\n`);
  return failed.length > 0 ? 1 : 0;
}
