import { join } from 'node:path';
import { type Channel, type ChannelModel, type ConfirmChannel, connect } from 'amqplib';
import { freePorts } from '../../support/real-cluster.js';
import { type Places, used } from '../places.js';
import { PAYLOAD_BYTES, QUEUES } from './driver.js';
import { Loads } from './loads.js';
import type { Peer, RunningPeer } from './peer.js';
import { dataFolder, missing, program } from './programs.js';
import { RabbitNode } from './rabbitmq-node.js';
import { Server } from './server.js';

const NAMES = ['r1', 'r2', 'r3'] as const;
const RUNNING = '[N || N <- [node() | nodes()], rpc:call(N, rabbit, is_running, []) =:= true]';
const lookUp = (queue: string): string =>
  `{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"${queue}">>))`;
/** Jobs of all queues, waiting or delivered, by their leaders: what AMQP tells leaves out those that are delivered. */
const TOTAL = `lists:sum([begin
  {ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, Name)),
  {ok, {_, Jobs}, _} = ra:leader_query(amqqueue:get_pid(Q), fun rabbit_fifo:query_messages_total/1),
  Jobs
end || Name <- [${QUEUES.map((name) => `<<"${name}">>`).join(', ')}]])`;

/** Three nodes, and quorum queues with a member on each of them. */
class RabbitCluster {
  readonly #epmd: Server;
  readonly #remove: () => void;
  readonly #nodes: RabbitNode[] = [];
  #connection: ChannelModel | null = null;

  private constructor(epmd: Server, remove: () => void) {
    this.#epmd = epmd;
    this.#remove = remove;
  }

  static async start(): Promise<RabbitCluster> {
    const folder = dataFolder('rabbitmq');
    const ports = await freePorts(1 + 2 * NAMES.length);
    const epmdPort = ports[0]!;
    const epmd = new Server({
      name: 'epmd',
      command: [program('epmd'), '-port', String(epmdPort), '-address', '127.0.0.1'],
      directory: folder.path,
      log: join(folder.path, 'epmd.log'),
    });
    const cluster = new RabbitCluster(epmd, () => folder.remove());
    try {
      await epmd.listens(epmdPort);
      const places = NAMES.map((name, i) => ({
        name,
        port: ports[1 + 2 * i]!,
        distribution: ports[2 + 2 * i]!,
      }));
      for (const [i, place] of places.entries()) {
        const node = new RabbitNode(place, places.slice(0, i), folder.path, epmdPort);
        cluster.#nodes.push(node);
        await node.server.listens(node.port);
      }
      await cluster.#form();
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  async #form(): Promise<void> {
    await this.#whole();
    for (const queue of QUEUES) await this.#declare(queue, this.#nodes[0]!);
  }

  get pids(): readonly number[] {
    return this.#nodes.map(({ server }) => server.pid);
  }

  async version(): Promise<string> {
    const said = await this.#nodes[0]!.value('rabbit_misc:version()');
    return /\d+(\.\d+)+/.exec(said)?.[0] ?? '?';
  }

  /** The node that leads the queue, then the others. */
  async led(): Promise<[RabbitNode, ...RabbitNode[]]> {
    const said = await this.#running().value(`${lookUp(QUEUES[0])}, element(2, amqqueue:get_pid(Q))`);
    const leader = this.#nodes.find((node) => said.includes(`${node.name}@localhost`));
    if (leader === undefined) throw new Error(`the queue is led by ${said}`);
    return [leader, ...this.#nodes.filter((node) => node !== leader)];
  }

  async left(): Promise<number> {
    return Number(await this.#running().value(TOTAL));
  }

  async purge(): Promise<void> {
    for (const queue of QUEUES) await this.#asking(async (channel) => await channel.purgeQueue(queue));
  }

  /** The client is at another node than the one that is killed, which is started again for the next time. */
  async failover(times: number): Promise<number[]> {
    const took: number[] = [];
    const payload = Buffer.alloc(PAYLOAD_BYTES, 'x');
    for (let i = 0; i < times; i++) {
      const [leader, other] = await this.led();
      await this.#connection?.close();
      this.#connection = null;
      const client = await connect(urlOf(other!), { noDelay: true });
      const channel = await client.createConfirmChannel();
      await published(channel, payload);
      const gone = leader.server.kill();
      const began = performance.now();
      await published(channel, payload);
      took.push(performance.now() - began);
      await gone;
      await client.close();
      leader.server.start();
      await leader.server.listens(leader.port);
      await this.#whole();
    }
    return took;
  }

  async stop(): Promise<void> {
    await this.#connection?.close().catch(() => {});
    await Promise.all([this.#epmd, ...this.#nodes.map(({ server }) => server)].map((one) => one.kill()));
    this.#remove();
  }

  /** Resolves once every node knows of every other that RabbitMQ runs there. */
  async #whole(): Promise<void> {
    for (const node of this.#nodes) {
      await node.server.ready(async () => {
        const running = await node.value(RUNNING);
        return NAMES.every((name) => running.includes(`${name}@localhost`));
      });
    }
  }

  /** With its leader at this node. */
  async #declare(queue: string, node: RabbitNode): Promise<void> {
    const connection = await connect(urlOf(node));
    const channel = await connection.createChannel();
    await channel.assertQueue(queue, {
      durable: true,
      arguments: {
        'x-queue-type': 'quorum',
        'x-quorum-initial-group-size': NAMES.length,
        'x-queue-leader-locator': 'client-local',
      },
    });
    await connection.close();
    const members = await node.value(`${lookUp(queue)}, maps:get(nodes, amqqueue:get_type_state(Q))`);
    if (!NAMES.every((name) => members.includes(`${name}@localhost`))) {
      throw new Error(`the queue's members are ${members}`);
    }
  }

  #running(): RabbitNode {
    return this.#nodes.find(({ server }) => server.running)!;
  }

  async #asking<T>(question: (channel: Channel) => Promise<T>): Promise<T> {
    this.#connection ??= await connect(urlOf(this.#running()));
    const channel = await this.#connection.createChannel();
    const answer = await question(channel);
    await channel.close();
    return answer;
  }
}

function urlOf({ port }: RabbitNode): string {
  return `amqp://guest:guest@127.0.0.1:${port}`;
}

/** Its node sends it again to the next leader, until that confirms it. */
function published(channel: ConfirmChannel, payload: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    channel.sendToQueue(QUEUES[0], payload, { persistent: true }, (error: unknown) => {
      if (error) reject(new Error(`RabbitMQ refused: ${String(error)}`));
      else resolve();
    });
  });
}

async function start(places: Places): Promise<RunningPeer> {
  const cluster = await RabbitCluster.start();
  return Loads.over({
    version: await cluster.version(),
    batches: '100 pipelined publications',
    driver: 'amqp',
    clients: { submit: 1, work: 1 },
    pids: () => cluster.pids,
    addresses: async () => used(await cluster.led(), places).map(({ port }) => `127.0.0.1:${port}`),
    left: () => cluster.left(),
    purge: () => cluster.purge(),
    failover: (times) => cluster.failover(times),
    stop: () => cluster.stop(),
  });
}

export const rabbitmq: Peer = {
  name: 'rabbitmq',
  promise: 'on the disks of two of three nodes (quorum queue, publisher confirm)',
  missing: async () => missing('rabbitmq-server') ?? missing('erl_call') ?? missing('epmd'),
  start,
};
