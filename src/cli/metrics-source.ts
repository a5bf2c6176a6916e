import type { Clock } from '../base/clock.js';
import type { ServerConfig } from '../config/index.js';
import { SEEDS } from '../config/options.js';
import type { GearmeshNode } from '../node/index.js';
import type { LimitReading, MetricsSource, PeerReading, StateReading } from '../obs/index.js';
import type { NetworkTransport } from '../peer/index.js';

/** What the metrics read from a running node, all of it from memory. */
export function metricsSource(
  config: ServerConfig,
  node: GearmeshNode,
  transport: NetworkTransport,
  clock: Clock,
  gearmanConnections: () => number,
): MetricsSource {
  return {
    node: config.id,
    version: node.version,
    clusterName: () => node.clusterName,
    phase: () => node.phase,
    wallMs: () => node.wallMs(),
    state: () => state(node, clock),
    peers: () => peers(config, node, transport),
    traffic: () => transport.traffic(),
    droppedConnections: () => transport.droppedConnections,
    refusedFrames: () => transport.refusedFrames,
    gearmanConnections,
    limits: () => limits(config, node, transport),
  };
}

function state(node: GearmeshNode, clock: Clock): StateReading | null {
  const { engine, parts } = node;
  if (engine === null || parts === null) return null;
  const status = parts.consensus.status();
  const newest = parts.store.newest;
  return {
    queues: parts.core.queues(null),
    counts: parts.core.counts(),
    here: { sessions: engine.sessions.size, credits: engine.sessions.credits },
    raft: {
      role: status.role,
      term: status.term,
      leader: engine.leaderName,
      leaderlessMs: engine.leaderlessMs,
      commit: status.commit,
      applied: parts.core.appliedIndex,
      lastIndex: status.lastIndex,
      durableIndex: status.durableIndex,
    },
    storage: {
      walBytes: parts.wal.bytes,
      walSegments: parts.wal.segments,
      spillBytes: parts.spill.fileBytes,
      snapshot:
        newest === null
          ? null
          : {
              bytes: newest.bytes,
              takenWall: clock.wallMs() - engine.snapshotting.ageSeconds * 1_000,
              index: newest.mark.index,
            },
      diskLow: engine.diskLow,
    },
    blobs: engine.blobs.statistics,
    hash: { index: engine.hashes.newest.index, agrees: engine.hashes.disagreement === null },
  };
}

function peers(config: ServerConfig, node: GearmeshNode, transport: NetworkTransport): PeerReading[] {
  const { engine, parts } = node;
  const names = engine?.members.map((m) => m.name) ?? config.peers.map((p) => p.name);
  const commit = parts?.consensus.status().commit ?? 0;
  return names
    .filter((name) => name !== config.id)
    .map((name) => {
      const applied = engine?.board.of(name)?.status.applied;
      return {
        peer: name,
        connected: transport.isConnected(name),
        lagEntries: applied === undefined ? null : Math.max(0, commit - applied),
        clockOffsetMs: engine?.board.clocks.offsetMs(name) ?? null,
      };
    });
}

/** Named as in the configuration; those of a node and those of the cluster, as they are in force. */
function limits(config: ServerConfig, node: GearmeshNode, transport: NetworkTransport): LimitReading[] {
  const settings = node.settings();
  const counts = node.parts?.core.counts();
  const used: Readonly<Record<string, number | undefined>> = {
    jobsMax: counts?.jobs,
    functionsMax: counts?.functions,
    sessionsMax: counts?.sessions,
    dedupeEntriesMax: counts?.dedupeEntries,
    schedulesMax: counts?.schedules,
    blobsTotalBytesMax: counts?.blobBytes,
  };
  const replicated = Object.entries(SEEDS)
    .filter(([, key]) => key.startsWith('limits.') && key !== 'limits.sweep-steps')
    .map(([setting, key]) => ({
      name: key,
      value: settings[setting as keyof typeof SEEDS],
      used: used[setting] ?? null,
    }));
  const queues = (['control', 'data', 'bulk'] as const).map((channel) => ({
    name: `peer-${channel}-queue-bytes`,
    value: config.values[`peer-${channel}-queue-bytes`],
    used: Math.max(
      0,
      ...config.peers.map((p) => (p.name === config.id ? 0 : transport.queued(p.name, channel))),
    ),
  }));
  const uploads = {
    name: 'blob-uploads-max',
    value: config.values['blob-uploads-max'],
    used: node.engine?.blobs.statistics.uploads ?? null,
  };
  return [...replicated, ...queues, uploads];
}
