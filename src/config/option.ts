/** The kinds of options and how their text is read. A value comes as text from a flag, the environment or YAML. */

export type Section =
  | 'Node'
  | 'Addresses'
  | 'Cluster'
  | 'Storage'
  | 'Peers'
  | 'Logs'
  | 'Stopping'
  | 'Jobs'
  | 'Retries'
  | 'Workers'
  | 'Gearman'
  | 'Limits';

export type OptionType = 'text' | 'switch' | 'count' | 'bytes' | 'ms' | 'choice' | 'address' | 'peers';

/** One option: everything that flags, environment, YAML, `--help`, validation and the docs page need to know. */
export interface Option<T> {
  readonly type: OptionType;
  /** '' where the value has none. */
  readonly unit: '' | 'ms' | 'bytes' | 'permille';
  readonly default: T;
  /** What the value must be, completing "expected …". */
  readonly expected: string;
  /** What it does, for a person; one or two sentences. */
  readonly help: string;
  readonly section: Section;
  /** A secret's value appears in no message. */
  readonly secret: boolean;
  /** What stands for the value in `--help`, '' for a switch. */
  readonly placeholder: string;
  /** Undefined: not a valid value. */
  parse(text: string): T | undefined;
  /** The value as a person would write it. */
  show(value: T): string;
}

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface PeerEntry extends Address {
  readonly name: string;
}

interface Common {
  readonly section: Section;
  readonly help: string;
  readonly secret?: boolean;
}

const NAME = /^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/;

export function isName(text: string): boolean {
  return NAME.test(text);
}

export function text(
  fallback: string,
  o: Common & {
    readonly placeholder: string;
    readonly expected: string;
    readonly valid: (text: string) => boolean;
  },
): Option<string> {
  return {
    type: 'text',
    unit: '',
    default: fallback,
    expected: o.expected,
    help: o.help,
    section: o.section,
    secret: o.secret ?? false,
    placeholder: o.placeholder,
    parse: (value) => (o.valid(value) ? value : undefined),
    show: (value) => value,
  };
}

/** A name of a node or cluster. */
export function name(fallback: string, o: Common): Option<string> {
  return text(fallback, {
    ...o,
    placeholder: 'NAME',
    expected:
      'a name of 1 to 63 letters, digits, ".", "_" and "-" that begins and ends with a letter or digit',
    valid: isName,
  });
}

export function onOff(fallback: boolean, o: Common): Option<boolean> {
  const words = new Map([
    ['true', true],
    ['1', true],
    ['yes', true],
    ['on', true],
    ['false', false],
    ['0', false],
    ['no', false],
    ['off', false],
  ]);
  return {
    type: 'switch',
    unit: '',
    default: fallback,
    expected: 'true or false',
    help: o.help,
    section: o.section,
    secret: o.secret ?? false,
    placeholder: '',
    parse: (value) => words.get(value.toLowerCase()),
    show: String,
  };
}

export function choice<const C extends string>(fallback: C, choices: readonly C[], o: Common): Option<C> {
  return {
    type: 'choice',
    unit: '',
    default: fallback,
    expected: `one of ${choices.join(', ')}`,
    help: o.help,
    section: o.section,
    secret: o.secret ?? false,
    placeholder: choices.join('|'),
    parse: (value) => choices.find((c) => c === value),
    show: (value) => value,
  };
}

interface Range {
  readonly min: number;
  readonly max: number;
}

const WHOLE = /^\d{1,16}$/;

function whole(value: string, range: Range): number | undefined {
  if (!WHOLE.test(value)) return undefined;
  return within(Number(value), range);
}

function within(value: number, range: Range): number | undefined {
  return value >= range.min && value <= range.max ? value : undefined;
}

export function count(fallback: number, o: Common & Range & { readonly unit?: 'permille' }): Option<number> {
  return {
    type: 'count',
    unit: o.unit ?? '',
    default: fallback,
    expected: `a whole number from ${o.min} to ${o.max}`,
    help: o.help,
    section: o.section,
    secret: o.secret ?? false,
    placeholder: 'N',
    parse: (value) => whole(value, o),
    show: String,
  };
}

const BYTE_UNITS: readonly (readonly [string, number])[] = [
  ['GiB', 2 ** 30],
  ['MiB', 2 ** 20],
  ['KiB', 2 ** 10],
];

function showBytes(value: number): string {
  for (const [unit, size] of BYTE_UNITS) {
    if (value >= size && value % size === 0) return `${value / size}${unit}`;
  }
  return String(value);
}

