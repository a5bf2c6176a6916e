import type { Option } from './option.js';
import { environmentNameOf, flagOf, isSeed, OPTIONS } from './options.js';

const HEAD = `# Configuration

<!-- Made from src/config/options.ts by scripts/docs-config.mjs: change it there. -->

Every setting of \`gearmesh server\` can be given in three ways. The strongest wins: a flag, then an environment
variable, then the YAML file, then the default.

- Flag: \`--listen-grpc 10.0.0.1:7730\`
- Environment: \`GEARMESH_LISTEN_GRPC=10.0.0.1:7730\` (an empty variable counts as none)
- YAML file, named by \`--config FILE\` or \`GEARMESH_CONFIG\`:

\`\`\`yaml
id: n1
data-dir: /var/lib/gearmesh
listen-grpc: 10.0.0.1:7730
listen-peer: 10.0.0.1:7731
listen-http: 10.0.0.1:7732
insecure: true
peers:
  n1: 10.0.0.1:7731
  n2: 10.0.0.2:7731
  n3: 10.0.0.3:7731
jobs:
  retention-ms: 10m
limits:
  jobs-max: 5000000
\`\`\`

A wrong value stops the start, and the message names the option, the value, where it came from and what was expected.
A key in the file that names no option stops the start as well; an unknown \`GEARMESH_…\` variable is only warned about.

Times are milliseconds, or a number with \`ms\`, \`s\`, \`m\`, \`h\` or \`d\`. Sizes are bytes, or a number with \`KiB\`, \`MiB\`
or \`GiB\`. Addresses are \`host:port\`, IPv6 in brackets.

Settings marked *replicated* are the cluster's, not a node's: they are part of the replicated state, the same on every
node. The value given to a node counts only when the cluster forms.

In Kubernetes the same arguments serve every pod of a StatefulSet:
\`--id-from-hostname --peers-template 'gearmesh-{i}.gearmesh-peers:7731' --replicas 3\`.
`;

/** The page docs/configuration.md. */
export function configurationPage(): string {
  const entries: readonly (readonly [string, Option<unknown>])[] = Object.entries(OPTIONS);
  const sections = [...new Set(entries.map(([, option]) => option.section))];
  const parts = [HEAD];
  for (const section of sections) {
    parts.push(`## ${section}\n`);
    for (const [key, option] of entries.filter(([, o]) => o.section === section)) {
      parts.push(entry(key, option));
    }
  }
  return `${parts.join('\n').trimEnd()}\n`;
}

function entry(key: string, option: Option<unknown>): string {
  const value = option.show(option.default);
  const shown = option.secret || value === '' ? 'none' : `\`${value}\``;
  return [
    `### \`${key}\``,
    '',
    `${option.help}${isSeed(key) ? ' *Replicated.*' : ''}`,
    '',
    `- Flag \`${flagOf(key)}${option.placeholder === '' ? '' : ` ${option.placeholder}`}\`, environment \`${environmentNameOf(key)}\``,
    `- Default: ${shown}`,
    `- Expected: ${option.expected}`,
    '',
  ].join('\n');
}
