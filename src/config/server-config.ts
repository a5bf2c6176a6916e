import type { Settings } from '../core/types.js';
import type { Sources } from './load.js';
import { ConfigError, loadValues } from './load.js';
import type { Address, PeerEntry } from './option.js';
import { isName, parseAddress, showAddress } from './option.js';
import type { Values } from './options.js';
import { OPTIONS, SEEDS } from './options.js';

/** Everything a node needs to start, checked and with nothing left to derive. */
export interface ServerConfig {
  readonly id: string;
  /** Every option by its key, as given or by default. */
  readonly values: Values;
  /** All nodes of the cluster by name and peer address, this one included. */
  readonly peers: readonly PeerEntry[];
  /** Where others reach this node. */
  readonly advertise: { readonly grpc: Address; readonly peer: Address; readonly http: Address };
  /** Seeds of the replicated settings, used when the cluster forms. */
  readonly settings: Settings;
  /** Harmless oddities, for the log. */
  readonly warnings: readonly string[];
}

/** Loads, derives and checks. `hostname` is the machine's. Throws `ConfigError` with every problem found. */
export function loadServerConfig(sources: Sources, hostname: string): ServerConfig {
  const { values, origins, warnings } = loadValues(OPTIONS, sources);
  const problems: string[] = [];

  const id = nodeId(values, origins.id !== 'default', hostname, problems);
  const listed = peerList(values, problems);
  const own = listed.find((p) => p.name === id);
  if (listed.length > 0 && own === undefined) {
    problems.push(
      `id = ${JSON.stringify(id)}: expected one of the names in the list of peers (${listed.map((p) => p.name).join(', ')})`,
    );
  }
  checkExposure(values, problems);
  checkTimes(values, problems);
  const advertise = advertised(values, own ?? null, problems);
  if (problems.length > 0) throw new ConfigError(problems);

  const peers = listed.length > 0 ? listed : [{ name: id, ...advertise.peer }];
  return { id, values, peers, advertise, settings: settingsOf(values), warnings };
}

function nodeId(values: Values, given: boolean, hostname: string, problems: string[]): string {
  if (!values['id-from-hostname']) return values.id;
  const id = hostname.split('.')[0] ?? '';
  if (given) {
    problems.push('id and id-from-hostname: expected only one of them, both say what the node is called');
  } else if (!isName(id)) {
    problems.push(
      `id-from-hostname: the host name ${JSON.stringify(hostname)} gives no valid node name; use --id`,
    );
  }
  return id;
}

function peerList(values: Values, problems: string[]): readonly PeerEntry[] {
  const template = values['peers-template'];
  const replicas = values.replicas;
  if (template === '') {
    if (replicas > 0) {
      problems.push(`replicas = ${replicas}: expected only together with peers-template`);
    }
    return values.peers;
  }
  if (values.peers.length > 0) {
    problems.push('peers and peers-template: expected only one of them, both list the nodes');
    return values.peers;
  }
  if (replicas < 1) {
    problems.push('peers-template: expected replicas as well, the number of nodes it stands for');
    return [];
  }
  const list: PeerEntry[] = [];
  for (let i = 0; i < replicas; i++) {
    const found = parseAddress(template.replaceAll('{i}', String(i)));
    const name = found?.host.split('.')[0] ?? '';
    if (found === undefined || !isName(name) || list.some((p) => p.name === name)) {
      problems.push(
        `peers-template = ${JSON.stringify(template)}: expected ${OPTIONS['peers-template'].expected}, so that every node has a name of its own before the first dot`,
      );
      return [];
    }
    list.push({ name, ...found });
  }
  return list;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || /^[0:]+$/.test(host);
}

function checkExposure(values: Values, problems: string[]): void {
  if (values.insecure) return;
  for (const key of ['listen-grpc', 'listen-peer', 'listen-http', 'listen-gearman'] as const) {
    const address = values[key];
    if (address === null || isLoopback(address.host)) continue;
    problems.push(
      `${key} = "${showAddress(address)}" can be reached from other machines, and this version neither encrypts nor ` +
        'authenticates: listen on 127.0.0.1, or accept that on a trusted network with --insecure ' +
        '(GEARMESH_INSECURE=true, or "insecure: true" in the file)',
    );
  }
}

function checkTimes(values: Values, problems: string[]): void {
  if (values['heartbeat-ms'] * 4 > values['election-timeout-ms']) {
    problems.push(
      `heartbeat-ms = ${values['heartbeat-ms']}: expected at most a quarter of election-timeout-ms (${values['election-timeout-ms']})`,
    );
  }
  if (values['jobs.dedupe-window-min-ms'] > values['jobs.dedupe-window-ms']) {
    problems.push(
      `jobs.dedupe-window-min-ms = ${values['jobs.dedupe-window-min-ms']}: expected at most jobs.dedupe-window-ms (${values['jobs.dedupe-window-ms']})`,
    );
  }
  if (values['retry.initial-backoff-ms'] > values['retry.max-backoff-ms']) {
    problems.push(
      `retry.initial-backoff-ms = ${values['retry.initial-backoff-ms']}: expected at most retry.max-backoff-ms (${values['retry.max-backoff-ms']})`,
    );
  }
}

function advertised(values: Values, own: PeerEntry | null, problems: string[]): ServerConfig['advertise'] {
  const peer = values['advertise-peer'] ?? own ?? values['listen-peer'];
  const reach = (which: 'grpc' | 'http'): Address => {
    const given = values[`advertise-${which}`];
    if (given !== null) return given;
    const listen = values[`listen-${which}`];
    // Nobody can connect to "every address": the name under which peers know the node is the next best.
    return isWildcard(listen.host) ? { host: peer.host, port: listen.port } : listen;
  };
  const result = {
    peer: { host: peer.host, port: peer.port },
    grpc: reach('grpc'),
    http: reach('http'),
  };
  for (const [which, address] of Object.entries(result)) {
    if (!isWildcard(address.host)) continue;
    problems.push(
      `advertise-${which} = "${showAddress(address)}": expected an address that others can connect to; set --advertise-${which}, or list this node in --peers`,
    );
  }
  return result;
}

function settingsOf(values: Values): Settings {
  const settings: Record<string, number> = {};
  for (const [setting, key] of Object.entries(SEEDS)) settings[setting] = values[key];
  return settings as unknown as Settings;
}
