import type { SeededRandom } from '../../../src/sim/random.js';
import { freePorts, type NodePlace } from '../../support/real-cluster.js';
import { Conditions, type Network } from './conditions.js';
import { addressIn, DOOR_NET, NODE_NET, namespaceOf, Packets, SOURCE_NET } from './packets.js';
import { PeerProxies } from './proxy.js';

const PORTS = { grpc: 7_730, peer: 7_731, http: 7_732, gearman: 4_730 };
/** Loopback has room for an address of each node's own: from there it dials, and so is known. */
const LOOPBACK = '127.99.0';

/** A network for some nodes, and where each of them is in it. */
export interface Built {
  readonly network: Network;
  readonly places: readonly NodePlace[];
  /** Put before a node's program. */
  readonly wrap: (name: string) => readonly string[];
  /** The node's connections must come from here; '' where they do by themselves. */
  readonly dialFrom: (name: string) => string;
  readonly flags: readonly string[];
}

/** Real packets, dropped by a filter in each node's own network namespace; delays by proxies. */
export async function packetNetwork(names: readonly string[], random: SeededRandom): Promise<Built> {
  const conditions = new Conditions();
  const packets = new Packets(names, conditions);
  packets.build();
  const proxies = new PeerProxies({
    conditions,
    random,
    nameOf: (address) => names.find((name) => addressIn(NODE_NET, name) === address) ?? null,
    sourceOf: (name) => addressIn(SOURCE_NET, name),
    losesByItself: false,
  });
  const places: NodePlace[] = [];
  for (const name of names) {
    const host = addressIn(NODE_NET, name);
    const door = addressIn(DOOR_NET, name);
    await proxies.open({ name, host: door, port: PORTS.peer, target: { host, port: PORTS.peer } });
    const at = (port: number): string => `${host}:${port}`;
    places.push({
      grpc: at(PORTS.grpc),
      peer: at(PORTS.peer),
      http: at(PORTS.http),
      gearman: at(PORTS.gearman),
      told: `${door}:${PORTS.peer}`,
    });
  }
  return {
    network: {
      name: 'network namespaces, packets dropped by nftables, delayed by proxies',
      conditions,
      held: async () => {
        const dropped = await packets.dropped();
        if (packets.failure !== null) throw packets.failure;
        return dropped;
      },
      delayed: () => proxies.counts.delayed,
      close: () => proxies.close(),
    },
    places,
    wrap: (name) => ['nsenter', `--net=/run/netns/${namespaceOf(name)}`],
    dialFrom: () => '',
    flags: ['--insecure'],
  };
}

/** TCP proxies on loopback, for machines that allow no more. */
export async function proxyNetwork(names: readonly string[], random: SeededRandom): Promise<Built> {
  const conditions = new Conditions();
  const sourceOf = (name: string): string => addressIn(LOOPBACK, name);
  const proxies = new PeerProxies({
    conditions,
    random,
    nameOf: (address) => names.find((name) => sourceOf(name) === address) ?? null,
    sourceOf: () => '127.0.0.1',
    losesByItself: true,
  });
  const ports = await freePorts(names.length * 5);
  const places: NodePlace[] = [];
  for (const [i, name] of names.entries()) {
    const own = ports.slice(i * 5, i * 5 + 5).map((port) => `127.0.0.1:${port}`) as [
      string,
      string,
      string,
      string,
      string,
    ];
    const [grpc, peer, http, gearman, told] = own;
    const target = { host: '127.0.0.1', port: ports[i * 5 + 1]! };
    await proxies.open({ name, host: '127.0.0.1', port: ports[i * 5 + 4]!, target });
    places.push({ grpc, peer, http, gearman, told });
  }
  return {
    network: {
      name: 'TCP proxies on loopback',
      conditions,
      held: () => Promise.resolve(proxies.counts.held),
      delayed: () => proxies.counts.delayed,
      close: () => proxies.close(),
    },
    places,
    wrap: () => [],
    dialFrom: sourceOf,
    flags: [],
  };
}
