import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { readClusterStatus } from '../cluster-status.js';
import type { CliCommand } from '../command.js';
import { command } from '../command.js';
import type { CliContext } from '../context.js';
import { aborted, say, sayJson, table, tell } from '../context.js';
import type { DevNode } from '../dev-cluster.js';
import { DevCluster } from '../dev-cluster.js';
import { wholeNumber } from '../values.js';

interface DevFlags {
  readonly nodes: number;
  readonly basePort: number;
  readonly dataDir?: string;
  readonly clusterName: string;
  readonly restart?: boolean;
  readonly json?: boolean;
}

const NOTES = `Node i (0, 1, 2, …) is called n1, n2, n3, … and listens on the base port + 10·i (gRPC), + 1 (peers),
+ 2 (HTTP) and + 3 (Gearman). Each is a process of its own, so that one can be killed with a signal; the log of n1 is
n1.log in the data directory. Ctrl-C stops the nodes in order. If this command is killed, its nodes stop by themselves.

With --json one line is printed when the cluster is ready:
{"ready":true,"cluster":"…","nodes":[{"id","pid","grpc","peer","http","gearman","data_dir","args"},…],"leader":"…"}
"args" is the whole argument vector that starts the node again, the interpreter first.`;

export function devCommand(context: CliContext): CliCommand {
  return command('dev', 'Run a cluster of several nodes on this machine, to try things out.')
    .argument('[server-flags...]', 'After --: more flags of "gearmesh server", for every node.')
    .option('--nodes <N>', 'How many nodes: 1 to 9.', wholeNumber(1, 9), 3)
    .option('--base-port <PORT>', 'gRPC port of the first node.', wholeNumber(1, 65_000), 7730)
    .option(
      '--data-dir <DIR>',
      'Keep the data here. By default it lives in a temporary directory and goes at the end.',
    )
    .option('--cluster-name <NAME>', 'Name of the cluster.', 'gearmesh')
    .option('--restart', 'Start a node again when it ends without having been told to.')
    .option('--json', 'Print one line of JSON when the cluster is ready, and nothing else.')
    .note(NOTES)
    .example('gearmesh dev --nodes 3', 'Three nodes; their data is gone at the end')
    .example('gearmesh dev --nodes 3 --data-dir .gearmesh/dev', 'The same cluster again each time')
    .example('gearmesh dev --nodes 3 --base-port 17730 --json', 'For scripts')
    .example('gearmesh dev --nodes 1 -- --log-level debug', 'With a setting for the nodes')
    .action((serverFlags: string[], flags: DevFlags) => dev(context, flags, serverFlags));
}

async function dev(context: CliContext, flags: DevFlags, serverFlags: readonly string[]): Promise<void> {
  const temporary = flags.dataDir === undefined;
  const directory = temporary ? mkdtempSync(join(tmpdir(), 'gearmesh-dev-')) : resolve(flags.dataDir!);
  // Nodes may be killed one by one: what keeps this process alive is the wish to, not its children.
  const alive = setInterval(() => {}, 2 ** 30);
  try {
    const cluster = await DevCluster.start({
      nodes: flags.nodes,
      basePort: flags.basePort,
      directory,
      clusterName: flags.clusterName,
      entry: context.entry,
      environment: context.environment,
      serverFlags,
      restart: flags.restart ?? false,
      report: (line) => tell(context, line),
      signal: context.signal,
    });
    const abandon = (): void => cluster.kill();
    process.once('exit', abandon);
    try {
      const status = await readClusterStatus(cluster.endpoints, 10_000);
      if (flags.json) {
        sayJson(context, {
          ready: true,
          cluster: flags.clusterName,
          nodes: cluster.nodes,
          leader: status.leader,
        });
      } else {
        say(context, welcome(flags, cluster.nodes, status.leader, temporary ? null : directory));
      }
      await aborted(context.signal);
      tell(context, 'stopping');
    } finally {
      await cluster.stop();
      process.removeListener('exit', abandon);
    }
  } catch (error) {
    if (!context.signal.aborted) throw error;
  } finally {
    clearInterval(alive);
    if (temporary) rmSync(directory, { recursive: true, force: true });
  }
}

function welcome(
  flags: DevFlags,
  nodes: readonly DevNode[],
  leader: string,
  directory: string | null,
): string {
  const rows = nodes.map((n) => [
    n.id,
    n.id === leader ? 'leader' : '',
    n.pid,
    n.grpc,
    `http://${n.http}/metrics`,
  ]);
  const at = flags.basePort === 7730 ? '' : ` --endpoint ${nodes[0]!.grpc}`;
  const data =
    directory === null
      ? 'Its data is in a temporary directory and goes when it stops (--data-dir keeps it).'
      : `Its data is in ${directory}.`;
  return `
The cluster is ready. ${data}

${table(['node', '', 'pid', 'gRPC', 'metrics'], rows)}

Try, in another terminal:

  npx gearmesh work reverse${at} -- rev
  npx gearmesh submit reverse 'Hello World!' --wait${at}
  npx gearmesh status${at}

Ctrl-C stops it.`;
}
