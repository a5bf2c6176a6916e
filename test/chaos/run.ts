import { SeededRandom } from '../../src/sim/random.js';
import { until } from '../support/real-cluster.js';
import { FaultSchedule } from './faults/schedule.js';
import { Load } from './load/index.js';
import { Notes } from './load/notes.js';
import type { Machine } from './machine.js';
import { observe } from './observe.js';
import type { Options } from './options.js';
import { Stage } from './stage.js';
import { type Summary, summaryOf } from './summary.js';

const MINUTE = 60_000;
/** Everything that was accepted must have ended so long after the last fault. */
const END_MS = 120_000;
const LOOK_MS = 250;

export interface Outcome {
  readonly summary: Summary;
  readonly notes: Notes;
  readonly stage: Stage;
}

/** One run: load, faults, healing, the end of all that was accepted, and what every node has of it. */
export async function run(
  options: Options,
  machine: Machine,
  say: (line: string) => void,
  stop: AbortSignal,
): Promise<Outcome> {
  const random = new SeededRandom(options.seed);
  const origin = performance.now();
  const now = (): number => performance.now() - origin;
  const volumes = machine.volumes === '' && options.faults.includes('full-disk');
  const clocks = options.faults.includes('clock');
  const stage = await Stage.open({
    nodes: options.nodes,
    machine,
    volumes,
    clocks,
    random: random.fork(),
    now,
    say,
  });
  const notes = new Notes(now);
  try {
    const cutOff = (since: number): void => {
      notes.recorder.note({ type: 'interrupted', at: since, until: now(), worker: 'of any node', node: '' });
    };
    const schedule = new FaultSchedule(stage, options.faults, random.fork(), cutOff);
    for (const [kind, why] of schedule.skipped) stage.say(`${kind} is skipped: ${why}`);
    const load = new Load(stage.cluster, notes, random.fork(), {
      rate: options.rate,
      hasGearman: machine.gearman,
    });
    let failed: Error | null = null;
    load.start().catch((error: Error) => {
      failed = error;
      schedule.end();
    });
    const end = (): void => {
      // Ctrl-C reaches the nodes as well.
      stage.stopWatching();
      schedule.end();
    };
    stop.addEventListener('abort', end, { once: true });
    const from = now();
    await schedule.run(options.minutes * MINUTE);
    const to = now();
    stage.say('all faults are over');
    for (const node of stage.cluster.nodes) await stage.revive(node);
    await load.quiesce();
    stage.say('no calls any more; waiting for what was accepted to end');
    await atRest(stage, notes);
    await load.stop();
    if (failed !== null) throw failed;
    stage.stopWatching();
    await agreed(stage);
    await observe(stage, notes);
    const healed = now();
    const summary = summaryOf({ options, stage, notes, schedule, from, to, healed });
    return { summary, notes, stage };
  } catch (error) {
    process.stderr.write(`${stage.cluster.logs()}\n`);
    await stage.close({ keep: options.keep });
    throw error;
  }
}

/** Until nothing waits or runs; a finding, when that takes too long. What exactly, the checker says. */
async function atRest(stage: Stage, notes: Notes): Promise<void> {
  const client = stage.cluster.client({ timeoutMs: 5_000 });
  const end = notes.now() + END_MS;
  let open = 1;
  try {
    while (open > 0 && notes.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      const queues = await client.queues.list().catch(() => null);
      if (queues === null) continue;
      open = 0;
      for (const { waiting, scheduled, running } of queues) {
        open += waiting.high + waiting.normal + waiting.low + scheduled + running;
      }
    }
  } finally {
    await client.close();
  }
  if (open > 0) stage.found(`${open} jobs had not ended ${END_MS / 1_000} s after the last fault`);
}

/** Equal hashes at an equal place of the log, and nobody set its data aside but those whose disks were spoilt. */
async function agreed(stage: Stage): Promise<void> {
  await until(END_MS, () =>
    stage.cluster.agreedHash({ damaged: [...stage.damaged] }).then(
      () => true,
      (error: Error) => {
        if (error.message.includes('not within')) return false;
        throw error;
      },
    ),
  ).catch((error: Error) => stage.found(`the replicas do not agree: ${error.message}`));
}
