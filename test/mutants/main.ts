import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { planOf, type SimPlan } from '../../src/sim/plan.js';
import { Pool } from '../simulation/cli/pool.js';
import { table } from '../simulation/cli/tally.js';
import { bundle } from './build.js';
import { type Find, type Hunted, hunt } from './hunt.js';
import type { Mutant } from './mutant.js';
import { MUTANTS } from './planted/index.js';

/** So many must be seen in what clients and workers saw, without a look into the nodes. */
const BY_HISTORY = 12;
/** Shorter lives than those of the simulation: what a bug needs is as a rule one unlucky moment, and seeds are many. */
const LIFE = { chaosMs: 25_000, operations: 800 } as const;
/** A run that takes so long has no end: a mutant may turn in circles. */
const LIMIT_SECONDS = 300;

const HELP = `Plants known bugs into the simulator, one at a time, and runs seeds until each is found: the proof that the checks of
the simulation can fail. Fails when one survives, or when fewer than ${BY_HISTORY} show in the history of clients and workers alone.

    npm run sim:mutants                              all of them
    npm run sim:mutants -- --list                    what there is
    npm run sim:mutants -- --only "vote not persisted,term not persisted" --seeds 200

  --only a,b   these alone, by name
  --seeds N    seeds for each at most (60)
  --from N     the first of them (1)
  --jobs K     processes (${cpus().length}: the cores of this machine)
  --list       names and the rules that they break
  --verbose    what was found, in words
  --help       this text

Exit code 0: all were found; 1: not so; 2: wrong use.
`;

const { values: flags } = parseArgs({
  options: {
    only: { type: 'string' },
    seeds: { type: 'string', default: '60' },
    from: { type: 'string', default: '1' },
    jobs: { type: 'string', default: String(cpus().length) },
    list: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
process.exitCode = await main();

async function main(): Promise<number> {
  if (flags.help) {
    process.stdout.write(HELP);
    return 0;
  }
  if (flags.list) {
    process.stdout.write(`${MUTANTS.map(({ name, breaks }) => `${name}\n    ${breaks}`).join('\n')}\n`);
    return 0;
  }
  const chosen = choose(flags.only);
  const numbers = [flags.seeds, flags.from, flags.jobs].map(Number);
  if (chosen === null || !numbers.every((number) => Number.isSafeInteger(number) && number >= 1)) return 2;
  const [seeds, from, jobs] = numbers as [number, number, number];
  const plans = Array.from({ length: seeds }, (_, i) => ({ ...planOf(from + i), ...LIFE }));
  const results: { mutant: Mutant; hunted: Hunted }[] = [];
  for (const mutant of chosen) {
    const hunted = await run(mutant, plansFor(mutant, plans), jobs, mutant.hidden === undefined);
    results.push({ mutant, hunted });
    tell(mutant, hunted);
  }
  process.stdout.write(`\n${tableOf(results)}\n\n`);
  return judge(results, plans, jobs);
}

/** Null: a name is unknown, which has been said. */
function choose(only: string | undefined): readonly Mutant[] | null {
  if (only === undefined) return MUTANTS;
  const names = new Set(only.split(','));
  const chosen = MUTANTS.filter(({ name }) => names.delete(name));
  if (names.size === 0) return chosen;
  process.stderr.write(`sim:mutants: there is no "${[...names].join('", "')}"; --list names them\n`);
  return null;
}

function plansFor({ faults }: Mutant, plans: readonly SimPlan[]): readonly SimPlan[] {
  return faults === undefined ? plans : plans.map((plan) => ({ ...plan, faults }));
}

async function run(
  mutant: Mutant | null,
  plans: readonly SimPlan[],
  jobs: number,
  untilHistory: boolean,
): Promise<Hunted> {
  const pool = new Pool({ program: await bundle(mutant), jobs, limitSeconds: LIMIT_SECONDS });
  try {
    return await hunt((plan) => pool.run(plan), { plans, width: jobs, untilHistory });
  } finally {
    pool.close();
  }
}

function tell({ name }: Mutant, { found, byHistory, runs }: Hunted): void {
  const by = (find: Find): string => `after ${find.seeds} seeds by ${find.violation.rule}`;
  if (found === null) {
    process.stdout.write(`${name}: SURVIVED ${runs} seeds\n`);
    return;
  }
  const alone = byHistory === null ? 'not by the history alone' : `by the history alone ${by(byHistory)}`;
  process.stdout.write(`${name}: found ${by(found)}; ${alone}\n`);
  if (!flags.verbose) return;
  process.stdout.write(`    ${found.violation.text}\n`);
  if (byHistory !== null) process.stdout.write(`    ${byHistory.violation.text}\n`);
}

function tableOf(results: readonly { mutant: Mutant; hunted: Hunted }[]): string {
  const cells = (find: Find | null): [string, string] =>
    find === null ? ['-', ''] : [String(find.seeds), find.violation.rule];
  return table(
    ['mutant', 'seeds', 'found by', 'seeds', 'in the history'],
    results.map(({ mutant, hunted }) => [mutant.name, ...cells(hunted.found), ...cells(hunted.byHistory)]),
  ).join('\n');
}

async function judge(
  results: readonly { mutant: Mutant; hunted: Hunted }[],
  plans: readonly SimPlan[],
  jobs: number,
): Promise<number> {
  const survived = results.filter(({ hunted }) => hunted.found === null);
  const byHistory = results.filter(({ hunted }) => hunted.byHistory !== null);
  const hidden = results.filter(({ mutant }) => mutant.hidden !== undefined);
  for (const { mutant } of hidden)
    process.stdout.write(`${mutant.name}: not in the history, ${mutant.hidden}\n`);
  let ok = true;
  const fail = (line: string): void => {
    process.stdout.write(`${line}\n`);
    ok = false;
  };
  // Where all are asked for, so many are owed.
  const owed = flags.only === undefined ? BY_HISTORY : 0;
  process.stdout.write(
    `${results.length} mutants: ${results.length - survived.length} found, ${byHistory.length} of them by the history alone\n`,
  );
  if (survived.length > 0) fail(`survived: ${survived.map(({ mutant }) => mutant.name).join(', ')}`);
  if (byHistory.length < owed) fail(`fewer than ${owed} were found by the history alone`);
  // What is found in a mutant proves something only where the code as it is does not fail in the same seeds.
  const used = new Map<string, SimPlan>();
  for (const { mutant, hunted } of results) {
    const most = Math.max(hunted.found?.seeds ?? 0, hunted.byHistory?.seeds ?? 0);
    for (const plan of plansFor(mutant, plans).slice(0, most)) used.set(JSON.stringify(plan), plan);
  }
  const own = await run(null, [...used.values()], jobs, true);
  if (own.found === null) {
    process.stdout.write(`the code as it is: nothing found in those ${used.size} runs\n`);
  } else {
    const { rule, text } = own.found.violation;
    fail(`the code as it is fails as well, after ${own.found.seeds} of those runs by ${rule}: ${text}`);
  }
  return ok ? 0 : 1;
}
