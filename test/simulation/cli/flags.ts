import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { FAULT_KINDS, type FaultKind, planOf, type SimPlan } from '../../../src/sim/plan.js';

export const HELP = `Runs simulated lives of whole clusters: the code that ships, in virtual time, under faults; each life from one number,
its seed. Judges what clients and workers saw, and looks into the nodes.

    npm run sim                               regressions, then seeds 1 to 100
    npm run sim -- --seeds 1000 --from 5000   seeds 5000 to 5999
    npm run sim -- --minutes 60               as many seeds as an hour has
    npm run sim -- --seed 17 --trace          one life, told as it happens
    npm run sim -- --seed 17 --clients 1 --faults crash,pause --chaos-ms 5000
    npm run sim -- --seeds 0                  the regressions alone

  --seeds N         how many seeds (100; with --minutes: no limit)
  --from N          the first of them (1)
  --minutes M       begin no more runs after so long
  --seed N          this one alone, without the regressions
  --trace           with --seed: what the nodes say, the faults, and what clients and workers saw, as it happens
  --frames          with --trace: every frame between nodes as well
  --jobs K          processes (${cpus().length}: the cores of this machine)
  --repeat          every seed twice, in another process, time zone and locale; else the first two alone
  --shrink N        runs to make a failed plan smaller (40; 0: as it is), for each of the first three
  --limit S         seconds after which a run counts as failed (600)
  --no-regressions  without test/simulation/regressions.json
  --json            one line of JSON at the end, all else to standard error
  --help            this text

What a life is made of follows from its seed; each of these overrides it:

  --nodes N --clients N --workers N --operations N
  --chaos-ms MS     virtual milliseconds with faults
  --faults a,b      some of: ${wrapped(FAULT_KINDS)}
                    or none

Exit code 0: all promises were kept; 1: one was not, two runs of a seed differ, or a kind of fault never had an effect in
200 seeds; 2: wrong use.
`;

/** What may replace a part of every plan. */
export type Overrides = Partial<Omit<SimPlan, 'seed'>>;

export interface Flags {
  readonly first: number;
  /** How many; Infinity as long as there is time. */
  readonly count: number;
  readonly minutes: number;
  /** One seed was asked for by its number. */
  readonly single: boolean;
  readonly trace: boolean;
  readonly frames: boolean;
  readonly jobs: number;
  readonly repeat: boolean;
  readonly shrinkRuns: number;
  readonly limitSeconds: number;
  readonly regressions: boolean;
  readonly json: boolean;
  readonly help: boolean;
  readonly overrides: Overrides;
}

/** What was asked for cannot be done; `message` tells why. */
export class UsageError extends Error {}

const TEXT = { type: 'string' } as const;
const SWITCH = { type: 'boolean', default: false } as const;

/** @throws UsageError */
export function flagsOf(args: readonly string[]): Flags {
  const values = parsed(args);
  const number = (name: string, text: string | undefined, least: number, fallback: number): number => {
    if (text === undefined) return fallback;
    const value = Number(text);
    if (!Number.isSafeInteger(value) || value < least || text.trim() === '') {
      throw new UsageError(`--${name} takes a whole number from ${least}, not "${text}"`);
    }
    return value;
  };
  const single = values.seed !== undefined;
  if (single && (values.seeds ?? values.from ?? values.minutes) !== undefined) {
    throw new UsageError('--seed names one seed: --seeds, --from and --minutes do not go with it');
  }
  if (values.frames && !values.trace) throw new UsageError('--frames adds to what --trace tells');
  if (values.trace && !single) throw new UsageError('--trace tells of one run: name its --seed');
  const overrides: { -readonly [K in keyof Overrides]: Overrides[K] } = {};
  const override = (
    field: 'nodes' | 'clients' | 'workers' | 'operations' | 'chaosMs',
    name: string,
  ): void => {
    const text = values[name as keyof typeof values] as string | undefined;
    if (text !== undefined) overrides[field] = number(name, text, 1, 1);
  };
  override('nodes', 'nodes');
  override('clients', 'clients');
  override('workers', 'workers');
  override('operations', 'operations');
  override('chaosMs', 'chaos-ms');
  if (values.faults !== undefined) overrides.faults = faultsOf(values.faults);
  const minutes = number('minutes', values.minutes, 1, Number.POSITIVE_INFINITY);
  const many = Number.isFinite(minutes) ? Number.POSITIVE_INFINITY : 100;
  return {
    first: number('seed', values.seed, 0, number('from', values.from, 0, 1)),
    count: single ? 1 : number('seeds', values.seeds, 0, many),
    minutes,
    single,
    trace: values.trace,
    frames: values.frames,
    jobs: number('jobs', values.jobs, 1, cpus().length),
    repeat: values.repeat,
    shrinkRuns: number('shrink', values.shrink, 0, 40),
    limitSeconds: number('limit', values.limit, 1, 600),
    regressions: !single && !values['no-regressions'],
    json: values.json,
    help: values.help,
    overrides,
  };
}

/** The plan of a seed, with what the flags say otherwise. */
export function planWith(seed: number, overrides: Overrides): SimPlan {
  return { ...planOf(seed), ...overrides };
}

/** The command that repeats a plan: the seed, and a flag for each field that does not follow from it. */
export function commandOf(plan: SimPlan): string {
  const own = planOf(plan.seed);
  const flags = [`--seed ${plan.seed}`];
  for (const field of ['nodes', 'clients', 'workers', 'operations'] as const) {
    if (plan[field] !== own[field]) flags.push(`--${field} ${plan[field]}`);
  }
  if (plan.chaosMs !== own.chaosMs) flags.push(`--chaos-ms ${plan.chaosMs}`);
  if (plan.faults.join() !== own.faults.join()) flags.push(`--faults ${plan.faults.join() || 'none'}`);
  return `npm run sim -- ${flags.join(' ')}`;
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        seeds: TEXT,
        from: TEXT,
        minutes: TEXT,
        seed: TEXT,
        jobs: TEXT,
        shrink: TEXT,
        limit: TEXT,
        nodes: TEXT,
        clients: TEXT,
        workers: TEXT,
        operations: TEXT,
        'chaos-ms': TEXT,
        faults: TEXT,
        trace: SWITCH,
        frames: SWITCH,
        repeat: SWITCH,
        'no-regressions': SWITCH,
        json: SWITCH,
        help: { ...SWITCH, short: 'h' },
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function faultsOf(text: string): readonly FaultKind[] {
  if (text === 'none') return [];
  const asked = new Set(text.split(','));
  const known = FAULT_KINDS.filter((kind) => asked.delete(kind));
  const [unknown] = asked;
  if (unknown !== undefined) {
    throw new UsageError(`there is no fault "${unknown}"; there are ${FAULT_KINDS.join(', ')}`);
  }
  return known;
}

function wrapped(words: readonly string[]): string {
  const lines = [''];
  for (const word of words) {
    if (lines.at(-1)!.length + word.length > 75) lines.push('');
    lines[lines.length - 1] += `${lines.at(-1) === '' ? '' : ', '}${word}`;
  }
  return lines.join(',\n                    ');
}
