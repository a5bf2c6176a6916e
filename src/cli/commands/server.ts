import { hostname } from 'node:os';
import { Option } from 'commander';
import { flagOf, isSeed, loadServerConfig, OPTIONS } from '../../config/index.js';
import type { Option as ConfigOption } from '../../config/option.js';
import type { CliCommand } from '../command.js';
import { command } from '../command.js';
import type { CliContext } from '../context.js';
import { say } from '../context.js';

const NOTES = `Settings come from flags, then GEARMESH_… environment variables, then the YAML file, then defaults;
docs/configuration.md describes each. Those marked "replicated" count only when the cluster forms.
SIGTERM or SIGINT stops in good order with exit code 0; a second one stops at once.`;

export function serverCommand(context: CliContext): CliCommand {
  const server = command('server', 'Run one node.')
    .option('--config <FILE>', 'YAML file with settings.')
    .option('--check', 'Check the settings, say so, and end.')
    .note(NOTES)
    .example('gearmesh server --data-dir .gearmesh/n1', 'A node on its own, on loopback')
    .example(
      'gearmesh server --id n1 --data-dir /var/lib/gearmesh --insecure \\\n' +
        '    --listen-grpc 10.0.0.1:7730 --listen-peer 10.0.0.1:7731 --listen-http 10.0.0.1:7732 \\\n' +
        '    --peers n1=10.0.0.1:7731,n2=10.0.0.2:7731,n3=10.0.0.3:7731',
      'One of three nodes, on a trusted network',
    )
    .example(
      'gearmesh server --data-dir .gearmesh/n1 --log-level debug --check',
      'Only look whether the settings are in order',
    );
  const keys = new Map<string, string>();
  for (const [key, setting] of Object.entries(OPTIONS)) {
    const option = optionFor(key, setting);
    server.addOption(option);
    keys.set(option.attributeName(), key);
  }
  return server.action(async (given: Record<string, string | boolean | undefined>) => {
    const flags: Record<string, string | boolean | undefined> = {};
    for (const [attribute, key] of keys) flags[key] = given[attribute];
    const file = typeof given.config === 'string' ? given.config : undefined;
    const config = loadServerConfig({ flags, environment: context.environment, file }, hostname());
    if (given.check === true) {
      say(context, 'the settings are in order');
      return;
    }
    // Loaded only here: the other commands start faster without a whole node.
    const { runServer } = await import('../server-main.js');
    context.exitCode = await runServer(config, context);
  });
}

function optionFor(key: string, setting: ConfigOption<unknown>): Option {
  const value = setting.type === 'switch' ? '[true|false]' : `<${setting.placeholder}>`;
  const fallback = setting.show(setting.default);
  const more = [
    ...(fallback === '' || setting.type === 'switch' ? [] : [`default ${fallback}`]),
    ...(isSeed(key) ? ['replicated'] : []),
  ];
  const help = more.length === 0 ? setting.help : `${setting.help} (${more.join('; ')})`;
  return new Option(`${flagOf(key)} ${value}`, help).helpGroup(`${setting.section}:`);
}
