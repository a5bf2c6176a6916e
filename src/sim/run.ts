import { SimCluster, type SimClusterOptions, type SimNode } from './cluster.js';
import { History, SimClient, SimWorker } from './workload.js';
import { World } from './world.js';

const NAMESPACE = 'default';
/** Everything accepted must have ended so long after the last fault, virtual milliseconds. */
const LIVENESS_MS = 180_000;
const LOOK_MS = 250;
/** Below any of these a run proves too little to count. */
const ENOUGH = { jobs: 1_000, crashes: 3, leaderChanges: 2 } as const;
const LONGEST_MS = 60_000;

export interface RunOptions extends Partial<SimClusterOptions> {
  readonly seed: number;
  /** Virtual milliseconds of load and faults. */
  readonly chaosMs?: number;
  readonly clients?: number;
  readonly workers?: number;
  readonly lines?: (line: string) => void;
  /** Called once all nodes are ready and before the faults: to break something on purpose. */
  readonly plan?: (cluster: SimCluster) => void;
}

export interface RunReport {
  readonly seed: number;
  readonly traceHash: string;
  readonly acknowledged: number;
  readonly completed: number;
  readonly unknown: number;
  readonly crashes: number;
  readonly leaderChanges: number;
  readonly framesLost: number;
  /** Bytes that were written, not yet synced, and gone after a power loss. */
  readonly unsyncedLost: number;
  readonly snapshots: number;
  /** Times that a node took over another one's state. */
  readonly installs: number;
  readonly virtualMs: number;
  readonly events: number;
  /** Empty when every promise was kept. */
  readonly violations: readonly string[];
}

/**
 * One simulated life of a cluster: load while nodes lose power, processes die and frames are lost; then the faults end
 * and everything accepted must reach its end, on every node alike.
 */
export async function runSeed(options: RunOptions): Promise<RunReport> {
  const world = new World(options.seed, options.lines ?? null);
  // Some runs keep so little log that whoever was away for a moment needs another node's state.
  const logBytes = world.random.pick([16, 64, 512]) * 1024;
  const cluster = new SimCluster(world, {
    snapshotLogBytes: logBytes,
    keepLogBytes: logBytes >> 3,
    ...options,
    nodes: options.nodes ?? 3,
    settings: { retentionMs: 86_400_000, retainedJobsMax: 1_000_000, ...options.settings },
  });
  const history = new History();
  const violations: string[] = [];
  for (const node of cluster.nodes) void node.start();
  if (!(await world.run(30_000, () => cluster.allReady()))) violations.push('the cluster did not form');

  const clients = Array.from({ length: options.clients ?? 3 }, () => new SimClient(cluster, history));
  const workers = Array.from(
    { length: options.workers ?? 4 },
    (_, i) => new SimWorker(cluster, history, `w${i}`),
  );
  for (const one of [...clients, ...workers]) {
    void one.run().catch((error: unknown) => violations.push(`the workload broke: ${String(error)}`));
  }
  options.plan?.(cluster);
  const chaos = new Chaos(cluster);
  const chaosEnd = world.now + (options.chaosMs ?? 10_000);
  chaos.start();
  await world.run(chaosEnd, () => false);
  // A run proves something only when enough happened in it.
  const enough = (): boolean =>
    history.acknowledged.size >= ENOUGH.jobs &&
    chaos.crashes >= ENOUGH.crashes &&
    chaos.leaderChanges >= ENOUGH.leaderChanges &&
    cluster.unsyncedLost > 0 &&
    cluster.network.lost > 0;
  await world.run(world.now + LONGEST_MS, enough);
  chaos.stop();
  for (const client of clients) client.stopped = true;

  const deadline = world.now + LIVENESS_MS;
  let open = 'nothing was looked at';
  do {
    await world.run(world.now + LOOK_MS, () => false);
    open = cluster.allReady()
      ? (allEnded(cluster, history) ?? (sameIndex(cluster) ? '' : 'replicas differ in index'))
      : 'not all nodes are ready';
  } while (open !== '' && world.now < deadline);
  if (open !== '') violations.push(`not everything accepted came to an end: ${open}`);
  for (const worker of workers) worker.stopped = true;
  judge(cluster, history, violations);
  for (const node of cluster.nodes) {
    if (node.fatal !== null) violations.push(`${node.name} stopped by itself: ${node.fatal.message}`);
  }
  return {
    seed: options.seed,
    traceHash: world.traceHash,
    acknowledged: history.acknowledged.size,
    completed: history.completed.size,
    unknown: history.unknown,
    crashes: chaos.crashes,
    leaderChanges: chaos.leaderChanges,
    framesLost: cluster.network.lost,
    unsyncedLost: cluster.unsyncedLost,
    snapshots: cluster.nodes.reduce(
      (sum, node) => sum + ((node.node?.parts?.store.newest?.mark.index ?? 0) > 1 ? 1 : 0),
      0,
    ),
    installs: cluster.installs,
    virtualMs: world.now,
    events: world.events,
    violations,
  };
}

class Chaos {
  readonly #cluster: SimCluster;
  crashes = 0;
  leaderChanges = 0;
  #leader = '';
  #over = false;

  constructor(cluster: SimCluster) {
    this.#cluster = cluster;
  }

