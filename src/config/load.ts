import { readFileSync } from 'node:fs';
import { parseDocument } from 'yaml';
import type { Option } from './option.js';
import { environmentNameOf, flagOf } from './options.js';

type Table = Readonly<Record<string, Option<unknown>>>;

export type ValuesOf<T extends Table> = {
  readonly [K in keyof T]: T[K] extends Option<infer V> ? V : never;
};

/** Where a value was found, strongest first. */
export type SourceKind = 'flag' | 'environment' | 'file' | 'default';

export interface Sources {
  /** By option key, as given on the command line; `true` for a switch without a value. */
  readonly flags: Readonly<Record<string, string | boolean | undefined>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Path of the YAML file; undefined: GEARMESH_CONFIG, or none. */
  readonly file?: string | undefined;
}

export interface Loaded<T extends Table> {
  readonly values: ValuesOf<T>;
  readonly origins: Readonly<Record<keyof T & string, SourceKind>>;
  /** Harmless oddities, for the log. */
  readonly warnings: readonly string[];
}

/** Says no to the start, with every problem found rather than the first alone. */
export class ConfigError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

/** Names that other parts of Gearmesh read or set, so that they are no misspelled options. */
const OTHER_ENVIRONMENT = new Set([
  'GEARMESH_CONFIG',
  'GEARMESH_ENDPOINT',
  'GEARMESH_NAMESPACE',
  'GEARMESH_JOB_ID',
  'GEARMESH_FUNCTION',
  'GEARMESH_ATTEMPT',
  'GEARMESH_LEASE_TOKEN',
  'GEARMESH_STOP_WITH_PARENT',
]);
/** Set by Kubernetes in every pod beside a service named gearmesh…. */
const SERVICE_LINK = /_SERVICE_(HOST|PORT)(_[A-Z0-9_]+)?$|_PORT(_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)?$/;

/** Reads every option of `table`: a flag beats the environment, that the YAML file, that the default. Throws `ConfigError`. */
export function loadValues<T extends Table>(table: T, sources: Sources): Loaded<T> {
  const problems: string[] = [];
  const warnings: string[] = [];
  const path = sources.file ?? nonEmpty(sources.environment.GEARMESH_CONFIG);
  const file = path === undefined ? new Map<string, string>() : readYaml(path, table, problems);
  warnings.push(...unknownEnvironment(table, sources.environment));

  const values: Record<string, unknown> = {};
  const origins: Record<string, SourceKind> = {};
  for (const [key, option] of Object.entries(table)) {
    const found = find(key, sources, file, path);
    if (found === null) {
      values[key] = option.default;
      origins[key] = 'default';
      continue;
    }
    const value = option.parse(found.text.trim());
    if (value === undefined) {
      const shown = option.secret ? '(secret)' : JSON.stringify(found.text);
      problems.push(`${key} = ${shown} (from ${found.from}): expected ${option.expected}`);
      continue;
    }
    values[key] = value;
    origins[key] = found.kind;
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return { values: values as ValuesOf<T>, origins: origins as Loaded<T>['origins'], warnings };
}

interface Found {
  readonly kind: SourceKind;
  readonly text: string;
  /** For messages: the flag, the variable or the file. */
  readonly from: string;
}

function find(
  key: string,
  sources: Sources,
  file: ReadonlyMap<string, string>,
  path: string | undefined,
): Found | null {
  const flag = sources.flags[key];
  if (flag !== undefined) return { kind: 'flag', text: String(flag), from: `flag ${flagOf(key)}` };
  const variable = environmentNameOf(key);
  // An empty variable counts as none: that is how compose files and manifests leave one out.
  const environment = nonEmpty(sources.environment[variable]);
  if (environment !== undefined) {
    return { kind: 'environment', text: environment, from: `environment variable ${variable}` };
  }
  const text = file.get(key);
  if (text !== undefined) return { kind: 'file', text, from: `file ${path}` };
  return null;
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === '' ? undefined : value;
}

function unknownEnvironment(table: Table, environment: Sources['environment']): string[] {
  const known = new Set(Object.keys(table).map(environmentNameOf));
  return Object.keys(environment)
    .filter((n) => n.startsWith('GEARMESH_') && !known.has(n) && !OTHER_ENVIRONMENT.has(n))
    .filter((n) => !SERVICE_LINK.test(n))
    .map((n) => `environment variable ${n} names no option${suggestion(n, [...known])}`);
}

function readYaml(path: string, table: Table, problems: string[]): Map<string, string> {
  const found = new Map<string, string>();
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    problems.push(`config = ${JSON.stringify(path)}: expected a readable YAML file (${messageOf(error)})`);
    return found;
  }
  const document = parseDocument(text);
  if (document.errors.length > 0) {
    for (const error of document.errors) problems.push(`file ${path}: ${error.message.split('\n')[0]}`);
    return found;
  }
  const content: unknown = document.toJS();
  if (content === null || content === undefined) return found;
  if (!isObject(content)) {
    problems.push(`file ${path}: expected "key: value" lines`);
    return found;
  }
  walk(
    content,
    '',
    (key, value) => {
      const option = table[key];
      if (option === undefined) {
        problems.push(`${key} (from file ${path}) names no option${suggestion(key, Object.keys(table))}`);
        return;
      }
      const plain = plainText(option, value);
      if (plain === undefined) {
        const shown = option.secret ? '(secret)' : JSON.stringify(value);
        problems.push(`${key} = ${shown} (from file ${path}): expected ${option.expected}`);
      } else found.set(key, plain);
    },
    table,
  );
  return found;
}

/** Visits the leaves; `limits: {jobs-max: 1}` and `limits.jobs-max: 1` are the same key. */
function walk(
  node: Readonly<Record<string, unknown>>,
  prefix: string,
  leaf: (key: string, value: unknown) => void,
  table: Table,
): void {
  for (const [part, value] of Object.entries(node)) {
    const key = prefix + part;
    if (isObject(value) && table[key] === undefined) walk(value, `${key}.`, leaf, table);
    else leaf(key, value);
  }
}

/** The value as a flag would give it. A list of peers may also be a YAML list or a map from name to address. */
function plainText(option: Option<unknown>, value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (option.type !== 'peers') return undefined;
  if (Array.isArray(value)) return value.every((v) => typeof v === 'string') ? value.join(',') : undefined;
  if (!isObject(value)) return undefined;
  return Object.entries(value)
    .map(([n, v]) => `${n}=${String(v)}`)
    .join(',');
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function suggestion(wrong: string, known: readonly string[]): string {
  let best = '';
  let bestDistance = 4;
  for (const candidate of known) {
    const distance = editDistance(wrong, candidate, bestDistance);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best === '' ? '' : `: did you mean ${best}?`;
}

/** Levenshtein's distance; `most` where it is at least that. */
function editDistance(a: string, b: string, most: number): number {
  if (Math.abs(a.length - b.length) >= most) return most;
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return Math.min(row[b.length]!, most);
}
