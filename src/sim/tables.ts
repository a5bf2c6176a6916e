import type { Core } from '../core/interface.js';
import type { JobView } from '../core/types.js';

/** Hears which rule was broken, and how. */
export type Broken = (rule: string, text: string) => void;

/** Entries applied at once above which nothing is said of limits: one may have been raised and lowered meanwhile. */
const ENTRIES_AT_ONCE = 4;

/** At most one live lease per job and one live job per unique key; what the tables say of one another is true. */
export function checkTables(name: string, core: Core, broken: Broken): void {
  const at = `at index ${core.appliedIndex} of ${name}`;
  const tokens = new Set<number>();
  const held = new Map<number, number>();
  const keys = new Map<string, string>();
  for (const job of liveJobs(core)) {
    if (job.token !== 0) {
      if (tokens.has(job.token)) broken('one-lease', `two jobs hold the lease ${job.token} ${at}`);
      tokens.add(job.token);
      held.set(job.session, (held.get(job.session) ?? 0) + 1);
      if (core.seqOfToken(job.token) !== job.seq)
        broken('one-lease', `the lease ${job.token} of ${job.id} leads to another job ${at}`);
      if (core.session(job.session) === null)
        broken('one-lease', `${job.id} is held by the session ${job.session}, which is not there, ${at}`);
    } else if (job.state === 'running') {
      broken('one-lease', `${job.id} runs without a lease ${at}`);
    }
    if (job.uniqueKey === '') continue;
    const key = JSON.stringify([job.namespace, job.function, job.uniqueKey]);
    const other = keys.get(key);
    if (other !== undefined)
      broken('unique-key', `${job.id} and ${other} live under the key ${job.uniqueKey} ${at}`);
    keys.set(key, job.id);
  }
  for (const [id, count] of held) {
    const session = core.session(id);
    if (session !== null && (session.held !== count || core.heldTokens(id).length !== count))
      broken('one-lease', `session ${id} counts ${session.held} jobs and holds ${count} ${at}`);
  }
}

/** No limit is exceeded; what is there when one is lowered stays, and only becomes less. */
export class Limits {
  #before = new Map<string, { readonly count: number; readonly limit: number }>();
  #index = 0;

  /** To be called after each run of applies. */
  look(name: string, core: Core, broken: Broken): void {
    const { settings } = core;
    const counts = core.counts();
    const before = this.#before;
    const now = new Map<string, { count: number; limit: number }>();
    const sure = core.appliedIndex <= this.#index + ENTRIES_AT_ONCE;
    const within = (what: string, count: number, limit: number): void => {
      now.set(what, { count, limit });
      const last = before.get(what);
      if (count <= limit || !sure || last === undefined || last.limit !== limit || count <= last.count)
        return;
      broken(
        'limits',
        `${count} ${what} at index ${core.appliedIndex} of ${name}, allowed are ${limit}, there were ${last.count}`,
      );
    };
    within('live jobs', counts.waiting + counts.running, settings.jobsMax);
    within('sessions', counts.sessions, settings.sessionsMax);
    within('functions', counts.functions, settings.functionsMax);
    within('schedules', counts.schedules, settings.schedulesMax);
    within('bytes of blobs', counts.blobBytes, settings.blobsTotalBytesMax);
    for (const queue of core.queues(null)) {
      const waiting = queue.waiting[0] + queue.waiting[1] + queue.waiting[2];
      const live = waiting + queue.scheduled + queue.running;
      within(`live jobs of ${queue.namespace}/${queue.function}`, live, settings.jobsPerFunctionMax);
    }
    this.#before = now;
    this.#index = core.appliedIndex;
  }
}

function liveJobs(core: Core): JobView[] {
  const namespaces = new Set(core.queues(null).map(({ namespace }) => namespace));
  return [...namespaces].flatMap(
    (namespace) =>
      core.listJobs({
        namespace,
        function: '',
        states: ['queued', 'running', 'scheduled'],
        uniqueKey: '',
        pageSize: 1_000_000,
        after: 0,
        budget: 100_000_000,
      }).jobs,
  );
}