  start(): void {
    const { world, network } = this.#cluster;
    network.faults.lossPermille = world.random.pick([1, 2, 10, 30]);
    const watch = (): void => {
      if (this.#over) return;
      const leader = this.#cluster.leader?.name ?? '';
      if (leader !== '' && leader !== this.#leader) {
        if (this.#leader !== '') this.leaderChanges += 1;
        this.#leader = leader;
      }
      world.after(20, watch);
    };
    watch();
    const next = (): void => {
      if (this.#over) return;
      this.#strike();
      world.after(world.random.between(200, 1_400), next);
    };
    world.after(world.random.between(300, 900), next);
  }

  stop(): void {
    const { network, nodes } = this.#cluster;
    this.#over = true;
    network.faults.lossPermille = 0;
    network.heal();
    for (const node of nodes) if (!node.up) void node.start();
  }

  #strike(): void {
    const { world, network, running, nodes } = this.#cluster;
    const { random } = world;
    const leader = this.#cluster.leader;
    // The first crash hits the leader, so that every run has one such.
    const kind = this.crashes === 0 ? 0 : random.below(10);
    if (kind < 6) {
      const aim = this.crashes === 0 || random.chance(500);
      const target = leader !== null && aim ? leader : random.pick(nodes);
      if (!target.up) return;
      if (random.chance(700)) this.#cutPower(target);
      else this.#crash(target.name, false);
    } else if (kind < 7) {
      for (const node of [...running]) this.#crash(node.name, true);
    } else {
      const one = random.pick(nodes).name;
      const other = random.pick(nodes).name;
      if (one === other) return;
      world.note(`cut ${one} ${other}`);
      network.cut(one, other);
      if (random.chance(700)) network.cut(other, one);
      world.after(random.between(200, 3_000), () => network.heal());
    }
  }

  /** In the middle of a write, if there is one soon: that is when it takes something. */
  #cutPower(target: SimNode, looks = 50): void {
    if (!target.up || this.#over) return;
    if (target.disk.hasUnsynced || looks === 0) this.#crash(target.name, true);
    else this.#cluster.world.after(1, () => this.#cutPower(target, looks - 1));
  }

  #crash(name: string, powerLoss: boolean): void {
    const { world, nodes } = this.#cluster;
    const node = nodes.find((one) => one.name === name)!;
    this.crashes += 1;
    node.kill(powerLoss);
    // Now and then long enough for the log to go on without it.
    const downMs = world.random.chance(150) ? 5_000 : world.random.between(50, 1_500);
    world.after(downMs, () => {
      if (!node.up) void node.start();
    });
  }
}

/** The first accepted job that has not ended everywhere, as text; null when all have. */
function allEnded(cluster: SimCluster, history: History): string | null {
  for (const node of cluster.nodes) {
    const core = node.node?.parts?.core;
    if (core === undefined) return `${node.name} is down`;
    for (const id of history.acknowledged.keys()) {
      const seq = core.seqOf(NAMESPACE, id);
      const state = seq === 0 ? null : core.stateOf(seq);
      // A lost one does not change any more: the judge names it.
      if (state === 'queued' || state === 'running' || state === 'scheduled')
        return `${id} is ${state} at ${node.name}`;
    }
  }
  return null;
}

function sameIndex(cluster: SimCluster): boolean {
  const indexes = cluster.nodes.map((node) => node.node?.parts?.core.appliedIndex ?? -1);
  return indexes.every((index) => index === indexes[0]);
}

function judge(cluster: SimCluster, history: History, violations: string[]): void {
  const outcomes = new Map<string, string>();
  const hashes = new Set<string>();
  for (const node of cluster.nodes) {
    const core = node.node?.parts?.core;
    if (core === undefined) continue;
    hashes.add(`${core.appliedIndex}:${core.stateHash()}`);
    for (const id of history.acknowledged.keys()) {
      const job = core.findJob(NAMESPACE, id);
      if (job === null) {
        violations.push(`acknowledged job ${id} is unknown to ${node.name}`);
        continue;
      }
      const outcome = `${job.state} ${Buffer.from(job.result).toString()} ${job.finishedWall}`;
      const before = outcomes.get(id);
      if (before !== undefined && before !== outcome) {
        violations.push(`${id} is "${outcome}" at ${node.name} and "${before}" elsewhere`);
      }
      outcomes.set(id, outcome);
    }
    for (const [id, tokens] of history.completed) {
      const job = core.findJob(NAMESPACE, id);
      if (job?.state !== 'succeeded') {
        violations.push(
          `completion of ${id} was accepted, yet it is ${job?.state ?? 'unknown'} at ${node.name}`,
        );
      }
      if (tokens.size > 1) violations.push(`${id} was completed under ${tokens.size} leases`);
      const last = Math.max(...(history.leases.get(id) ?? []));
      if (last > Math.max(...tokens)) violations.push(`${id} was leased again after its completion`);
      if (job !== null && Buffer.from(job.result).toString() !== id) {
        violations.push(`${id} has another result at ${node.name} than the accepted one`);
      }
    }
    const seen = core.listJobs({
      namespace: NAMESPACE,
      function: '',
      states: [],
      uniqueKey: '',
      pageSize: 1_000_000,
      after: 0,
      budget: 10_000_000,
    });
    for (const job of seen.jobs) {
      if (!history.tried.has(job.id)) violations.push(`${node.name} has ${job.id}, which nobody submitted`);
    }
  }
  violations.push(...history.broken);
  for (const watch of history.watches) {
    const node = cluster.nodes.find((one) => one.name === watch.node)!;
    // A watch dies with its node; while that lives it comes to an end, as every accepted job does.
    if (node.starts === watch.starts && !watch.ended()) {
      violations.push(`the watch of ${watch.id} at ${watch.node} never ended`);
    }
  }
  violations.push(...cluster.diverged);
  if (hashes.size > 1) violations.push(`state hashes differ: ${[...hashes].join(' ')}`);
  for (const [id, tokens] of history.leases) {
    if (new Set(tokens).size !== tokens.length) violations.push(`${id} was delivered twice under one lease`);
  }
}
