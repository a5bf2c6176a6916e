import type {
  Change,
  History,
  HistoryEvent,
  Interrupted,
  Last,
  Lease,
  LeaseLost,
  Promises,
  Read,
  Seen,
  SeenState,
  Settle,
  Submit,
  Watched,
} from './history.js';
import { TokenOrder } from './tokens.js';

/** All that was seen of one job. Lists are in the order of the history unless they say otherwise. */
export class Story {
  readonly job: string;
  /** Submissions with this id, refused ones too. */
  readonly submits: Submit[] = [];
  /** Those that may have made the job: not refused, and not answered that the id joined another job. */
  readonly makers: Submit[] = [];
  /** Submissions with other ids that were answered that they joined this job. */
  readonly joined: Submit[] = [];
  readonly reads: Read[] = [];
  readonly changes: Change[] = [];
  /** By token, then in order; those without a token first. */
  readonly leases: Lease[] = [];
  readonly settles: Settle[] = [];
  readonly watched: Watched[] = [];
  readonly lasts: Last[] = [];
  /** What showed it to be there, in order of time. */
  readonly sightings: Sighting[] = [];
  /** The schedule and minute that made it, '' for one that was submitted. */
  madeBy = '';
  /** It was not there before this; Infinity: nobody can have submitted it. */
  from = Number.POSITIVE_INFINITY;
  /** It was accepted before this: an answer said so, or it was seen; Infinity: nobody knows. */
  knownAt = Number.POSITIVE_INFINITY;

  constructor(job: string) {
    this.job = job;
  }

  /** A retry that was not refused and began before `time`: what happened earlier may have begun anew. */
  retriedBefore(time: number): boolean {
    return this.changes.some((one) => one.type === 'retry' && mayBe(one) && one.begin <= time);
  }

  /** Nobody who looks knows what it was submitted with. */
  get unknownSpec(): boolean {
    return this.makers.length === 0;
  }
}

/** A moment at which the job was there, at or before `at`. */
export interface Sighting {
  readonly at: number;
  readonly event: Read | Lease | Watched | Last;
  /** Null: a lease, which shows no state. */
  readonly seen: Seen | null;
  readonly payload: string;
}

/** A history, sorted by what it is about. */
export interface Stories {
  readonly jobs: ReadonlyMap<string, Story>;
  readonly promises: Promises;
  readonly tokens: TokenOrder;
  readonly leasesLost: readonly LeaseLost[];
  readonly interrupted: readonly Interrupted[];
}

/** It has happened, or may have, or may yet. */
export function mayBe(call: Submit | Read | Change | Settle): boolean {
  return call.fate !== 'not-applied';
}

/** When a call's answer came; Infinity without one. */
export function endOf(call: Submit | Read | Change | Settle): number {
  return call.end ?? Number.POSITIVE_INFINITY;
}

export function isEnd(state: SeenState): boolean {
  return state === 'succeeded' || state === 'failed' || state === 'cancelled' || state === 'expired';
}

/** Two ends of a job that are one and the same. */
export function sameEnd(a: Seen, b: Seen): boolean {
  return (
    a.state === b.state && a.result === b.result && a.errorCode === b.errorCode && a.attempt === b.attempt
  );
}

export function gather(history: History): Stories {
  const jobs = new Map<string, Story>();
  const leasesLost: LeaseLost[] = [];
  const interrupted: Interrupted[] = [];
  const storyOf = (job: string): Story => {
    let story = jobs.get(job);
    if (story === undefined) {
      story = new Story(job);
      jobs.set(job, story);
    }
    return story;
  };
  for (const event of history.events) {
    if (event.type === 'lease-lost') leasesLost.push(event);
    else if (event.type === 'interrupted') interrupted.push(event);
    else place(event, storyOf);
  }
  for (const story of jobs.values()) finish(story);
  interrupted.sort((a, b) => a.at - b.at);
  return { jobs, promises: history.promises, tokens: new TokenOrder(jobs.values()), leasesLost, interrupted };
}

function place(event: Exclude<HistoryEvent, LeaseLost | Interrupted>, storyOf: (job: string) => Story): void {
  const story = storyOf(event.job);
  switch (event.type) {
    case 'submit': {
      story.submits.push(event);
      const other = event.answer !== null && event.answer.job !== event.job ? event.answer.job : null;
      if (other !== null) storyOf(other).joined.push(event);
      else if (mayBe(event)) story.makers.push(event);
      return;
    }
    case 'read':
      story.reads.push(event);
      if (event.answer !== null && event.answer !== 'absent') sight(story, event, endOf(event), event.answer);
      return;
    case 'lease':
      story.leases.push(event);
      story.sightings.push({ at: event.at, event, seen: null, payload: event.payload });
      return;
    case 'settle':
      story.settles.push(event);
      return;
    case 'watched':
      story.watched.push(event);
      if (event.seen !== null) sight(story, event, event.at, event.seen);
      return;
    case 'last':
      story.lasts.push(event);
      if (event.seen !== 'absent') sight(story, event, event.at, event.seen);
      if (event.madeBy !== '') story.madeBy = event.madeBy;
      return;
    default:
      story.changes.push(event);
  }
}

function sight(story: Story, event: Read | Watched | Last, at: number, seen: Seen): void {
  story.sightings.push({ at, event, seen, payload: seen.payload });
}

function finish(story: Story): void {
  story.leases.sort((a, b) => a.token - b.token || a.at - b.at);
  story.sightings.sort((a, b) => a.at - b.at);
  if (story.madeBy !== '') story.from = Number.NEGATIVE_INFINITY;
  for (const { begin } of story.makers) story.from = Math.min(story.from, begin);
  if (story.sightings.length > 0) story.knownAt = story.sightings[0]!.at;
  for (const submit of [...story.makers, ...story.joined]) {
    if (submit.fate === 'done') story.knownAt = Math.min(story.knownAt, endOf(submit));
  }
}
