export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** One answer of /metrics, taken apart. */
export class Scrape {
  readonly types = new Map<string, string>();
  readonly helps = new Map<string, string>();
  readonly samples: Sample[] = [];

  /** The value of the first sample that has these labels, among others. */
  value(name: string, labels: Readonly<Record<string, string>> = {}): number | undefined {
    return this.samples.find((one) => one.name === name && matches(one, labels))?.value;
  }

  /** All samples of this name together. */
  total(name: string): number {
    return this.samples.filter((one) => one.name === name).reduce((sum, one) => sum + one.value, 0);
  }
}

function matches(sample: Sample, labels: Readonly<Record<string, string>>): boolean {
  return Object.entries(labels).every(([key, value]) => sample.labels[key] === value);
}

const COMMENT = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/;
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)",?/y;

/** Reads Prometheus' text format (version 0.0.4). Throws for a line that is none of it, and for a sample without type. */
export function parseMetrics(text: string): Scrape {
  const scrape = new Scrape();
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const comment = COMMENT.exec(line);
    if (comment !== null) {
      (comment[1] === 'HELP' ? scrape.helps : scrape.types).set(comment[2]!, comment[3]!);
      continue;
    }
    const sample = SAMPLE.exec(line);
    if (sample === null) throw new Error(`not a line of metrics: ${line}`);
    const value = sample[3] === '+Inf' ? Number.POSITIVE_INFINITY : Number(sample[3]);
    if (Number.isNaN(value) && sample[3] !== 'NaN') throw new Error(`not a number: ${line}`);
    const name = sample[1]!;
    if (!scrape.types.has(name) && !scrape.types.has(name.replace(/_(bucket|sum|count)$/, ''))) {
      throw new Error(`a sample without a type: ${line}`);
    }
    scrape.samples.push({ name, labels: parseLabels(sample[2] ?? ''), value });
  }
  return scrape;
}

function parseLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  LABEL.lastIndex = 0;
  let at = 0;
  for (let label = LABEL.exec(text); label !== null; label = LABEL.exec(text)) {
    labels[label[1]!] = label[2]!.replace(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c));
    at = LABEL.lastIndex;
  }
  if (at !== text.length) throw new Error(`not labels: ${text}`);
  return labels;
}
