import { type AskFlags, asks, withClient } from '../ask.js';
import type { CliCommand } from '../command.js';
import { command } from '../command.js';
import type { CliContext } from '../context.js';
import { say, sayJson } from '../context.js';
import { clusterJson, queueJson } from '../json-shapes.js';
import { clusterText } from './cluster.js';
import { queueTable } from './queues.js';

export function statusCommand(context: CliContext): CliCommand {
  const status = command('status', 'Show the cluster and its queues at a glance.').option(
    '--eventual',
    'What the asked node knows by itself; answers without a leader too.',
  );
  return asks(status, { namespace: false })
    .example('gearmesh status', 'For people')
    .example('gearmesh status --json', 'For scripts: what "cluster status --json" shows, and "queues"')
    .example('gearmesh status --eventual', 'While there is no leader')
    .action((flags: AskFlags & { readonly eventual?: boolean }) =>
      withClient(context, flags, async (client) => {
        const consistency = flags.eventual ? 'eventual' : 'linearizable';
        const [cluster, queues] = await Promise.all([
          client.cluster.get({ consistency, signal: context.signal }),
          client.queues.list({ allNamespaces: true, consistency, signal: context.signal }),
        ]);
        if (flags.json) {
          sayJson(context, { ...clusterJson(cluster), queues: queues.map(queueJson) });
          return;
        }
        say(context, clusterText(cluster));
        say(context, '');
        say(context, queues.length === 0 ? 'no queues yet' : queueTable(queues, true));
      }),
    );
}
