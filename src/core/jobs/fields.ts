/** Where the numbers of a job lie within its row of a page. */

export const JOBS_PER_PAGE = 256;

/** Replicated u32 fields of a job. */
export const U_ID = 0; // four of them: the ULID's bytes, little-endian
export const U_DIGEST = 4;
export const U_FUNCTION = 5;
export const U_FLAGS = 6;
export const U_SEED = 7;
/** Attempts that count, the running one included. */
export const U_ATTEMPT = 8;
/** Digest of the last outcome that a worker said. */
export const U_OUTCOME = 9;
/** Worker and node of the newest attempt, in the table of labels; 0 none. */
export const U_LABEL = 10;
export const U_DATA_COUNT = 11;
export const U_FIELDS = 12;

/** Replicated numbers of a job. */
export const F_ORDER = 0; // place in its queue or among the ended ones
export const F_CREATED_WALL = 1;
export const F_CREATED_US = 2;
export const F_TOKEN = 3; // of the live lease; a queued job that has one is reserved
export const F_SESSION = 4; // that holds it
export const F_STARTED_WALL = 5;
export const F_STARTED_US = 6; // of the lease, until the job is begun
export const F_FINISHED_WALL = 7;
export const F_REVISION = 8;
/** Elapsed µs. Scheduled: end of the backoff. Running: run timeout. 0 none. */
export const F_DUE_US = 9;
/** Scheduled: wall ms of run_at. Running: elapsed µs of the lease's end, for leases that have one. 0 none. */
export const F_DUE2 = 10;
export const F_RUN_TIMEOUT = 11; // ms
export const F_RETENTION = 12; // ms, -1 the default
export const F_LAST_TOKEN = 13; // of the last outcome that a worker said
export const F_LAST_REVISION = 14; // and where it took effect
export const F_QUEUED_WALL = 15; // when it last came into its queue
export const F_FIELDS = 16;

/** Node-local numbers: derived on restore, never hashed. Columns 0 and 1 are handles of blobs. */
export const L_PAYLOAD = 0; // handle
export const L_RESULT = 1; // handle
export const L_PREV = 2; // in the queue, the session's leases or the ended jobs, by its state
// The link to the next one lies behind that to the one before.
export const L_FN_PREV = 4; // among the ended jobs of its function and state
/**
 * Of a queued job: handle among those of its function that are reserved or came back; 0 in the queue itself. The column is
 * that of the link above, which only ended jobs have.
 */
export const L_RANKED = 4;
export const L_TIMER = 6; // handle in the heap of its state
export const L_FIELDS = 7;

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
