import type { Last } from '../../src/checker/index.js';
import type { FaultKind } from './faults/kinds.js';
import type { Count, FaultSchedule } from './faults/schedule.js';
import type { Notes } from './load/notes.js';
import type { Options } from './options.js';
import type { Span, Stage } from './stage.js';

const ENDED = new Set(['succeeded', 'failed', 'cancelled', 'expired']);

/** What a run was and what came of it; the verdict on its history stands beside it. */
export interface Summary {
  readonly seed: number;
  readonly nodes: number;
  readonly network: string;
  /** Of faults, and of all. */
  readonly faultSeconds: number;
  readonly seconds: number;
  readonly faults: Readonly<Partial<Record<FaultKind, Count>>>;
  readonly skipped: Readonly<Partial<Record<FaultKind, string>>>;
  readonly calls: number;
  readonly unknownOutcomes: number;
  readonly jobsAccepted: number;
  readonly jobsFinished: number;
  /** Milliseconds without an acknowledged job, while faults went on. */
  readonly longestGapMs: number;
  /** The same within the times in which a majority was up and connected. */
  readonly longestGapWithMajorityMs: number;
  /** Share of the time in which it was. */
  readonly majorityPercent: number;
  readonly events: number;
  /** Promises seen broken by other means than the history. */
  readonly findings: readonly string[];
}

export function summaryOf(o: {
  options: Options;
  stage: Stage;
  notes: Notes;
  schedule: FaultSchedule;
  from: number;
  to: number;
  healed: number;
}): Summary {
  const { options, stage, notes, schedule, from, to } = o;
  const { accepted } = notes;
  const finished = new Set<string>();
  for (const event of notes.recorder.events) {
    if (event.type === 'last' && accepted.has(event.job) && hasEnded(event)) finished.add(event.job);
  }
  const withMajority = spansWithMajority(stage.spans, from, to);
  const up = withMajority.reduce((sum, [begin, end]) => sum + end - begin, 0);
  return {
    seed: options.seed,
    nodes: options.nodes,
    network: stage.network.name,
    faultSeconds: Math.round((to - from) / 1_000),
    seconds: Math.round(o.healed / 1_000),
    faults: Object.fromEntries(schedule.counts),
    skipped: Object.fromEntries(schedule.skipped),
    calls: notes.calls,
    unknownOutcomes: notes.unknown,
    jobsAccepted: accepted.size,
    jobsFinished: finished.size,
    longestGapMs: Math.round(longestGap(notes.acknowledgements, [[from, to]])),
    longestGapWithMajorityMs: Math.round(longestGap(notes.acknowledgements, withMajority)),
    majorityPercent: Math.round((100 * up) / (to - from)),
    events: notes.recorder.events.length,
    findings: stage.findings,
  };
}

/** Deleted and outlived jobs are gone: they had ended. */
function hasEnded({ seen }: Last): boolean {
  return seen === 'absent' || ENDED.has(seen.state);
}

type Interval = readonly [begin: number, end: number];

/** The times between `from` and `to` in which there was a majority. */
export function spansWithMajority(spans: readonly Span[], from: number, to: number): Interval[] {
  const found: Interval[] = [];
  spans.forEach((span, i) => {
    const begin = Math.max(from, span.from);
    const end = Math.min(to, spans[i + 1]?.from ?? to);
    if (span.majority && end > begin) found.push([begin, end]);
  });
  return found;
}

/** The longest time inside one of the intervals in which none of the moments (ascending) lies. */
export function longestGap(moments: readonly number[], intervals: readonly Interval[]): number {
  let longest = 0;
  for (const [begin, end] of intervals) {
    let last = begin;
    for (const moment of moments) {
      if (moment <= begin) continue;
      if (moment >= end) break;
      longest = Math.max(longest, moment - last);
      last = moment;
    }
    longest = Math.max(longest, end - last);
  }
  return longest;
}

/**
 * One page for people. `violations`: sentences, of history and findings. `undecided`: jobs of which the search for an
 * order of events was given up.
 */
export function page(summary: Summary, violations: readonly string[], undecided: number): string {
  const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;
  const rows = Object.entries(summary.faults).map(
    ([kind, { injected, effective }]) =>
      `  ${kind.padEnd(12)} ${String(injected).padStart(6)} ${String(effective).padStart(10)}`,
  );
  const skipped = Object.entries(summary.skipped).map(
    ([kind, why]) => `  ${kind.padEnd(12)} skipped: ${why}`,
  );
  const { longestGapMs, longestGapWithMajorityMs } = summary;
  return [
    '',
    `${summary.nodes} nodes, ${summary.faultSeconds} s of faults, ${summary.seconds} s in all, --seed ${summary.seed}`,
    `network: ${summary.network}`,
    '',
    '  fault      injected  effective',
    ...rows,
    ...skipped,
    '',
    `jobs accepted                          ${summary.jobsAccepted}`,
    `jobs finished                          ${summary.jobsFinished}`,
    `calls                                  ${summary.calls}`,
    `unknown outcomes                       ${summary.unknownOutcomes}`,
    `longest time without an accepted job   ${seconds(longestGapMs)}`,
    `  while a majority was up, connected   ${seconds(longestGapWithMajorityMs)} (${summary.majorityPercent} % of the time)`,
    `events in the history                  ${summary.events}`,
    `jobs undecided                         ${undecided}`,
    `violations                             ${violations.length}`,
    ...violations.slice(0, 20).map((text) => `  ${text}`),
    '',
  ].join('\n');
}
