import type { QueueView } from '../../../src/core/types.js';
import type { MetricsSource, StateReading } from '../../../src/obs/index.js';

export function queueOf(fn: string, more: Partial<QueueView> = {}): QueueView {
  return {
    namespace: 'default',
    function: fn,
    waiting: [1, 2, 3],
    scheduled: 4,
    running: 5,
    succeeded: 0,
    failed: 0,
    cancelled: 0,
    expired: 0,
    oldestWaitingWall: 90_000,
    workers: 6,
    credits: 7,
    paused: false,
    jobsMax: [0, 0, 0],
    totals: {
      submitted: 10,
      coalesced: 11,
      started: 12,
      succeeded: 13,
      failedAttempts: 14,
      failed: 15,
      retried: 16,
      cancelled: 17,
      expired: 18,
      leasesLost: 19,
    },
    ...more,
  };
}

export function stateOf(queues: readonly QueueView[]): StateReading {
  return {
    queues,
    counts: {
      jobs: 1,
      waiting: 2,
      running: 3,
      sessions: 4,
      functions: 5,
      dedupeEntries: 6,
      spilledJobs: 600,
      spillLoads: 7,
      payloadBytes: 7,
      schedules: 10,
      firings: { created: 11, coalesced: 12, skipped: 13 },
    },
    here: { sessions: 8, credits: 9 },
    raft: {
      role: 'leader',
      term: 3,
      leader: 'n1',
      leaderlessMs: 0,
      commit: 100,
      applied: 98,
      lastIndex: 101,
      durableIndex: 101,
    },
    storage: {
      walBytes: 1_000,
      walSegments: 2,
      spillBytes: 4_000,
      snapshot: { bytes: 500, takenWall: 70_000, index: 50 },
      diskLow: false,
    },
    blobs: { held: 3, bytes: 3_000_000, missing: 1, fetched: 4, failedFetches: 2, uploads: 5 },
    hash: { index: 64, agrees: true },
  };
}

export function sourceOf(state: () => StateReading | null): MetricsSource {
  return {
    node: 'n1',
    version: '1.2.3',
    clusterName: () => 'a "quoted"\ncluster',
    phase: () => 'ready',
    wallMs: () => 100_000,
    state,
    peers: () => [
      { peer: 'n2', connected: true, lagEntries: 2, clockOffsetMs: -1_500 },
      { peer: 'n3', connected: false, lagEntries: null, clockOffsetMs: null },
    ],
    traffic: () => [
      {
        peer: 'n2',
        channel: 'control',
        sentBytes: 1,
        receivedBytes: 2,
        sentFrames: 3,
        receivedFrames: 4,
      },
    ],
    droppedConnections: () => 5,
    refusedFrames: () => 6,
    gearmanConnections: () => 7,
    limits: () => [
      { name: 'jobsMax', value: 20_000_000, used: 1 },
      { name: 'payloadBytesMax', value: 262_144, used: null },
    ],
  };
}

/** Prometheus' text format, read strictly: anything that is not of the format throws. */
export function parse(text: string): {
  readonly samples: ReadonlyMap<string, number>;
  readonly types: ReadonlyMap<string, string>;
  readonly helps: ReadonlyMap<string, string>;
} {
  const samples = new Map<string, number>();
  const types = new Map<string, string>();
  const helps = new Map<string, string>();
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const meta = /^# (HELP|TYPE) ([a-z_][a-z0-9_]*) (.+)$/.exec(line);
    if (meta !== null) {
      const into = meta[1] === 'HELP' ? helps : types;
      if (into.has(meta[2]!)) throw new Error(`twice: ${line}`);
      into.set(meta[2]!, meta[3]!);
      continue;
    }
    const sample =
      /^([a-z_][a-z0-9_]*(?:\{(?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*\})?) ([-+]?(?:\d[\d.e+-]*|Inf|Nan))$/.exec(
        line,
      );
    if (sample === null) throw new Error(`not of the format: ${line}`);
    if (samples.has(sample[1]!)) throw new Error(`twice: ${line}`);
    samples.set(sample[1]!, Number(sample[2]!.replace('Inf', 'Infinity')));
  }
  return { samples, types, helps };
}
