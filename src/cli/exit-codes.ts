/** What the exit code of a command says; part of its interface, so a number never changes its meaning. */
export const EXIT_CODES = {
  OK: { code: 0, meaning: 'done' },
  FAILED: { code: 1, meaning: 'the job failed, was cancelled or expired; or something else went wrong' },
  USAGE: { code: 2, meaning: 'the command line, a setting or a field of the request is not valid' },
  NOT_FOUND: { code: 3, meaning: 'there is no such job, queue or node, or no longer' },
  UNAVAILABLE: {
    code: 4,
    meaning: 'no node could be reached, or the cluster has no leader; nothing was changed',
  },
  TIMEOUT: { code: 5, meaning: 'the time given with --timeout passed first' },
  PERMISSION: { code: 6, meaning: 'not allowed, or it is not clear who asks' },
  CONFLICT: { code: 7, meaning: 'the job or node is in a state that does not allow this' },
  LIMIT: { code: 8, meaning: 'a limit is reached, or the payload is too large' },
  UNKNOWN: {
    code: 9,
    meaning: 'it is not known whether it was done; repeating with the same job id is safe',
  },
  DEFECT: { code: 70, meaning: 'a defect in Gearmesh' },
  INTERRUPTED: { code: 130, meaning: 'stopped by Ctrl-C or SIGTERM before it was done' },
  TERMINATED: { code: 143, meaning: 'ended at once by a second SIGTERM' },
} as const;

export type ExitName = keyof typeof EXIT_CODES;

/** Ends a command with a message for people and an exit code for scripts. */
export class CliError extends Error {
  readonly exit: ExitName;
  /** What to do next; '' where the message says it all. */
  readonly hint: string;

  constructor(exit: ExitName, message: string, hint = '') {
    super(message);
    this.name = 'CliError';
    this.exit = exit;
    this.hint = hint;
  }
}
