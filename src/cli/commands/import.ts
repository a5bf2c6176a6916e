import { type AskFlags, asks, withClient } from '../ask.js';
import type { CliCommand } from '../command.js';
import { command } from '../command.js';
import type { CliContext } from '../context.js';
import { say, sayJson, table, tell } from '../context.js';
import { CliError } from '../exit-codes.js';
import { address } from '../values.js';
import { version } from '../version.js';

interface ImportFlags extends AskFlags {
  readonly from?: string;
  readonly function?: readonly string[];
  readonly follow?: boolean;
  readonly dryRun?: boolean;
}

const PROGRESS_MS = 1_000;
/** Refusals that are told one by one. */
const TOLD_MAX = 20;

const NOTES = `It works at the gearmand as a worker and completes a job there only once it is on disk on a majority here, so that
neither Ctrl-C nor the death of either side loses one. Run it again to go on; a job that an earlier run had brought is
found again by an id made from its handle, and not submitted twice.

Kept: function, payload, unique id, reducer, and the order in which gearmand gives its jobs: high before normal before
low. Not kept: the priority itself (a worker is not told), and handles. Jobs with a time stay there until it has come.
Jobs that a client waits for there are run here in the foreground, and what they give goes back to it: that needs
workers here. Jobs that cannot be taken (a payload over the limit, a name that is not UTF-8) stay there and are told:
exit code 1.

With --job-retries at the gearmand, an import that ends early counts as a lost worker.`;

export function importCommand(context: CliContext): CliCommand {
  const root = command('import', 'Bring jobs from elsewhere into the cluster.').example(
    'gearmesh import gearmand --from 10.0.0.9:4730',
    'All jobs of a gearmand',
  );
  root.addCommand(gearmandCommand(context));
  return root;
}

function gearmandCommand(context: CliContext): CliCommand {
  const gearmand = command('gearmand', 'Move the jobs of a running gearmand into the cluster.')
    .option('--from <HOST:PORT>', 'The gearmand; must be given.', address)
    .option(
      '-f, --function <NAME>',
      'Only the jobs of this function; may be repeated. By default those of all that its status lists.',
      (name: string, before: readonly string[] = []) => [...before, name],
    )
    .option('--follow', 'Go on when its queues are empty, until Ctrl-C.')
    .option('--dry-run', 'Only show what is there.');
  return asks(gearmand, { timeout: 'How long to wait for the cluster to take a job, e.g. 30s.' })
    .note(NOTES)
    .example('gearmesh import gearmand --from 10.0.0.9:4730 --dry-run', 'What is there')
    .example('gearmesh import gearmand --from 10.0.0.9:4730', 'All of it')
    .example(
      'gearmesh import gearmand --from 10.0.0.9:4730 --function resize --function mail',
      'Some functions',
    )
    .example('gearmesh import gearmand --from 10.0.0.9:4730 --follow', 'While clients are still moving')
    .action((flags: ImportFlags, self: CliCommand) => {
      const { from } = flags;
      if (from === undefined) self.error('error: --from HOST:PORT is missing');
      else return importGearmand(context, { ...flags, from });
    });
}

/** With the gearmand's address. */
type From = ImportFlags & { readonly from: string };

async function importGearmand(context: CliContext, flags: From): Promise<void> {
  const { askJobs, askStatus } = await import('../gearmand/look.js');
  const { askText } = await import('../gearmand/link.js');
  if ((await askText(flags.from, 'version', 'line')) === `OK ${version()}`) {
    throw new CliError('USAGE', `${flags.from} is a node of Gearmesh, no gearmand`);
  }
  const all = await askStatus(flags.from);
  const wanted = flags.function ?? all.map(({ name }) => name);
  const rows = wanted.map(
    (name) => all.find((one) => one.name === name) ?? { name, total: 0, running: 0, workers: 0 },
  );
  const seen = await askJobs(flags.from);
  if (flags.dryRun) {
    if (flags.json) {
      const functions = rows.map(({ name, ...counts }) => ({ function: name, ...counts }));
      sayJson(context, { from: flags.from, functions, foreground: seen.foreground.size });
      return;
    }
    const cells = rows.map(({ name, total, running, workers }) => [name, total, running, workers]);
    say(context, table(['FUNCTION', 'JOBS', 'RUNNING', 'WORKERS'], cells));
    tell(context, `${seen.foreground.size} of all jobs there have a client that waits for them`);
    return;
  }
  const { Drain } = await import('../gearmand/drain.js');
  const { broughtBefore } = await import('../gearmand/here.js');
  const life = await askText(flags.from, 'getpid', 'line');
  await withClient(context, flags, async (client) => {
    // Fails at once when there is no cluster, before a job is fetched.
    const here = await broughtBefore(client, wanted, seen.lost, context.signal);
    const total = rows.reduce((sum, one) => sum + one.total, 0);
    let told = 0;
    const drain = new Drain({
      address: flags.from,
      client,
      life,
      functions: wanted,
      seen,
      here,
      follow: flags.follow === true,
      signal: context.signal,
      refused: (handle, why) => {
        if (told++ < TOLD_MAX) tell(context, `${handle} stays there: ${why}`);
      },
    });
    const { counts } = drain;
    const began = performance.now();
    let lastCount = 0;
    const timer = setInterval(() => {
      const rate = Math.round((counts.imported - lastCount) / (PROGRESS_MS / 1_000));
      lastCount = counts.imported;
      const left = Math.max(0, total - counts.imported - counts.refused);
      const waiting = counts.waiting === 0 ? '' : `, ${counts.waiting} run here for clients there`;
      tell(context, `${counts.imported} imported, ${rate}/s, about ${left} left${waiting}`);
    }, PROGRESS_MS);
    try {
      await drain.run();
    } finally {
      clearInterval(timer);
      report(context, flags, counts, (performance.now() - began) / 1_000);
    }
    if (context.signal.aborted) {
      if (!flags.follow) throw new CliError('INTERRUPTED', 'stopped', 'run it again to go on');
    } else {
      await tellLeft(context, flags.from, wanted, askStatus);
    }
    if (counts.refused > 0) throw new CliError('FAILED', `${counts.refused} jobs could not be taken`);
  });
}

function report(
  context: CliContext,
  flags: From,
  counts: import('../gearmand/drain.js').DrainCounts,
  seconds: number,
): void {
  const { imported, coalesced, repeated, foreground, refused } = counts;
  if (flags.json) {
    sayJson(context, { from: flags.from, imported, coalesced, repeated, foreground, refused, seconds });
    return;
  }
  const rate = seconds > 0 ? Math.round(imported / seconds) : 0;
  say(context, `${imported} jobs imported in ${seconds.toFixed(1)} s, ${rate}/s`);
  if (coalesced > 0) say(context, `  ${coalesced} joined a job with their unique id that was here`);
  if (repeated > 0) say(context, `  ${repeated} had been brought by an earlier import`);
  if (foreground > 0) say(context, `  ${foreground} were run for a client that waited there`);
  if (refused > 0) say(context, `  ${refused} could not be taken and stay there`);
}

/** Jobs with a time, and jobs that other workers have. */
async function tellLeft(
  context: CliContext,
  from: string,
  wanted: readonly string[],
  askStatus: typeof import('../gearmand/look.js').askStatus,
): Promise<void> {
  for (const { name, total, running } of await askStatus(from)) {
    if (total === 0 || !wanted.includes(name)) continue;
    tell(context, `${name}: ${total} left there, ${running} of them at its workers; others may have a time`);
  }
}
