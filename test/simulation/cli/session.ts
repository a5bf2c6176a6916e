import type { SimPlan } from '../../../src/sim/plan.js';
import { commandOf, type Flags, planWith } from './flags.js';
import type { Outcome } from './messages.js';
import { Pool } from './pool.js';
import { regressions } from './regressions.js';
import { shrink } from './shrink.js';
import { ENOUGH_SEEDS, Tally } from './tally.js';

/** Another half of the world, and a locale in which even the case of letters differs. */
const ELSEWHERE = { TZ: 'Asia/Kathmandu', LC_ALL: 'tr_TR.UTF-8', LANG: 'tr_TR.UTF-8' };
/** Seeds that are run twice when nobody asks for more. */
const REPEATED = 2;
/** Failed seeds that are made smaller. */
const SHRUNK = 3;
/** Examples of each rule that a seed breaks. */
const TEXTS_SHOWN = 2;
const PROGRESS_MS = process.stderr.isTTY ? 1_000 : 10_000;

/** Many seeds, in as many processes as there are cores. */
export class Session {
  readonly #flags: Flags;
  readonly #pool: Pool;
  readonly #elsewhere: Pool;
  readonly #tally = new Tally();
  readonly #failed: Outcome[] = [];
  readonly #began = performance.now();
  /** Regressions that failed again. */
  #again = 0;

  constructor(flags: Flags) {
    this.#flags = flags;
    const { jobs, limitSeconds } = flags;
    this.#pool = new Pool({ jobs, limitSeconds });
    this.#elsewhere = new Pool({ jobs, limitSeconds, env: ELSEWHERE });
  }

