import { execFile } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { program, surroundings } from './programs.js';
import { Server } from './server.js';

const COOKIE = 'gearmeshbench';

export interface NodePlace {
  /** Of the node in Erlang, without its host. */
  readonly name: string;
  readonly port: number;
  /** Where the nodes speak to each other. */
  readonly distribution: number;
}

/** One node of RabbitMQ, with all it writes below the cluster's folder, and with an epmd that is not the system's. */
export class RabbitNode {
  readonly name: string;
  readonly port: number;
  readonly server: Server;
  readonly #environment: Readonly<Record<string, string>>;

  /** `others`: those that it may join. */
  constructor(place: NodePlace, others: readonly NodePlace[], folder: string, epmdPort: number) {
    this.name = place.name;
    this.port = place.port;
    const home = join(folder, place.name);
    mkdirSync(home);
    const file = (name: string): string => join(home, name);
    const config = [
      `listeners.tcp.1 = 127.0.0.1:${place.port}`,
      'cluster_formation.peer_discovery_backend = classic_config',
      ...[place, ...others].map(
        (one, i) => `cluster_formation.classic_config.nodes.${i + 1} = ${one.name}@localhost`,
      ),
      'log.console = true',
      'log.console.level = warning',
      'log.file = false',
    ];
    writeFileSync(file('rabbitmq.conf'), `${config.join('\n')}\n`);
    writeFileSync(file('plugins'), '[].\n');
    writeFileSync(file('environment'), '');
    writeFileSync(file('.erlang.cookie'), COOKIE);
    chmodSync(file('.erlang.cookie'), 0o400);
    this.#environment = {
      HOME: home,
      ERL_EPMD_PORT: String(epmdPort),
      RABBITMQ_NODENAME: `${place.name}@localhost`,
      RABBITMQ_DIST_PORT: String(place.distribution),
      RABBITMQ_MNESIA_BASE: file('data'),
      RABBITMQ_LOG_BASE: file('logs'),
      RABBITMQ_CONFIG_FILE: file('rabbitmq.conf'),
      RABBITMQ_CONF_ENV_FILE: file('environment'),
      RABBITMQ_ENABLED_PLUGINS_FILE: file('plugins'),
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false',
      // So that its script becomes the server, with the same pid.
      RUNNING_UNDER_SYSTEMD: 'true',
    };
    this.server = new Server({
      name: `RabbitMQ ${place.name}`,
      command: [program('rabbitmq-server')],
      environment: this.#environment,
      directory: home,
      log: file('log'),
    });
  }

  /** The value of an Erlang expression in this node, as text. */
  async value(expression: string): Promise<string> {
    const environment = { ...surroundings(), ...this.#environment };
    const flags = ['-sname', `${this.name}@localhost`, '-c', COOKIE, '-e'];
    const asked = promisify(execFile)(program('erl_call'), flags, { env: environment, timeout: 20_000 });
    asked.child.stdin!.end(`${expression}.\n`);
    const { stdout } = await asked;
    const value = /^\{ok, (.*)\}\s*$/s.exec(stdout)?.[1];
    if (value === undefined) throw new Error(`${this.name} was asked for ${expression}: ${stdout}`);
    return value;
  }
}
