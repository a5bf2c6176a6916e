import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  AckPolicy,
  type JetStreamManager,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
} from '@nats-io/jetstream';
import { connect, type NatsConnection, nanos } from '@nats-io/transport-node';
import { freePorts, until } from '../../support/real-cluster.js';
import { type Places, used } from '../places.js';
import { PAYLOAD_BYTES, QUEUES } from './driver.js';
import { Loads } from './loads.js';
import { STREAM } from './nats-driver.js';
import type { Peer, RunningPeer } from './peer.js';
import { dataFolder, missing, program, versionOf } from './programs.js';
import { Server } from './server.js';

const NODES = 3;
const READY_MS = 60_000;
/** How long a worker may hold a message. */
const ACK_WAIT_MS = 600_000;
/** Messages that all workers together may hold: more than they ask for. */
const MOST_HELD = 10_000;
/** The first release that knows `sync_interval: always`. */
const KNOWS_ALWAYS = [2, 10] as const;
/** How long an answer is waited for before the publication is sent again, while there is no leader. */
const RETRY_MS = 100;
/** Between the refusal for want of a leader and the next try. */
const REFUSED_MS = 5;

interface Node {
  readonly name: string;
  readonly port: number;
  readonly server: Server;
}

/** Three servers in a cluster, with a stream and a consumer that are replicated to all of them. */
class NatsCluster {
  readonly nodes: readonly Node[];
  readonly #remove: () => void;
  #connection: NatsConnection | null = null;
  #manager: JetStreamManager | null = null;

  private constructor(nodes: readonly Node[], remove: () => void) {
    this.nodes = nodes;
    this.#remove = remove;
  }

  static async start(sync: string | null): Promise<NatsCluster> {
    const folder = dataFolder('nats');
    const ports = await freePorts(2 * NODES);
    const routes = ports.slice(NODES).map((port) => `nats://127.0.0.1:${port}`);
    const nodes = Array.from({ length: NODES }, (_, i) => {
      const name = `n${i + 1}`;
      const file = (kind: string): string => join(folder.path, `${name}.${kind}`);
      const interval = sync === null ? '' : `, sync_interval: ${sync}`;
      const config = [
        `server_name: ${name}`,
        `listen: "127.0.0.1:${ports[i]}"`,
        `jetstream { store_dir: "${file('data')}"${interval} }`,
        `cluster { name: bench, listen: "127.0.0.1:${ports[NODES + i]}", routes: [${routes.map((one) => `"${one}"`).join(', ')}] }`,
      ];
      writeFileSync(file('conf'), `${config.join('\n')}\n`);
      const server = new Server({
        name: `nats-server ${name}`,
        command: [program('nats-server'), '--config', file('conf')],
        directory: folder.path,
        log: file('log'),
      });
      return { name, port: ports[i]!, server };
    });
    const cluster = new NatsCluster(nodes, () => folder.remove());
    try {
      await cluster.#form();
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  async #form(): Promise<void> {
    for (const { server, port } of this.nodes) await server.listens(port);
    this.#connection = await connect({ servers: this.nodes.map(addressOf), maxReconnectAttempts: -1 });
    await until(READY_MS, async () => {
      this.#manager = await jetstreamManager(this.#connection!);
      await this.#manager.streams.add({
        name: STREAM,
        subjects: [...QUEUES],
        retention: RetentionPolicy.Workqueue,
        storage: StorageType.File,
        num_replicas: NODES,
      });
      return true;
    });
    for (const queue of QUEUES) {
      await this.#manager!.consumers.add(STREAM, {
        durable_name: queue,
        filter_subject: queue,
        ack_policy: AckPolicy.Explicit,
        ack_wait: nanos(ACK_WAIT_MS),
        max_ack_pending: MOST_HELD,
      });
    }
    await this.whole();
  }

  /** Resolves once stream and consumers have a leader and all followers are up to date. */
  async whole(): Promise<void> {
    await until(READY_MS, async () => {
      const { streams, consumers } = this.#manager!;
      const infos = [
        await streams.info(STREAM),
        ...(await Promise.all(QUEUES.map((queue) => consumers.info(STREAM, queue)))),
      ];
      return infos.every(
        ({ cluster }) =>
          cluster?.leader !== undefined &&
          cluster.replicas?.length === NODES - 1 &&
          cluster.replicas.every((one) => one.current && !one.offline),
      );
    });
  }

  /** The node that leads the stream, then the others. */
  async led(): Promise<[Node, ...Node[]]> {
    const { cluster } = await this.#manager!.streams.info(STREAM);
    const leader = this.nodes.find((node) => node.name === cluster?.leader);
    if (leader === undefined) throw new Error(`the stream is led by ${cluster?.leader}`);
    return [leader, ...this.nodes.filter((node) => node !== leader)];
  }

  async left(): Promise<number> {
    return (await this.#manager!.streams.info(STREAM)).state.messages;
  }

  async purge(): Promise<void> {
    await this.#manager!.streams.purge(STREAM);
  }

  /** The client is at another node than the one that is killed, which is started again for the next time. */
  async failover(times: number): Promise<number[]> {
    const took: number[] = [];
    const payload = Buffer.alloc(PAYLOAD_BYTES, 'x');
    for (let i = 0; i < times; i++) {
      const [leader, other] = await this.led();
      const client = await connect({ servers: addressOf(other!) });
      await published(client, payload);
      const gone = leader.server.kill();
      const began = performance.now();
      await published(client, payload);
      took.push(performance.now() - began);
      await gone;
      await client.close();
      leader.server.start();
      await leader.server.listens(leader.port);
      await this.whole();
    }
    return took;
  }

  async stop(): Promise<void> {
    await this.#connection?.close();
    await Promise.all(this.nodes.map(({ server }) => server.kill()));
    this.#remove();
  }
}

