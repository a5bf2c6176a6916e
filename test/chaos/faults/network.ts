import type { SeededRandom } from '../../../src/sim/random.js';
import { between, type Condition, type Way } from '../links/conditions.js';
import type { Stage } from '../stage.js';
import { type Fault, nothingAgainst, shuffled } from './fault.js';
import type { FaultKind } from './kinds.js';

const CUT_MS = [500, 10_000] as const;
const SPOILT_MS = [2_000, 12_000] as const;
const LOSS_PERMILLE = [20, 300] as const;
const DELAY_MS = [5, 150] as const;
/** So many cuts of a hundred leave nobody a majority. */
const ALL_APART_PERCENT = 20;

interface Spoiling {
  readonly ways: readonly Way[];
  readonly condition: Partial<Condition>;
  readonly what: string;
}

function spoiling(
  kind: FaultKind,
  lane: Fault['lane'],
  lasts: readonly [number, number],
  choose: (stage: Stage, random: SeededRandom) => Promise<Spoiling | null>,
): Fault {
  const isDelay = kind === 'delay';
  return {
    kind,
    lane,
    whyNot: nothingAgainst,
    inject: async (stage, random) => {
      const chosen = await choose(stage, random);
      if (chosen === null) return null;
      const { network } = stage;
      const count = async (): Promise<number> => (isDelay ? network.delayed() : network.held());
      const before = await count();
      const away = stage.conditions.add(chosen.ways, chosen.condition);
      return {
        what: chosen.what,
        lastsMs: random.between(...lasts),
        heal: async () => {
          const effective = (await count()) > before;
          away();
          return effective;
        },
      };
    },
  };
}

const cut = { cut: true };

function others(stage: Stage, names: readonly string[]): string[] {
  return stage.names.filter((name) => !names.includes(name));
}

function alone(stage: Stage, name: string): Spoiling {
  return { ways: between([name], others(stage, [name])), condition: cut, what: `${name} alone` };
}

/** One direction of one node's: it hears and is not heard, or the other way round, by all or by one other. */
function oneWay(stage: Stage, random: SeededRandom): Spoiling {
  const [name, ...rest] = shuffled(stage.names, random) as [string, ...string[]];
  const far = random.chance(500) ? rest : rest.slice(0, 1);
  const isMute = random.chance(500);
  const ways = far.map((other) => (isMute ? { from: name, to: other } : { from: other, to: name }));
  const shown = isMute ? `${name} not heard by` : `${name} does not hear`;
  return { ways, condition: cut, what: `${shown} ${far.join(', ')}` };
}

function halves(stage: Stage, random: SeededRandom): Spoiling {
  const names = shuffled(stage.names, random);
  if (random.below(100) < ALL_APART_PERCENT) {
    return { ways: between(names, names), condition: cut, what: 'all apart' };
  }
  const few = names.slice(0, names.length >> 1);
  const many = others(stage, few);
  return { ways: between(few, many), condition: cut, what: `${few.join(', ')} | ${many.join(', ')}` };
}

async function leaderAlone(stage: Stage): Promise<Spoiling | null> {
  const leader = await stage.leader();
  return leader === null ? null : alone(stage, leader.name);
}

/** One node's ways, or all. */
function someWays(stage: Stage, random: SeededRandom): { readonly ways: Way[]; readonly whose: string } {
  const { names } = stage;
  if (random.chance(300)) return { ways: between(names, names), whose: 'all' };
  const name = random.pick(names);
  return { ways: between([name], others(stage, [name])), whose: name };
}

export const NETWORK_FAULTS: readonly Fault[] = [
  spoiling('cut-one', 'nodes', CUT_MS, async (stage, random) => alone(stage, random.pick(stage.names))),
  spoiling('cut-one-way', 'nodes', CUT_MS, async (stage, random) => oneWay(stage, random)),
  spoiling('cut-halves', 'nodes', CUT_MS, async (stage, random) => halves(stage, random)),
  spoiling('cut-leader', 'nodes', CUT_MS, leaderAlone),
  spoiling('delay', 'beside', SPOILT_MS, async (stage, random) => {
    const { ways, whose } = someWays(stage, random);
    const delayMs = Math.round(random.between(...DELAY_MS));
    return { ways, condition: { delayMs }, what: `${whose}, ${delayMs} ms` };
  }),
  spoiling('loss', 'beside', SPOILT_MS, async (stage, random) => {
    const { ways, whose } = someWays(stage, random);
    const lossPermille = Math.round(random.between(...LOSS_PERMILLE));
    return { ways, condition: { lossPermille }, what: `${whose}, ${(lossPermille / 10).toFixed(1)} %` };
  }),
];
