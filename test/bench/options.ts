import { parseArgs } from 'node:util';
import type { Places } from './places.js';

/** Jobs that wait in a run of the whole size. */
const WHOLE_SCALE = 1_000_000;

export const HELP = `Measures a three-node cluster of real processes on this machine, with real fdatasync, 100-byte jobs, and beside it, by
turns, the other systems that are installed here.

    npm run bench                       all of it, under fifteen minutes
    npm run bench -- --only W1,W3       some of it
    npm run bench -- --peers none       ours alone; or names (rabbitmq,gearmand), or all: missing ones are named anyway
    npm run bench -- --runs 5           every workload of a turn so often (3)
    npm run bench -- --spread           clients and workers of a turn spread over the nodes, and not all at the leader
    npm run bench -- --seconds 20       longer loads (3)
    npm run bench -- --minutes 60       what it should end within (15): the others have no more turns after half of that
    npm run bench -- --fill 310         whole cycles for 310 s first, so that the dedupe window is full
    npm run bench -- --kills 50         leaders killed, stopped and frozen by W6 (20 each)
    npm run bench -- --scale 5000000    most jobs that wait in W5, W7 and W8 (1000000); functions and workers of W5: a
                                        hundredth of that, at most 10,000; below a million fewer payloads of W4
    npm run bench -- --profile DIR      CPU profiles of the nodes, one file each
    npm run bench -- --json             one line of JSON instead of text
    npm run bench -- --markdown         tables for a document after the text

  One turn, of ours and of each other system:
  W1   acknowledged submissions, one job a call
  W1b  the same in batches of 100
  W2   whole cycles
  W3   submit to start, one at a time
  W3h  the same while half as many whole cycles go on as W2 reached
  Of ours alone, in each run:
  W3f  foreground round trip by gRPC, one at a time
  W10  Gearman's packets, beside a gearmand with its jobs in memory where one is installed, by turns:
       W10a background submissions, W10b whole cycles, W10c round trip of a foreground job, one at a time
  Once:
  W4   payloads of 1 MiB and 64 MiB in, and through a worker, against a sequential write of the same disk
  W5   growth: W1 and W2 with many jobs that wait (W5j), many functions (W5f), many workers (W5w)
  W6   leader killed: time to the answer of a submission sent after it; beside other clusters where they are installed
  W6t  leader stopped in order (SIGTERM): longest gap in a trickle of submissions
  W6s  leader frozen (SIGSTOP): time to the answer of a submission sent after it
  W7   memory for each of many waiting jobs
  W7d  ten times as many (10,000,000): the most that a node takes, also when it restarts with them; only when named
  W8   restart with many waiting jobs; submissions while snapshots are taken
  W9   event-loop delay and the collector's pauses at half of what W2 reaches
  W11  npm ci, and npm start until ready, in a copy of this checkout
  syncs  fdatasync and fsync for each accepted job, counted by strace where it is installed
  floor  what bare gRPC, ws and fdatasync cost with messages of W1's sizes
`;

const WORKLOADS = [
  ...[
    'W1',
    'W1b',
    'W2',
    'W3',
    'W3h',
    'W3f',
    'W4',
    'W5',
    'W5j',
    'W5f',
    'W5w',
    'W6',
    'W6t',
    'W6s',
    'W7',
    'W7d',
    'W8',
    'W9',
  ],
  ...['W10', 'W10a', 'W10b', 'W10c', 'W11', 'syncs', 'floor'],
] as const;
/** Only done when named: each takes minutes. */
const LONG: readonly string[] = ['W7d'];
/** What a name stands for beside itself. */
const FAMILIES: Readonly<Record<string, readonly string[]>> = {
  W5: ['W5j', 'W5f', 'W5w'],
  W10: ['W10a', 'W10b', 'W10c'],
};

/** How much of the whole a run of this scale does, at most 1: for what else is to shrink with it. */
export function shareOf(scale: number): number {
  return Math.min(1, scale / WHOLE_SCALE);
}

export interface Options {
  readonly only: ReadonlySet<string>;
  /** Names, or one of these two. */
  readonly peers: readonly string[] | 'all' | 'none';
  readonly runs: number;
  readonly places: Places;
  readonly seconds: number;
  readonly minutes: number;
  readonly fill: number;
  readonly kills: number;
  readonly scale: number;
  readonly profile: string | undefined;
  readonly json: boolean;
  readonly markdown: boolean;
}

/** Null: help is wanted. Throws for what is not understood. */
export function readOptions(args: readonly string[]): Options | null {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string', default: WORKLOADS.filter((name) => !LONG.includes(name)).join(',') },
      peers: { type: 'string', default: 'all' },
      spread: { type: 'boolean', default: false },
      seconds: { type: 'string', default: '3' },
      minutes: { type: 'string', default: '15' },
      runs: { type: 'string', default: '3' },
      kills: { type: 'string', default: '20' },
      scale: { type: 'string', default: String(WHOLE_SCALE) },
      fill: { type: 'string', default: '0' },
      json: { type: 'boolean', default: false },
      markdown: { type: 'boolean', default: false },
      profile: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return null;
  return {
    only: workloads(values.only),
    peers: values.peers === 'all' || values.peers === 'none' ? values.peers : values.peers.split(','),
    runs: atLeast('--runs', values.runs, 1),
    places: values.spread ? 'spread' : 'leader',
    seconds: atLeast('--seconds', values.seconds, 1),
    minutes: atLeast('--minutes', values.minutes, 1),
    fill: atLeast('--fill', values.fill, 0),
    kills: atLeast('--kills', values.kills, 1),
    scale: atLeast('--scale', values.scale, 1_000),
    profile: values.profile,
    json: values.json,
    markdown: values.markdown,
  };
}

function workloads(text: string): Set<string> {
  const known: readonly string[] = WORKLOADS;
  const names = text.split(',');
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) throw new Error(`--only ${unknown}: one of ${known.join(', ')} was expected`);
  return new Set(names.flatMap((name) => [name, ...(FAMILIES[name] ?? [])]));
}

function atLeast(flag: string, text: string, least: number): number {
  const value = Number(text);
  if (text === '' || !(value >= least)) {
    throw new Error(`${flag} ${text}: a number of at least ${least} was expected`);
  }
  return value;
}
