import type { ClusterInfo } from '../../client/index.js';
import { type AskFlags, asks, withClient } from '../ask.js';
import type { CliCommand } from '../command.js';
import { command } from '../command.js';
import type { CliContext } from '../context.js';
import { say, sayJson, table, tell } from '../context.js';
import { clusterJson } from '../json-shapes.js';

export function clusterCommand(context: CliContext): CliCommand {
  const cluster = command('cluster', 'Look at the cluster and operate it.')
    .example('gearmesh cluster status', 'Who leads, who follows, how far each is')
    .example('gearmesh cluster transfer n2', 'Make n2 the leader');
  cluster.addCommand(statusCommand(context));
  cluster.addCommand(transferCommand(context));
  cluster.addCommand(replaceCommand(context));
  return cluster;
}

const STATUS_NOTES = `With --json: {"cluster","cluster_id","leader","term","hash_disagreement","nodes":[{"id","role","reachable",
"applied_index","commit_index","state_hash","state_hash_index",…},…]}. Without a leader, "leader" is null.`;

function statusCommand(context: CliContext): CliCommand {
  const status = command('status', 'Show the leader, and of each node its role and how far it is.').option(
    '--eventual',
    'What the asked node knows by itself; answers without a leader too.',
  );
  return asks(status, { namespace: false })
    .note(STATUS_NOTES)
    .example('gearmesh cluster status', 'For people')
    .example(
      'gearmesh cluster status --endpoint 127.0.0.1:7740 --eventual --json',
      'What one node knows, for scripts',
    )
    .action((flags: AskFlags & { readonly eventual?: boolean }) =>
      withClient(context, flags, async (client) => {
        const consistency = flags.eventual ? 'eventual' : 'linearizable';
        const info = await client.cluster.get({ consistency, signal: context.signal });
        if (flags.json) sayJson(context, clusterJson(info));
        else say(context, clusterText(info));
      }),
    );
}

export function clusterText(info: ClusterInfo): string {
  const rows = info.nodes.map((n) => [
    n.name,
    n.role,
    n.reachable ? (n.stalled ? 'stalled' : 'reachable') : 'unreachable',
    n.appliedIndex,
    n.commitIndex,
    n.stateHash === '' ? '' : `${n.stateHash.slice(0, 12)} @ ${n.stateHashIndex}`,
    n.grpcAddress,
    n.version,
  ]);
  const leader = info.leader === '' ? 'no leader' : `leader ${info.leader}`;
  const lines = [
    `cluster ${info.name} (${info.id}), ${leader}, term ${info.term}`,
    '',
    table(['node', 'role', '', 'applied', 'committed', 'state', 'gRPC', 'version'], rows),
  ];
  if (info.hashDisagreement !== '') lines.push('', `THE REPLICAS DISAGREE: ${info.hashDisagreement}`);
  return lines.join('\n');
}

function transferCommand(context: CliContext): CliCommand {
  const transfer = command('transfer', 'Hand leadership over, e.g. before work on the leader.').argument(
    '[node]',
    'Who is to lead. By default the leader chooses.',
  );
  return asks(transfer, { namespace: false })
    .example('gearmesh cluster transfer', 'To whoever is best up to date')
    .example('gearmesh cluster transfer n2', 'To n2')
    .action((node: string | undefined, flags: AskFlags) =>
      withClient(context, flags, async (client) => {
        const { leader, term, revision } = await client.cluster.transferLeadership(node ?? '', {
          signal: context.signal,
        });
        if (flags.json) sayJson(context, { leader, term, revision });
        else say(context, `leader ${leader}, term ${term}`);
      }),
    );
}

const REPLACE_NOTES = `The node must run again with an empty data directory under its old name. It is taken out of the
cluster, added as a learner, and made a voter once it has caught up. Each step is told on standard error.`;

function replaceCommand(context: CliContext): CliCommand {
  const replace = command('replace', 'Bring a node back whose disk was lost or is damaged.').argument(
    '<node>',
    'Its name.',
  );
  const timeout =
    'Give up after this long, e.g. 10min; said again, it goes on. By default it takes as long as it takes.';
  return asks(replace, { namespace: false, timeout })
    .note(REPLACE_NOTES)
    .example('gearmesh cluster replace n3', 'After n3 was started with an empty data directory')
    .action((node: string, flags: AskFlags) =>
      withClient(context, flags, async (client) => {
        const { revision } = await client.cluster.replace(node, {
          signal: context.signal,
          timeoutMs: flags.timeout,
          onProgress: (line) => tell(context, line),
        });
        if (flags.json) sayJson(context, { node, replaced: true, revision });
        else say(context, `${node} is back`);
      }),
    );
}
