import { type AskFlags, asks, withClient } from '../ask.js';
import type { CliCommand } from '../command.js';
import { command } from '../command.js';
import type { CliContext } from '../context.js';
import { say, sayJson } from '../context.js';
import { clusterJson, queueJson } from '../json-shapes.js';
import { clusterText } from './cluster.js';
import { queueTable } from './queues.js';

export function statusCommand(context: CliContext): CliCommand {
  return asks(command('status', 'Show the cluster and its queues at a glance.'), { namespace: false })
    .example('gearmesh status', 'For people')
    .example('gearmesh status --json', 'For scripts: what "cluster status --json" shows, and "queues"')
    .action((flags: AskFlags) =>
      withClient(context, flags, async (client) => {
        const [cluster, queues] = await Promise.all([
          client.cluster.get({ signal: context.signal }),
          client.queues.list({ allNamespaces: true, signal: context.signal }),
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
