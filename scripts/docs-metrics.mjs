// Makes docs/metrics.md from the definitions of the metrics. With --check: fails when the page is out of date.
import { loadTs } from './load-ts.mjs';
import { writePage } from './page.mjs';

/** Sections by the beginning of the name, in the order of the page; the last one takes the rest. */
const SECTIONS = [
  ['Jobs and queues', /^gearmesh_(jobs?|queue|functions|leases|attempts|dedupe|payload|schedules?)(_|$)/],
  ['Workers', /^gearmesh_(node_)?(sessions|credits)$/],
  ['Replication', /^gearmesh_(raft|state_hash|proposal|batch|entries)_/],
  ['Disk', /^gearmesh_(wal|snapshot|disk)_/],
  ['Peers', /^gearmesh_peer_/],
  ['The node', /./],
];

const HEAD = `# Metrics

<!-- Made from src/obs by scripts/docs-metrics.mjs: change it there. -->

Every node serves these at \`http://HOST:7732/metrics\` (\`--listen-http\`), in Prometheus' text format. What to watch and
when to wake somebody: [operations.md](operations.md#watching). \`deploy/grafana\` has a dashboard, \`deploy/prometheus.yml\` a
scrape configuration.

Metrics of the replicated state (queues, jobs, schedules, sessions) are the cluster's and the same on every node that is up to
date: take the \`max\` over the nodes, not the \`sum\`. The others are the node's own. The number of series is bounded: past
200 functions the rest is summed under the function \`(other)\`.

Beside them stand the metrics that \`prom-client\` collects of every Node.js process: \`process_…\` and \`nodejs_…\` (memory,
CPU, garbage collection, open files).
`;

const { createMetrics } = await loadTs('src/obs/index.ts');
const metrics = createMetrics();
// What else is registered differs from system to system.
const rows = metrics.table().filter((metric) => metric.name.startsWith('gearmesh_'));
metrics.close();

const cell = (text) => text.replaceAll('|', '\\|');
const row = ({ name, type, labels, help }) =>
  `| \`${name}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(', ')} | ${cell(help)} |`;

const left = new Set(rows);
const parts = SECTIONS.map(([title, pattern]) => {
  const own = rows.filter((metric) => left.has(metric) && pattern.test(metric.name));
  for (const metric of own) left.delete(metric);
  return own.length === 0
    ? ''
    : `\n## ${title}\n\n| name | type | labels | |\n|---|---|---|---|\n${own.map(row).join('\n')}\n`;
});
writePage('docs/metrics.md', HEAD + parts.join(''));
