import { parseArgs } from 'node:util';
import { ALL_FAULTS, type FaultKind, faultsOf, GROUPS } from './faults/kinds.js';

export const HELP = `Real processes, real disks, real faults, and a verdict on what clients and workers saw.

    npm run chaos                                        three nodes, five minutes, every fault that works here
    npm run chaos -- --minutes 60 --nodes 5              five nodes, an hour
    npm run chaos -- --faults kill,pause,partition       some faults: kinds or groups, see below
    npm run chaos -- --seed 7                            the same faults in the same order
    npm run chaos -- --network proxy                     cuts the network by proxies, not by packet filters
    npm run chaos -- --json                              the summary as one line of JSON
    npm run chaos -- --keep                              keeps data, logs and history, and says where
    npm run chaos -- --judge DIR/history.jsonl           judges a history that was kept, and starts nothing

  --minutes N     how long faults go on; then everything heals and has two minutes to end (5)
  --nodes N       3 or 5 (3)
  --rate N        calls of clients per second, at most (60)
  --network WAY   packets (a network namespace for each node and nftables), proxy, or auto: what is there (auto)

  Kinds:  ${wrapped(ALL_FAULTS)}
  Groups: ${Object.entries(GROUPS)
    .map(([name, kinds]) => `${name.padEnd(10)} ${kinds.join(', ')}`)
    .join('\n          ')}

  A kind that this machine does not allow is skipped, and named with the reason; docs/reliability.md says what each is.

  Exit codes: 0 no violation; 1 a violation, with the ends of the logs, and everything is kept; 2 it could not run.
`;

function wrapped(words: readonly string[]): string {
  const lines: string[] = [''];
  for (const word of words) {
    const line = lines.at(-1)!;
    if (line.length + word.length > 90) lines.push(word);
    else lines[lines.length - 1] = line === '' ? word : `${line}, ${word}`;
  }
  return lines.join(',\n          ');
}

export type Way = 'auto' | 'packets' | 'proxy';

export interface Options {
  readonly help: boolean;
  readonly json: boolean;
  readonly keep: boolean;
  /** File with a history to be judged; '' : run. */
  readonly judge: string;
  readonly minutes: number;
  readonly nodes: 3 | 5;
  readonly faults: readonly FaultKind[];
  /** They were not named: what does not work here is left out without a word about a wish. */
  readonly everyFault: boolean;
  readonly seed: number;
  readonly rate: number;
  readonly network: Way;
}

/** What is wrong with the command line; exit code 2. */
export class UsageError extends Error {
  override name = 'UsageError';
}

/** @throws UsageError */
export function readOptions(args: readonly string[], drawSeed: () => number): Options {
  const values = parsed(args);
  const nodes = Number(values.nodes);
  if (nodes !== 3 && nodes !== 5) throw new UsageError(`--nodes ${values.nodes}: expected 3 or 5`);
  const network = values.network as Way;
  if (!['auto', 'packets', 'proxy'].includes(network)) {
    throw new UsageError(`--network ${network}: expected auto, packets or proxy`);
  }
  const faults = values.faults === undefined ? [...ALL_FAULTS] : faultsOf(values.faults.split(','));
  if (typeof faults === 'string') throw new UsageError(faults);
  return {
    help: values.help,
    json: values.json,
    keep: values.keep,
    judge: values.judge ?? '',
    minutes: number('minutes', values.minutes, 0.1, 24 * 60),
    nodes,
    faults: faults.filter((kind) => nodes === 5 || kind !== 'kill-two'),
    everyFault: values.faults === undefined,
    seed: values.seed === undefined ? drawSeed() : number('seed', values.seed, 0, 2 ** 32 - 1),
    rate: number('rate', values.rate, 1, 2_000),
    network,
  };
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        help: { type: 'boolean', short: 'h', default: false },
        json: { type: 'boolean', default: false },
        keep: { type: 'boolean', default: false },
        judge: { type: 'string' },
        minutes: { type: 'string', default: '5' },
        nodes: { type: 'string', default: '3' },
        faults: { type: 'string' },
        seed: { type: 'string' },
        rate: { type: 'string', default: '60' },
        network: { type: 'string', default: 'auto' },
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function number(flag: string, text: string, low: number, high: number): number {
  const value = Number(text);
  if (text.trim() !== '' && value >= low && value <= high) return value;
  throw new UsageError(`--${flag} ${text}: expected a number from ${low} to ${high}`);
}