function addressOf({ port }: Node): string {
  return `127.0.0.1:${port}`;
}

/** Sends until it is acknowledged: without a leader a publication is refused, or nobody answers. */
async function published(client: NatsConnection, payload: Buffer): Promise<void> {
  for (;;) {
    const answer = await client.request(QUEUES[0], payload, { timeout: RETRY_MS }).catch(() => null);
    if (answer !== null && answer.data.length > 0 && !('error' in answer.json<object>())) return;
    if (answer !== null || client.isClosed()) await new Promise((resolve) => setTimeout(resolve, REFUSED_MS));
  }
}

async function start(sync: string | null, places: Places): Promise<RunningPeer> {
  const cluster = await NatsCluster.start(sync);
  return Loads.over({
    version: versionOf('nats-server', '--version'),
    batches: '100 pipelined publications',
    driver: 'nats',
    clients: { submit: 1, work: 1 },
    pids: () => cluster.nodes.map(({ server }) => server.pid),
    addresses: async () => used(await cluster.led(), places).map(addressOf),
    left: () => cluster.left(),
    purge: () => cluster.purge(),
    failover: (times) => cluster.failover(times),
    stop: () => cluster.stop(),
  });
}

async function missingAlways(): Promise<string | null> {
  const none = missing('nats-server', '--version');
  if (none !== null) return none;
  const version = versionOf('nats-server', '--version');
  const [major, minor] = version.split('.').map(Number) as [number, number];
  const knows = major > KNOWS_ALWAYS[0] || (major === KNOWS_ALWAYS[0] && minor >= KNOWS_ALWAYS[1]);
  return knows
    ? null
    : `nats-server ${version} does not know sync_interval: always (${KNOWS_ALWAYS.join('.')} does)`;
}

export const nats: Peer = {
  name: 'nats',
  promise:
    'written to the files of two of three nodes, which do not sync them for a message (every two minutes)',
  missing: async () => missing('nats-server', '--version'),
  start: (places) => start(null, places),
};

export const natsSync: Peer = {
  name: 'nats-always',
  promise: 'on the disks of two of three nodes (sync_interval: always)',
  missing: missingAlways,
  start: (places) => start('always', places),
};
