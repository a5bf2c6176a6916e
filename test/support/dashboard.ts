import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readQuery } from './promql.js';
import { ROOT } from './root.js';

export interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly datasource?: { readonly uid: string };
  readonly targets?: readonly { readonly expr: string }[];
}

export interface Dashboard {
  readonly uid: string;
  readonly panels: readonly Panel[];
  readonly templating: {
    readonly list: readonly {
      readonly name: string;
      readonly type: string;
      readonly query: string | { query: string };
    }[];
  };
  readonly annotations: { readonly list: readonly { readonly expr?: string }[] };
}

/** Made by Prometheus itself for everything that it scrapes. */
const OF_PROMETHEUS = new Set(['up']);

export function readDashboard(): Dashboard {
  return JSON.parse(readFileSync(join(ROOT, 'deploy/grafana/dashboards/gearmesh.json'), 'utf8')) as Dashboard;
}

/** Every query of the dashboard: those of panels and of annotations, and the metrics that its variables list. */
export function dashboardQueries(dashboard: Dashboard): string[] {
  const panels = dashboard.panels.flatMap((panel) => (panel.targets ?? []).map((target) => target.expr));
  const annotations = dashboard.annotations.list.flatMap(({ expr }) => (expr === undefined ? [] : [expr]));
  const variables = dashboard.templating.list.flatMap(({ query }) => {
    const text = typeof query === 'string' ? query : query.query;
    const list = /^label_values\((.*), \w+\)$/.exec(text);
    return list === null ? [] : [list[1]!];
  });
  return [...panels, ...annotations, ...variables];
}

/** Names of all metrics that the dashboard reads, as they stand in the text of `/metrics` (`…_bucket` and so on), sorted. */
export function dashboardMetrics(): string[] {
  const names = dashboardQueries(readDashboard()).flatMap((query) =>
    readQuery(query).selected.map((one) => one.metric),
  );
  return [...new Set(names)].filter((name) => !OF_PROMETHEUS.has(name)).sort();
}
