/*
 * Where the numbers of a job lie within its row of a page. A row has two parts. The first is what every job needs, and of
 * it alone there may be millions. The second is what a job gets by being started, delayed or ended, or by times of its own:
 * a page has none until one of its jobs needs it.
 */

export const JOBS_PER_PAGE = 256;

// First part: words (u32) and numbers (f64) are two views on the same bytes.

/** Replicated words of a job. */
export const U_ID = 0; // four of them: the ULID's bytes, little-endian
export const U_DIGEST = 4;
export const U_FUNCTION = 5;
export const U_FLAGS = 6;
export const U_SEED = 7;
export const U_REPLICATED = 8;

/** Replicated numbers of a job; before them lie the words. */
export const F_ORDER = 4; // place in its queue or among the ended ones
export const F_CREATED_WALL = 5;
export const F_CREATED_US = 6;
export const F_REVISION = 7;
export const F_REPLICATED = 8;
/** Node-local numbers: derived on restore, never hashed. */
export const L_PAYLOAD = 8; // handle
export const L_PREV = 9; // in the queue, the session's leases or the ended jobs, by its state
// The link to the next one lies behind that to the one before.
/** From one row to the next. */
export const F_FIELDS = 11;
export const U_FIELDS = F_FIELDS * 2;

// Second part: numbers. Of a job for which nothing of it was ever set they are zeros.

/** Attempts that count, the running one included. */
export const M_ATTEMPT = 0;
/** Digest of the last outcome that a worker said. */
export const M_OUTCOME = 1;
/** Worker and node of the newest attempt, in the table of labels; 0 none. */
export const M_LABEL = 2;
export const M_DATA_COUNT = 3;
export const M_TOKEN = 4; // of the live lease; a queued job that has one is reserved
export const M_SESSION = 5; // that holds it
export const M_STARTED_WALL = 6;
export const M_STARTED_US = 7; // of the lease, until the job is begun
export const M_FINISHED_WALL = 8;
/** Elapsed µs. Scheduled: end of the backoff. Running: run timeout. 0 none. */
export const M_DUE_US = 9;
/** Scheduled: wall ms of run_at. Running: elapsed µs of the lease's end, for leases that have one. 0 none. */
export const M_DUE2 = 10;
export const M_RUN_TIMEOUT = 11; // ms
export const M_RETENTION = 12; // ms, of a job that has one of its own: FLAG_RETENTION
export const M_LAST_TOKEN = 13; // of the last outcome that a worker said
export const M_LAST_REVISION = 14; // and where it took effect
/** When it last came into its queue; 0: when it was created. */
export const M_QUEUED_WALL = 15;
export const M_REPLICATED = 16;
/** Node-local, as above. */
export const M_RESULT = 16; // handle
export const M_FN_PREV = 17; // among the ended jobs of its function and state; the link to the next one lies behind it
/**
 * Of a queued job: handle among those of its function that are reserved or came back; 0 in the queue itself. The column is
 * that of the link above, which only ended jobs have.
 */
export const M_RANKED = 17;
export const M_TIMER = 19; // handle in the heap of its state
export const M_FIELDS = 20;

/** States by number, as in `JOB_STATES`. */
export const SCHEDULED = 0;
export const QUEUED = 1;
export const RUNNING = 2;
export const SUCCEEDED = 3;
export const FAILED = 4;
export const CANCELLED = 5;
export const EXPIRED = 6;

/** Bits of U_FLAGS: three of state, two of priority, then these. */
export const FLAG_STATE = 7;
export const FLAG_PRIORITY_SHIFT = 3;
export const FLAG_FOREGROUND = 32;
export const FLAG_CANCEL = 64;
export const FLAG_ACKED = 128;
/** Its retry policy is `ENDLESS_RETRY`. */
export const FLAG_ENDLESS = 256;
/** It has a retention of its own. */
export const FLAG_RETENTION = 512;
