import type { Client, GearmeshError, Reason } from '../client/index.js';
import type { ErrorCode } from '../core/errors.js';
import type { CliCommand } from './command.js';
import type { CliContext } from './context.js';
import type { ExitName } from './exit-codes.js';
import { CliError } from './exit-codes.js';
import { time } from './values.js';

/** Flags of every command that talks to a cluster. */
export interface AskFlags {
  readonly endpoint?: readonly string[];
  readonly namespace?: string;
  readonly timeout?: number;
  readonly json?: boolean;
}

const DEFAULT_ENDPOINT = '127.0.0.1:7730';

/** `json: false` for a command that prints no data of its own; `timeout`: what it is there for, where it is another. */
export function asks(
  command: CliCommand,
  o: { json?: boolean; namespace?: boolean; timeout?: string } = {},
): CliCommand {
  command.option(
    '-e, --endpoint <HOST:PORT>',
    'A node to talk to; may be repeated or hold several separated by commas. ' +
      `By default GEARMESH_ENDPOINT, or ${DEFAULT_ENDPOINT}.`,
    (text: string, before: readonly string[] = []) => [...before, ...endpointList(text)],
  );
  if (o.namespace !== false) {
    command.option('-n, --namespace <NAME>', 'Namespace. By default GEARMESH_NAMESPACE, or "default".');
  }
  command.option('--timeout <TIME>', o.timeout ?? 'Give up after this long, e.g. 10s.', time);
  if (o.json !== false) command.option('--json', 'Print JSON.');
  return command;
}

function endpointList(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

export function endpointsOf(context: CliContext, flags: AskFlags): readonly string[] {
  if (flags.endpoint !== undefined && flags.endpoint.length > 0) return flags.endpoint;
  const given = endpointList(context.environment.GEARMESH_ENDPOINT ?? '');
  return given.length > 0 ? given : [DEFAULT_ENDPOINT];
}

export function namespaceOf(context: CliContext, flags: AskFlags): string {
  return flags.namespace ?? (context.environment.GEARMESH_NAMESPACE || 'default');
}

/** Runs `use` with a client of the cluster that the flags name; its errors become exit codes. */
export async function withClient<T>(
  context: CliContext,
  flags: AskFlags,
  use: (client: Client) => Promise<T>,
): Promise<T> {
  const sdk = await import('../client/index.js');
  const client = new sdk.Client({
    endpoints: endpointsOf(context, flags),
    namespace: namespaceOf(context, flags),
    order: 'listed',
    ...(flags.timeout === undefined ? {} : { timeoutMs: flags.timeout }),
  });
  try {
    return await use(client);
  } catch (error) {
    if (error instanceof sdk.GearmeshError) throw cliError(error);
    throw error;
  } finally {
    await client.close();
  }
}

/** The reasons that the SDK names; it also passes on any other word that a server may send one day. */
type Named<R> = R extends string ? (string extends R ? never : R) : never;

/** One line per reason; the type checker asks for a new one as soon as the table of errors has it. */
export const EXIT_OF_REASON = {
  INVALID_FIELD: 'USAGE',
  PAYLOAD_TOO_LARGE: 'LIMIT',
  LIMIT_REACHED: 'LIMIT',
  NOT_FOUND: 'NOT_FOUND',
  ID_REUSED: 'CONFLICT',
  ID_TOO_OLD: 'UNKNOWN',
  ID_IN_FUTURE: 'USAGE',
  LEASE_LOST: 'CONFLICT',
  SESSION_UNKNOWN: 'CONFLICT',
  WRONG_STATE: 'CONFLICT',
  NO_LEADER: 'UNAVAILABLE',
  OUTCOME_UNKNOWN: 'UNKNOWN',
  SHUTTING_DOWN: 'UNAVAILABLE',
  CANCELLED: 'TIMEOUT',
  UNAUTHENTICATED: 'PERMISSION',
  PERMISSION_DENIED: 'PERMISSION',
  INTERNAL: 'DEFECT',
  CONNECTION_FAILED: 'UNAVAILABLE',
  CONNECTION_LOST: 'UNAVAILABLE',
  TIMED_OUT: 'TIMEOUT',
  ABORTED: 'INTERRUPTED',
  CLOSED: 'INTERRUPTED',
  JOB_FAILED: 'FAILED',
  JOB_CANCELLED: 'FAILED',
  JOB_EXPIRED: 'FAILED',
  OTHER: 'FAILED',
} as const satisfies Record<ErrorCode | Named<Reason>, ExitName>;

export function cliError(thrown: GearmeshError): CliError {
  const error = unreachable(thrown) ?? thrown;
  const exits: Readonly<Record<string, ExitName>> = EXIT_OF_REASON;
  let exit = exits[error.reason] ?? 'FAILED';
  // "Nothing was changed" must be true.
  if (exit === 'UNAVAILABLE' && error.outcome === 'UNKNOWN') exit = 'UNKNOWN';
  const fields = error.violations
    .map((v) => `${v.field}: ${v.description}`)
    .filter((line) => !error.message.includes(line));
  return new CliError(exit, error.message, [...fields, hintFor(error)].filter((l) => l !== '').join('\n  '));
}

/** A call that ran out of time because nobody could be reached says so. */
function unreachable(error: GearmeshError): GearmeshError | null {
  const cause = error.cause as Partial<GearmeshError> | undefined;
  if (error.reason !== 'TIMED_OUT' || error.outcome !== 'NOT_APPLIED') return null;
  return cause?.reason === 'CONNECTION_FAILED' ? (cause as GearmeshError) : null;
}

function hintFor(error: GearmeshError): string {
  if (error.reason === 'CONNECTION_FAILED') {
    return 'is the node running? "gearmesh dev" starts a cluster here; --endpoint names another one';
  }
  if (error.reason === 'LIMIT_REACHED' && error.metadata.limit !== undefined) {
    return `limit ${error.metadata.limit} = ${error.metadata.value ?? '?'}`;
  }
  return '';
}
