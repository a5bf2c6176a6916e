import type { SeededRandom } from '../../../src/sim/random.js';
import type { RealCluster } from '../../support/real-cluster.js';
import { LoadClient } from './client.js';
import { GearmanClient, GearmanWorker } from './gearman.js';
import type { Notes } from './notes.js';
import { LoadWorker } from './worker.js';

const WORKERS = 4;
const GEARMAN_WORKERS = 3;
/** So many calls of a hundred go to the Gearman ports. */
const GEARMAN_PERCENT = 15;

/** Clients at every node and clients of all nodes; workers; and the same by Gearman's protocol. */
export class Load {
  readonly #clients: LoadClient[];
  readonly #workers: LoadWorker[];
  readonly #gearmanClients: GearmanClient[];
  readonly #gearmanWorkers: GearmanWorker[];
  readonly #rate: number;
  #calling: Promise<unknown> = Promise.resolve();
  #working: Promise<unknown> = Promise.resolve();

  constructor(
    cluster: RealCluster,
    notes: Notes,
    random: SeededRandom,
    o: { rate: number; hasGearman: boolean },
  ) {
    this.#rate = o.rate;
    const { nodes } = cluster;
    const all = nodes.map((node) => node.grpc);
    const single = nodes.map(({ name, grpc }) => ({
      name: `client-${name}`,
      node: name,
      endpoints: [grpc],
      nodes,
    }));
    const any = nodes.map(({ name }) => ({ name: `client-any-${name}`, node: '', endpoints: all, nodes }));
    this.#clients = [...single, ...any].map((place) => new LoadClient(place, notes, random.fork()));
    this.#workers = Array.from(
      { length: WORKERS },
      (_, i) => new LoadWorker(`worker-${i + 1}`, nodes, notes, random.fork()),
    );
    this.#gearmanClients = nodes.map(
      (node) => new GearmanClient(`gearman-${node.name}`, node, notes, random.fork(), o.hasGearman),
    );
    this.#gearmanWorkers = Array.from(
      { length: GEARMAN_WORKERS },
      (_, i) => new GearmanWorker(`gearman-worker-${i + 1}`, nodes, notes, random.fork()),
    );
  }

  /** Rejects when the load itself fails, which is nobody's fault but its own. */
  start(): Promise<unknown> {
    const grpc = (this.#rate * (100 - GEARMAN_PERCENT)) / 100;
    const gearman = this.#rate - grpc;
    this.#calling = Promise.all([
      ...this.#clients.map((one) => one.run((1_000 * this.#clients.length) / grpc)),
      ...this.#gearmanClients.map((one) => one.run((1_000 * this.#gearmanClients.length) / gearman)),
    ]);
    this.#working = Promise.all([...this.#workers, ...this.#gearmanWorkers].map((one) => one.run()));
    return Promise.all([this.#calling, this.#working]);
  }

  /** No new jobs; workers do what they are told. Resolves when no call is under way any more. */
  async quiesce(): Promise<void> {
    for (const worker of [...this.#workers, ...this.#gearmanWorkers]) worker.tame();
    for (const client of [...this.#clients, ...this.#gearmanClients]) client.end();
    await this.#calling;
  }

  async stop(): Promise<void> {
    for (const worker of [...this.#workers, ...this.#gearmanWorkers]) worker.end();
    await this.#working;
    await Promise.all(this.#clients.map((client) => client.close()));
  }
}