  /** Returns the exit code. */
  async run(): Promise<0 | 1> {
    const progress = setInterval(() => this.#progress(), PROGRESS_MS);
    try {
      if (this.#flags.regressions) await this.#regressions();
      await this.#seeds();
    } finally {
      clearInterval(progress);
    }
    const elapsedMs = this.#elapsedMs;
    await this.#shrinkFailed();
    this.#pool.close();
    this.#elsewhere.close();
    return this.#finish(elapsedMs);
  }

  get #elapsedMs(): number {
    return performance.now() - this.#began;
  }

  #say(text: string): void {
    (this.#flags.json ? process.stderr : process.stdout).write(text);
  }

  #progress(): void {
    if (this.#tally.seeds === 0) return;
    const line = this.#tally.progress(this.#flags.count, this.#elapsedMs);
    process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${line}` : `${line}\n`);
  }

  #clearProgress(): void {
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
  }

  async #regressions(): Promise<void> {
    const all = regressions();
    await Promise.all(
      all.map(async ({ plan, was }) => {
        const outcome = await this.#pool.run(plan);
        if (outcome.violations.length === 0) return;
        this.#again += 1;
        this.#failed.push(outcome);
        this.#clearProgress();
        this.#say(`regression (${was}):\n${failureText(outcome)}`);
      }),
    );
    this.#say(`${all.length} regressions, ${this.#again} failed\n`);
  }

  async #seeds(): Promise<void> {
    const { first, count, minutes, jobs, repeat } = this.#flags;
    let given = 0;
    const lane = async (): Promise<void> => {
      while (given < count && this.#elapsedMs < minutes * 60_000) {
        const number = given++;
        const plan = planWith(first + number, this.#flags.overrides);
        const twice = repeat || number < REPEATED;
        this.#done(twice ? await this.#runTwice(plan) : await this.#pool.run(plan));
      }
    };
    await Promise.all(Array.from({ length: jobs }, lane));
  }

  /** Elsewhere, and in a process that ran something else before or nothing, a seed gives the same run. */
  async #runTwice(plan: SimPlan): Promise<Outcome> {
    const [here, there] = await Promise.all([this.#pool.run(plan), this.#elsewhere.run(plan)]);
    const hashes = [here, there].map((outcome) => `${outcome.traceHash}, ${outcome.events} events`);
    if (hashes[0] === hashes[1]) return here;
    const text = `two runs differ: ${hashes[0]}; in another time zone and locale ${hashes[1]}`;
    return { ...here, violations: [...here.violations, { seenBy: 'inside', rule: 'repeatable', text }] };
  }

  #done(outcome: Outcome): void {
    this.#tally.add(outcome);
    if (outcome.violations.length === 0) {
      if (this.#flags.single) this.#say(`seed ${outcome.plan.seed}: fine, trace ${outcome.traceHash}\n`);
      return;
    }
    this.#failed.push(outcome);
    this.#clearProgress();
    this.#say(failureText(outcome));
  }

  async #shrinkFailed(): Promise<void> {
    const { shrinkRuns, jobs } = this.#flags;
    if (shrinkRuns === 0) return;
    for (const outcome of this.#failed.slice(0, SHRUNK)) {
      const rule = outcome.violations[0]!.rule;
      // A run that is not repeatable is not found by one more run.
      if (rule === 'repeatable') continue;
      this.#say(`\nseed ${outcome.plan.seed}: looking for a smaller run that breaks "${rule}" …\n`);
      const run = (plan: SimPlan): Promise<Outcome> => this.#pool.run(plan);
      const found = await shrink(outcome, rule, run, { width: jobs, runsMax: shrinkRuns });
      const size = found.plan === outcome.plan ? 'none is smaller' : planText(found.plan);
      this.#say(`after ${found.runs} runs: ${size}\n${failureText(found)}`);
    }
    const left = this.#failed.length - SHRUNK;
    if (left > 0) this.#say(`\n${left} more failed seeds are left as they are\n`);
  }

  #finish(elapsedMs: number): 0 | 1 {
    const tally = this.#tally;
    const idle = tally.seeds >= ENOUGH_SEEDS ? tally.idle : [];
    const ok = this.#failed.length === 0 && idle.length === 0;
    this.#clearProgress();
    if (tally.seeds > 0) this.#say(`\n${tally.report(elapsedMs)}`);
    if (idle.length > 0) this.#say(`in ${tally.seeds} seeds each kind should have had some: failed\n`);
    if (this.#flags.json) {
      const summary = {
        ok,
        seeds: tally.seeds,
        failed: this.#failed.map(({ plan, violations }) => ({
          plan,
          violations,
          command: commandOf(plan),
        })),
        elapsedMs: Math.round(elapsedMs),
        virtualMs: Math.round(tally.virtualMs),
        cpuMs: Math.round(tally.cpuMs),
        operations: tally.operations,
        acknowledged: tally.acknowledged,
        faults: Object.fromEntries(tally.faults),
        withoutEffect: tally.idle,
        states: Object.fromEntries(tally.states),
      };
      process.stdout.write(`${JSON.stringify(summary)}\n`);
    }
    return ok ? 0 : 1;
  }
}

/** What was broken, each rule in its first examples, and how to see it again. */
export function failureText({ plan, violations }: Pick<Outcome, 'plan' | 'violations'>): string {
  const byRule = new Map<string, Outcome['violations'][number][]>();
  for (const violation of violations) {
    const { seenBy, rule } = violation;
    const key = `${rule} (${seenBy})`;
    const others = byRule.get(key);
    if (others === undefined) byRule.set(key, [violation]);
    else others.push(violation);
  }
  const lines = [`seed ${plan.seed} FAILED, ${violations.length} violations`];
  for (const [key, all] of byRule) {
    for (const { text } of all.slice(0, TEXTS_SHOWN)) lines.push(`  ${key}: ${text}`);
    if (all.length > TEXTS_SHOWN) lines.push(`  ${key}: ${all.length - TEXTS_SHOWN} more`);
  }
  return `${lines.join('\n')}\n  again: ${commandOf(plan)}\n`;
}

function planText(plan: SimPlan): string {
  const { nodes, clients, workers, operations, chaosMs, faults } = plan;
  return `${nodes} nodes, ${clients} clients, ${workers} workers, ${operations} operations, ${chaosMs} ms of ${faults.join(', ') || 'no faults'}`;
}