export function bytes(fallback: number, o: Common & Range): Option<number> {
  return {
    type: 'bytes',
    unit: 'bytes',
    default: fallback,
    expected: `a number of bytes from ${showBytes(o.min)} to ${showBytes(o.max)}, plain or with KiB, MiB or GiB`,
    help: o.help,
    section: o.section,
    secret: o.secret ?? false,
    placeholder: 'BYTES',
    parse(value) {
      for (const [unit, size] of BYTE_UNITS) {
        if (!value.toLowerCase().endsWith(unit.toLowerCase())) continue;
        const number = value.slice(0, -unit.length).trim();
        return WHOLE.test(number) ? within(Number(number) * size, o) : undefined;
      }
      return whole(value, o);
    },
    show: showBytes,
  };
}

const TIME_UNITS: readonly (readonly [string, number])[] = [
  ['ms', 1],
  ['s', 1_000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
];

/** Milliseconds of a plain number or one with ms, s, m, h or d; undefined for anything else. */
export function parseMs(value: string): number | undefined {
  const match = /^(\d{1,15})\s*(ms|s|m|h|d)?$/.exec(value);
  if (match === null) return undefined;
  const unit = TIME_UNITS.find(([u]) => u === match[2]);
  return Number(match[1]) * (unit?.[1] ?? 1);
}

function showMs(value: number): string {
  for (const [unit, size] of [...TIME_UNITS].reverse()) {
    if (value >= size && value % size === 0) return `${value / size}${unit}`;
  }
  return `${value}ms`;
}

export function ms(fallback: number, o: Common & Range): Option<number> {
  return {
    type: 'ms',
    unit: 'ms',
    default: fallback,
    expected: `a time from ${showMs(o.min)} to ${showMs(o.max)}: milliseconds, or with ms, s, m, h or d`,
    help: o.help,
    section: o.section,
    secret: o.secret ?? false,
    placeholder: 'MS',
    parse(value) {
      const time = parseMs(value);
      return time === undefined ? undefined : within(time, o);
    },
    show: showMs,
  };
}

const HOST = /^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9])?$/;
const HOST_V6 = /^[0-9A-Fa-f:.]+(%[A-Za-z0-9]+)?$/;

/** Splits `host:port`, IPv6 in brackets; undefined when it is neither. */
export function parseAddress(value: string): Address | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(value);
  if (match === null) return undefined;
  const [, v6, host = '', digits] = match;
  const port = Number(digits);
  if (port < 1 || port > 65_535) return undefined;
  if (v6 !== undefined) return HOST_V6.test(v6) && v6.includes(':') ? { host: v6, port } : undefined;
  return HOST.test(host) && host.length <= 253 ? { host, port } : undefined;
}

export function showAddress(address: Address): string {
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

const ADDRESS_EXPECTED = 'host:port with a port from 1 to 65535 (IPv6 in brackets)';

/** An address to listen on or to be reached at. */
export function address(fallback: string, o: Common): Option<Address> {
  const value = parseAddress(fallback);
  if (value === undefined) throw new TypeError(`${fallback} is no address`);
  return {
    type: 'address',
    unit: '',
    default: value,
    expected: ADDRESS_EXPECTED,
    help: o.help,
    section: o.section,
    secret: o.secret ?? false,
    placeholder: 'HOST:PORT',
    parse: parseAddress,
    show: showAddress,
  };
}

/** An address that may be left out: null, written as nothing. */
export function optionalAddress(o: Common, fallback = ''): Option<Address | null> {
  const value = fallback === '' ? null : parseAddress(fallback);
  if (value === undefined) throw new TypeError(`${fallback} is no address`);
  return {
    type: 'address',
    unit: '',
    default: value,
    expected: `${ADDRESS_EXPECTED}, or nothing`,
    help: o.help,
    section: o.section,
    secret: o.secret ?? false,
    placeholder: 'HOST:PORT',
    parse: (value) => (value === '' ? null : parseAddress(value)),
    show: (value) => (value === null ? '' : showAddress(value)),
  };
}

/** The nodes of a cluster by name: `n1=H:P,n2=H:P`. */
export function peers(o: Common): Option<readonly PeerEntry[]> {
  return {
    type: 'peers',
    unit: '',
    default: [],
    expected: 'a list like n1=10.0.0.1:7731,n2=10.0.0.2:7731 in which no name or address appears twice',
    help: o.help,
    section: o.section,
    secret: o.secret ?? false,
    placeholder: 'NAME=HOST:PORT,…',
    parse: parsePeers,
    show: (list) => list.map((p) => `${p.name}=${showAddress(p)}`).join(','),
  };
}

function parsePeers(value: string): readonly PeerEntry[] | undefined {
  if (value === '') return [];
  const list: PeerEntry[] = [];
  for (const item of value.split(',')) {
    const at = item.indexOf('=');
    const peerName = item.slice(0, at).trim();
    const found = parseAddress(item.slice(at + 1).trim());
    if (at < 1 || !isName(peerName) || found === undefined) return undefined;
    list.push({ name: peerName, ...found });
  }
  const names = new Set(list.map((p) => p.name));
  const addresses = new Set(list.map(showAddress));
  return names.size === list.length && addresses.size === list.length ? list : undefined;
}
