/**
 * What clients and workers saw of a cluster, and nothing else: the evidence on which `check` judges. Every time is in
 * milliseconds since the start of the run, on the one clock of those who look (virtual time in a simulation), never of
 * a node. Payloads and results stand as short digests or as they are: equal text means equal bytes.
 */

/** `done`: answered, and so it is. `not-applied`: refused for good, nothing changed. `unknown`: it may have been done. */
export type Fate = 'done' | 'not-applied' | 'unknown';

/** The states of a job as a reader sees them. */
export type SeenState = 'scheduled' | 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled' | 'expired';

/** A call with a beginning and an end; what it did, it did between the two (or later, or never, when unknown). */
export interface Call {
  /** Who called: a name that is unique among clients and workers. */
  readonly by: string;
  /** Node that was asked; '' where the client chose one by itself. */
  readonly node: string;
  readonly begin: number;
  /** Null: no answer came. */
  readonly end: number | null;
  readonly fate: Fate;
  /** Reason of the error, '' without one. */
  readonly error: string;
}

/** What a submission asked for. */
export interface SubmittedJob {
  readonly job: string;
  readonly namespace: string;
  readonly function: string;
  /** 0 high, 1 normal, 2 low. */
  readonly priority: 0 | 1 | 2;
  readonly payload: string;
  /** '' never coalesces. */
  readonly uniqueKey: string;
  /** Earliest start that was asked for; 0: at once. */
  readonly due: number;
  /** Latest start that was asked for; 0: none. */
  readonly startDeadline: number;
  /** Attempts in all; 0: the default of the cluster. */
  readonly maxAttempts: number;
  /** How long the ended job is to be kept, milliseconds; -1: the default of the cluster. */
  readonly retentionMs: number;
  /** It is dropped when nobody waits for it any more (a foreground job of Gearman's). */
  readonly waits: boolean;
}

/** One job of a submission; those of one call have the same `call`. */
export interface Submit extends Call, SubmittedJob {
  readonly type: 'submit';
  /** Jobs of one connection are accepted in the order of this number; jobs of different streams in any. */
  readonly stream: string;
  readonly position: number;
  /** All of `call` are accepted, or none. */
  readonly call: string;
  readonly allOrNothing: boolean;
  /** Null unless done. `job` is another one than asked for when it was coalesced. */
  readonly answer: { readonly job: string; readonly disposition: 'created' | 'same-id' | 'coalesced' } | null;
}

/** What a read, a watch or the result of a run shows. */
export interface Seen {
  readonly state: SeenState;
  /** Attempts begun, the running one included. */
  readonly attempt: number;
  readonly payload: string;
  /** '' until there is one. */
  readonly result: string;
  /** Code of the last error, '' without one. */
  readonly errorCode: string;
}

export interface Read extends Call {
  readonly type: 'read';
  readonly job: string;
  /** `local`: whatever the node has by now. */
  readonly consistency: 'linearizable' | 'local';
  /** `absent`: the answer was that there is none; null: no answer. */
  readonly answer: Seen | 'absent' | null;
}

/** A decision of somebody's about a job. */
export interface Change extends Call {
  readonly type: 'cancel' | 'retry' | 'delete';
  readonly job: string;
}

/** A worker was given a job: under this token, until it is settled or lost. */
export interface Lease {
  readonly type: 'lease';
  readonly at: number;
  readonly worker: string;
  readonly node: string;
  readonly job: string;
  /** 0: the protocol does not show it (Gearman). */
  readonly token: number;
  /** 0: the protocol does not show it. */
  readonly attempt: number;
  readonly function: string;
  readonly payload: string;
  /** It lasts until then at least, unless somebody ends it; not there where it lasts as long as a connection. */
  readonly until?: number;
}

/** A worker was told that a lease is over. */
export interface LeaseLost {
  readonly type: 'lease-lost';
  readonly at: number;
  readonly worker: string;
  readonly token: number;
}

/**
 * A worker gave up its connection, or found it broken; noted then, before it connects or attaches anew, and also when
 * it closes its session. What the cluster gave it shortly before may never have reached it.
 */
export interface Interrupted {
  readonly type: 'interrupted';
  readonly at: number;
  /** Where it lasted: all that came until then may have gone back unseen, as it does while a worker stops. */
  readonly until?: number;
  readonly worker: string;
  readonly node: string;
}

/** A worker said how an attempt ended. `not-applied` with LEASE_LOST: it came too late. */
export interface Settle extends Call {
  readonly type: 'settle';
  readonly job: string;
  readonly token: number;
  readonly outcome: 'complete' | 'fail' | 'release';
  /** Of `complete`: the result. */
  readonly result: string;
  /** Of `fail`: another attempt may follow. */
  readonly retryable: boolean;
}

/** One event of a watch, in the order in which it came. */
export interface Watched {
  readonly type: 'watched';
  readonly at: number;
  /** Unique for each watch that was opened. */
  readonly watch: string;
  readonly node: string;
  readonly job: string;
  /** `broken`: the connection or node is gone, nothing follows; `ended`: the last event of a whole watch. */
  readonly event: 'accepted' | 'queued' | 'started' | 'attempt-failed' | 'cancelling' | 'ended' | 'broken';
  /** Null with `broken`. */
  readonly seen: Seen | null;
}

/** What one node has of one job after all faults were over and everything had come to rest. */
export interface Last {
  readonly type: 'last';
  readonly node: string;
  readonly job: string;
  /** How long ago it ended is judged by this. */
  readonly at: number;
  readonly seen: Seen | 'absent';
  /** '' for a job that no schedule made; else `schedule id/nominal minute`, also of one that is absent by now. */
  readonly madeBy: string;
}

export type HistoryEvent = Submit | Read | Change | Lease | LeaseLost | Interrupted | Settle | Watched | Last;

/** What the cluster was told, which promises depend on. Milliseconds. */
export interface Promises {
  /** How far the clock by which jobs are due may be from that of those who look. */
  readonly skewMs: number;
  readonly maxAttempts: number;
  /** Retention of a job that succeeded, was cancelled or expired; and of one that failed. */
  readonly retentionMs: number;
  readonly failedRetentionMs: number;
  /** For so long an id is known after its submission. */
  readonly dedupeWindowMs: number;
  /**
   * Shortest time after which the cluster takes back a lease that never reached a worker whose connection held (the
   * time in which a lease is to be acknowledged). To be set where workers note each `interrupted`: without it nobody
   * can tell whether the first lease that was seen of a job was its first, and the order of jobs is not judged.
   */
  readonly unseenLeaseMs?: number;
}

export interface History {
  /** In the order in which the events were noted: calls when they ended. */
  readonly events: readonly HistoryEvent[];
  readonly promises: Promises;
}

/** The rules, by the names that reports and tests use. */
export const RULES = [
  'lost',
  'invented',
  'altered',
  'lease-overlap',
  'lease-order',
  'lease-short',
  'fence',
  'repeated-outcome',
  'outcome-changed',
  'outcome-invented',
  'replicas-differ',
  'not-linearizable',
  'order',
  'unique-key',
  'early',
  'late-start',
  'attempts',
  'retention',
  'same-id',
  'all-or-nothing',
  'not-applied',
  'watch',
  'schedule',
  'unfinished',
] as const;
export type Rule = (typeof RULES)[number];

export interface Violation {
  readonly rule: Rule;
  /** One sentence: which job, what was seen where and when, and what was promised. */
  readonly text: string;
  /** The events that show it, as few as will do. */
  readonly events: readonly HistoryEvent[];
}
