import { monitorEventLoopDelay } from 'node:perf_hooks';
import { collectDefaultMetrics, type Metric, Registry } from 'prom-client';
import { COUNTERS, EVENT_LOOP, HISTOGRAMS, type MetricInfo, PULLED, type Scrape } from './definitions.js';
import { FunctionFold } from './fold.js';
import { Counter, Histogram, LabelledCounter, type Sample } from './instruments.js';
import type { MetricsSource } from './source.js';

export interface MetricsOptions {
  /** Functions with series of their own; the others are summed under `(other)`. */
  readonly functionsMax?: number;
  /** Series of one counter with labels. */
  readonly seriesMax?: number;
}

const FUNCTIONS_MAX = 200;
const SERIES_MAX = 1_000;
/** Finer would cost more wake-ups than the delays that it finds. */
const EVENT_LOOP_RESOLUTION_MS = 20;

/**
 * The metrics of one node. What happens on the hot path is told to the methods below (they take milliseconds or
 * microseconds as the node has them, and show seconds); everything else is read from `MetricsSource` at a scrape.
 */
export interface NodeMetrics {
  readonly contentType: string;
  /** From now on scrapes show this node; before, only what needs none. */
  attach(source: MetricsSource): void;
  /** Prometheus' text format, version 0.0.4. */
  text(): Promise<string>;
  /** Every metric there is, for `docs/metrics.md`. */
  table(): readonly MetricInfo[];
  close(): void;

  synced(milliseconds: number): void;
  proposed(milliseconds: number, answers: number): void;
  applied(entries: number): void;
  leaderChanged(leader: string, term: number): void;
  started(microseconds: number): void;
  startedMany(microseconds: ArrayLike<number>): void;
  ended(microseconds: number): void;
  endedMany(microseconds: ArrayLike<number>): void;
  snapshotTaken(milliseconds: number, bytes: number): void;
  snapshotFailed(): void;
  rpc(method: string, code: string): void;
  error(reason: string): void;
  gearmanPacket(type: string): void;
  gearmanError(code: string): void;
}

export function createMetrics(
  source: MetricsSource | null = null,
  options: MetricsOptions = {},
): NodeMetrics {
  return new Metrics(source, options);
}

class Metrics implements NodeMetrics {
  readonly #registry = new Registry();
  readonly #table: MetricInfo[] = [];
  readonly #fold: FunctionFold;
  readonly #loop = monitorEventLoopDelay({ resolution: EVENT_LOOP_RESOLUTION_MS });
  readonly #start = histogram(HISTOGRAMS.start);
  readonly #end = histogram(HISTOGRAMS.end);
  readonly #proposal = histogram(HISTOGRAMS.proposal);
  readonly #batch = histogram(HISTOGRAMS.batch);
  readonly #sync = histogram(HISTOGRAMS.sync);
  readonly #snapshot = histogram(HISTOGRAMS.snapshot);
  readonly #applied = new Counter();
  readonly #leaderChanges = new Counter();
  readonly #leaderLosses = new Counter();
  readonly #elections = new Counter();
  readonly #snapshotsFailed = new Counter();
  readonly #rpc: LabelledCounter;
  readonly #errors: LabelledCounter;
  readonly #gearmanPackets: LabelledCounter;
  readonly #gearmanErrors: LabelledCounter;
  #source: MetricsSource | null;
  #scrape: Scrape | null = null;
  #term = 0;

