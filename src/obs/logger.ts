import { type DestinationStream, destination, type Logger, pino, stdTimeFunctions } from 'pino';

export interface LoggerOptions {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  /** `json`: one object a line, for machines. `text`: one readable line. */
  readonly format: 'json' | 'text';
  /** Stands in every line. */
  readonly node: string;
  /** Standard error when absent: standard output belongs to what a command answers. */
  readonly destination?: DestinationStream;
}

/**
 * The log of a node: one line per event that an operator cares about, none per job. Lines are written at once,
 * so that the last one before a crash is there; a flood must be held back where it arises.
 */
export function createLogger(options: LoggerOptions): Logger {
  const out = options.destination ?? destination({ fd: 2, sync: true });
  return pino(
    {
      level: options.level,
      base: { node: options.node },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    options.format === 'json' ? out : { write: (line: string) => out.write(textLine(line)) },
  );
}

const SHOWN_FIRST = new Set(['time', 'level', 'node', 'msg', 'err']);

/** `12:00:00.000 WARN  n1 lost a peer peer=n2 reason=closed`; an error's stack follows on lines of its own. */
function textLine(line: string): string {
  const record = JSON.parse(line) as Record<string, unknown>;
  const time = String(record.time).slice(11, 23);
  const level = String(record.level).toUpperCase().padEnd(5);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not come through.
  const message = String(record.msg ?? '').replace(/[\u0000-\u001f]/g, ' ');
  const fields = Object.entries(record)
    .filter(([key]) => !SHOWN_FIRST.has(key))
    .map(([key, value]) => ` ${key}=${shown(value)}`);
  return `${time} ${level} ${shown(record.node)} ${message}${fields.join('')}${errorText(record.err)}\n`;
}

/** Bare where that is unambiguous, else as JSON: no value can fake a second line. */
function shown(value: unknown): string {
  return typeof value === 'string' && /^[\w.:/@+-]+$/.test(value) ? value : JSON.stringify(value);
}

function errorText(err: unknown): string {
  if (typeof err !== 'object' || err === null) return err === undefined ? '' : ` err=${shown(err)}`;
  const { message, stack } = err as { message?: unknown; stack?: unknown };
  const trace = typeof stack === 'string' ? `\n${stack.replace(/^/gm, '    ')}` : '';
  return ` err=${shown(message)}${trace}`;
}
