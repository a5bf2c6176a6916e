/** A promise that this program makes to itself was broken. Never caught to go on: the process stops. */
export class InvariantError extends Error {
  readonly values: Readonly<Record<string, unknown>>;

  constructor(message: string, values: Readonly<Record<string, unknown>>) {
    super(`invariant broken: ${message} ${JSON.stringify(values)}`);
    this.name = 'InvariantError';
    this.values = values;
  }
}

/**
 * Stops on a broken promise, always on. One condition a call; `values` holds the offending numbers.
 * For what others send (clients, peers, disks) answer with an error instead.
 */
export function invariant(
  condition: unknown,
  message: string,
  values: Readonly<Record<string, unknown>> = {},
): asserts condition {
  if (!condition) throw new InvariantError(message, values);
}