  constructor(source: MetricsSource | null, options: MetricsOptions) {
    const seriesMax = options.seriesMax ?? SERIES_MAX;
    this.#source = source;
    this.#fold = new FunctionFold(options.functionsMax ?? FUNCTIONS_MAX);
    this.#rpc = new LabelledCounter(COUNTERS.rpc.labels, seriesMax);
    this.#errors = new LabelledCounter(COUNTERS.errors.labels, seriesMax);
    this.#gearmanPackets = new LabelledCounter(COUNTERS.gearmanPackets.labels, seriesMax);
    this.#gearmanErrors = new LabelledCounter(COUNTERS.gearmanErrors.labels, seriesMax);
    for (const pulled of PULLED) {
      this.#show(pulled, () => (this.#scrape === null ? [] : pulled.read(this.#scrape)));
    }
    this.#showHistogram(HISTOGRAMS.start, this.#start);
    this.#showHistogram(HISTOGRAMS.end, this.#end);
    this.#showHistogram(HISTOGRAMS.proposal, this.#proposal);
    this.#showHistogram(HISTOGRAMS.batch, this.#batch);
    this.#showHistogram(HISTOGRAMS.sync, this.#sync);
    this.#showHistogram(HISTOGRAMS.snapshot, this.#snapshot);
    this.#showCounter(COUNTERS.applied, this.#applied);
    this.#showCounter(COUNTERS.leaderChanges, this.#leaderChanges);
    this.#showCounter(COUNTERS.leaderLosses, this.#leaderLosses);
    this.#showCounter(COUNTERS.elections, this.#elections);
    this.#showCounter(COUNTERS.snapshotsFailed, this.#snapshotsFailed);
    this.#showCounter(COUNTERS.rpc, this.#rpc);
    this.#showCounter(COUNTERS.errors, this.#errors);
    this.#showCounter(COUNTERS.gearmanPackets, this.#gearmanPackets);
    this.#showCounter(COUNTERS.gearmanErrors, this.#gearmanErrors);
    this.#show(EVENT_LOOP, () => this.#loopSamples());
    collectDefaultMetrics({ register: this.#registry });
    this.#loop.enable();
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  attach(source: MetricsSource): void {
    this.#source = source;
  }

  async text(): Promise<string> {
    const source = this.#source;
    if (source !== null) {
      const state = source.state();
      const { readings, folded } = this.#fold.fold(state?.queues ?? []);
      this.#scrape = { source, state, functions: readings, folded };
    }
    // Samples are read before the first pause inside: all of one scrape are of one moment.
    const text = this.#registry.metrics();
    this.#scrape = null;
    return text;
  }

  table(): readonly MetricInfo[] {
    const own = new Set(this.#table.map((info) => info.name));
    const theirs = this.#registry.getMetricsAsArray() as unknown as readonly RegisteredMetric[];
    const standard = theirs
      .filter((metric) => !own.has(metric.name))
      .map((metric) => ({
        name: metric.name,
        type: typeOf(metric),
        help: metric.help,
        labels: metric.labelNames ?? [],
      }));
    return [...this.#table, ...standard];
  }

  close(): void {
    this.#loop.disable();
    this.#registry.clear();
  }

  synced(milliseconds: number): void {
    this.#sync.observe(milliseconds / 1_000);
  }

  proposed(milliseconds: number, answers: number): void {
    this.#proposal.observe(milliseconds / 1_000);
    this.#batch.observe(answers);
  }

  applied(entries: number): void {
    this.#applied.inc(entries);
  }

  leaderChanged(leader: string, term: number): void {
    if (leader === '') this.#leaderLosses.inc();
    else this.#leaderChanges.inc();
    // The first term that is met is no election of this node's time.
    if (this.#term > 0 && term > this.#term) this.#elections.inc(term - this.#term);
    this.#term = Math.max(this.#term, term);
  }

  started(microseconds: number): void {
    this.#start.observe(microseconds / 1_000_000);
  }

  startedMany(microseconds: ArrayLike<number>): void {
    this.#start.observeMany(microseconds, 1_000_000);
  }

  ended(microseconds: number): void {
    this.#end.observe(microseconds / 1_000_000);
  }

  endedMany(microseconds: ArrayLike<number>): void {
    this.#end.observeMany(microseconds, 1_000_000);
  }

  snapshotTaken(milliseconds: number, _bytes: number): void {
    this.#snapshot.observe(milliseconds / 1_000);
  }

  snapshotFailed(): void {
    this.#snapshotsFailed.inc();
  }

  rpc(method: string, code: string): void {
    this.#rpc.inc(method, code);
  }

  error(reason: string): void {
    this.#errors.inc(reason);
  }

  gearmanPacket(type: string): void {
    this.#gearmanPackets.inc(type);
  }

  gearmanError(code: string): void {
    this.#gearmanErrors.inc(code);
  }

  /** The registry asks a metric for no more than its name, help, type and `get`. */
  #show(info: MetricInfo, samples: () => readonly Sample[]): void {
    const { name, type, help } = info;
    const metric = { name, help, type, get: () => ({ name, help, type, values: samples() }) };
    this.#registry.registerMetric(metric as unknown as Metric);
    this.#table.push({ name, type, help, labels: info.labels });
  }

  #showHistogram(of: { name: string; help: string }, histogram: Histogram): void {
    this.#show({ name: of.name, help: of.help, type: 'histogram', labels: [] }, () => histogram.samples());
  }

  #showCounter(
    of: { name: string; help: string; labels: readonly string[] },
    counter: Counter | LabelledCounter,
  ): void {
    this.#show({ ...of, type: 'counter' }, () => counter.samples());
  }

  #loopSamples(): readonly Sample[] {
    const loop = this.#loop;
    // What is measured is the distance of two wake-ups, the pause between them included.
    const seconds = (ns: number) => Math.max(0, ns / 1e9 - EVENT_LOOP_RESOLUTION_MS / 1_000);
    const samples = [0.5, 0.99].map((quantile) => ({
      labels: { quantile: String(quantile) },
      value: loop.count === 0 ? 0 : seconds(loop.percentile(quantile * 100)),
    }));
    samples.push({ labels: { quantile: '1' }, value: loop.count === 0 ? 0 : seconds(loop.max) });
    loop.reset();
    return samples;
  }
}

interface RegisteredMetric {
  readonly name: string;
  readonly help: string;
  readonly labelNames?: readonly string[];
  readonly constructor: { readonly name: string };
}

function typeOf(metric: RegisteredMetric): MetricInfo['type'] {
  const name = metric.constructor.name.toLowerCase();
  return name === 'counter' || name === 'histogram' || name === 'summary' ? name : 'gauge';
}

function histogram(of: { readonly name: string; readonly bounds: readonly number[] }): Histogram {
  return new Histogram(of.name, of.bounds);
}
