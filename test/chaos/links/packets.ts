import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { promisify } from 'node:util';
import type { Conditions } from './conditions.js';

const run = promisify(execFile);
const TABLE = 'chaos';
const NAMES = '/run/netns';

/** Addresses of the bridge's network, below `10.99`: nodes, the proxies before them, and what those dial from. */
export const NODE_NET = '10.99.0';
export const DOOR_NET = '10.99.1';
export const SOURCE_NET = '10.99.2';
export const namespaceOf = (name: string): string => `gearmesh-${name}`;
const numberOf = (name: string): number => Number(name.slice(1));
export const addressIn = (net: string, name: string): string => `${net}.${numberOf(name)}`;

/** What the filter of one node drops of what it sends to another: by rules of nftables. */
export function rulesOf(name: string, names: readonly string[], conditions: Conditions): string {
  const rules: string[] = [];
  for (const other of names) {
    if (other === name) continue;
    const { cut, lossPermille } = conditions.of(name, other);
    const addresses = `{ ${addressIn(DOOR_NET, other)}, ${addressIn(SOURCE_NET, other)} }`;
    if (cut) rules.push(`ip daddr ${addresses} counter drop`);
    else if (lossPermille > 0) {
      rules.push(`ip daddr ${addresses} numgen random mod 1000 < ${lossPermille} counter drop`);
    }
  }
  const chain = ['chain out {', 'type filter hook output priority 0; policy accept', ...rules, '}'].join(
    '\n',
  );
  // The first line makes sure that there is one to be deleted.
  return `table ip ${TABLE} { }\ndelete table ip ${TABLE}\ntable ip ${TABLE} {\n${chain}\n}\n`;
}

/**
 * A network of its own for each node, joined by a bridge on which those who test live too. Only for a process that
 * has a network namespace of its own: everything here goes when it ends.
 */
export class Packets {
  readonly #names: readonly string[];
  readonly #conditions: Conditions;
  #dropped = 0;
  #last: Promise<void> = Promise.resolve();
  /** A rule could not be set: the run would not be what it says. */
  failure: Error | null = null;

  constructor(names: readonly string[], conditions: Conditions) {
    this.#names = names;
    this.#conditions = conditions;
    conditions.onChange(() => this.#change());
  }

  build(): void {
    const ip = (line: string): void => {
      execFileSync('ip', line.split(' '));
    };
    // Names of namespaces are files: in a folder that ends with this process's mounts.
    mkdirSync(NAMES, { recursive: true });
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', NAMES]);
    ip('link set lo up');
    ip('link add gearmesh type bridge');
    ip('link set gearmesh up');
    ip(`addr add ${NODE_NET}.254/16 dev gearmesh`);
    for (const name of this.#names) {
      ip(`addr add ${addressIn(DOOR_NET, name)}/16 dev gearmesh`);
      ip(`addr add ${addressIn(SOURCE_NET, name)}/16 dev gearmesh`);
      const namespace = namespaceOf(name);
      ip(`netns add ${namespace}`);
      ip(`link add ${name} type veth peer name eth0 netns ${namespace}`);
      ip(`link set ${name} master gearmesh up`);
      ip(`-n ${namespace} link set lo up`);
      ip(`-n ${namespace} addr add ${addressIn(NODE_NET, name)}/16 dev eth0`);
      ip(`-n ${namespace} link set eth0 up`);
    }
  }

  /** Rules are set one after the other: the last are those of the last change. */
  #change(): void {
    this.#last = this.#last
      .then(() => this.#set())
      .catch((error: Error) => {
        this.failure ??= error;
      });
  }

  async #set(): Promise<void> {
    this.#dropped += await this.#counted();
    for (const name of this.#names) {
      const child = run('ip', ['netns', 'exec', namespaceOf(name), 'nft', '-f', '-']);
      child.child.stdin?.end(rulesOf(name, this.#names, this.#conditions));
      await child;
    }
  }

  /** What the rules that stand now have dropped. */
  async #counted(): Promise<number> {
    let sum = 0;
    for (const name of this.#names) {
      const { stdout } = await run('ip', ['netns', 'exec', namespaceOf(name), 'nft', 'list', 'ruleset']);
      for (const [, packets] of stdout.matchAll(/counter packets (\d+)/g)) sum += Number(packets);
    }
    return sum;
  }

  /** Packets that were dropped so far. */
  async dropped(): Promise<number> {
    await this.#last;
    return this.#dropped + (await this.#counted());
  }
}
