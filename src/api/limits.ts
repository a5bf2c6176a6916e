/** What one caller may cost a node. Limits of the whole cluster are in the replicated settings instead. */
export interface ApiLimits {
  /** Largest message received, bytes: a larger one is refused as soon as its length is known. */
  readonly messageBytesMax: number;
  /** Jobs in one SubmitJobs or one frame of SubmitStream. */
  readonly jobsPerCallMax: number;
  /** Frames of one SubmitStream that may wait for their answer; beyond, the stream is not read. */
  readonly submitFramesInFlightMax: number;
  /** The same for the bytes of their payloads. */
  readonly submitBytesInFlightMax: number;
  /** Jobs that may wait in a node to be sent over one Work stream: credit beyond is held back. */
  readonly assignmentsWaitingMax: number;
  /** A frame to a worker is closed when it has grown to this size, bytes. */
  readonly serveFrameBytes: number;
  /** How long a worker may leave waiting data unread, milliseconds. */
  readonly slowReaderMs: number;
  /** Default interval of heartbeats over Work, milliseconds. */
  readonly heartbeatMs: number;
  /** Data waiting for a slow follower of a job, bytes: beyond, it gets a gap instead. */
  readonly followBytesMax: number;
  /** Content of one page of a list, bytes, about. */
  readonly pageBytes: number;
  /** Records looked at for one page of jobs. */
  readonly listBudget: number;
  /** Connections at the gRPC port. */
  readonly connectionsMax: number;
  /** Of these, how many may have made no call yet; above it the oldest of them is closed. */
  readonly newcomersMax: number;
  /** How long a connection may make no call after it was opened, milliseconds. */
  readonly newcomerMs: number;
  /** Calls at once on one connection. */
  readonly streamsPerConnectionMax: number;
  /** An upload that sends nothing for so long is given up, milliseconds. */
  readonly slowWriterMs: number;
  /** Bytes of a download that may wait for a slow caller. */
  readonly downloadBytesWaiting: number;
  /** How often health asks for the leader, and after which time without one it says NOT_SERVING: milliseconds. */
  readonly healthPollMs: number;
  readonly leaderlessMs: number;
  /** HTTP/2 keepalive: a ping after this silence, and how long its answer may take, milliseconds. */
  readonly keepaliveMs: number;
  readonly keepaliveTimeoutMs: number;
  /** How long before a caller's deadline a call is given up, so that the answer still arrives, milliseconds. */
  readonly deadlineMarginMs: number;
}

export const DEFAULT_API_LIMITS: ApiLimits = {
  messageBytesMax: 4 << 20,
  jobsPerCallMax: 10_000,
  submitFramesInFlightMax: 256,
  submitBytesInFlightMax: 8 << 20,
  assignmentsWaitingMax: 256,
  serveFrameBytes: 1 << 20,
  slowReaderMs: 30_000,
  heartbeatMs: 5_000,
  followBytesMax: 1 << 20,
  pageBytes: 1 << 20,
  listBudget: 10_000,
  connectionsMax: 50_000,
  newcomersMax: 1_024,
  newcomerMs: 5_000,
  streamsPerConnectionMax: 1_000,
  slowWriterMs: 60_000,
  downloadBytesWaiting: 512 << 10,
  healthPollMs: 1_000,
  leaderlessMs: 3_000,
  keepaliveMs: 30_000,
  keepaliveTimeoutMs: 10_000,
  deadlineMarginMs: 100,
};

/** Sizes of single fields, bytes of UTF-8; fixed, since they are part of the API. */
export const NAME_BYTES_MAX = 255;
export const METADATA_BYTES_MAX = 8 * 1024;
export const TEXT_BYTES_MAX = 4 * 1024;
export const UNIQUE_KEY_BYTES_MAX = 1024;

/** Bytes in one message of an upload or a download: what a blob's chunk holds, so that pieces need no copy on their way. */
export const PIECE_BYTES_MAX = 128 * 1024;

const SECOND = 1_000;
const DAY = 86_400_000;
export const DURATION_MS_MAX = 365 * DAY;
export const DELAY_MS_MAX = 3_650 * DAY;
export const LEASE_MS_MIN = SECOND;
export const LEASE_MS_MAX = DAY;
export const LEASE_MS_DEFAULT = 60 * SECOND;
export const LEASE_WAIT_MS_MAX = 300 * SECOND;
export const LEASES_MAX = 1_000;
export const HEARTBEAT_MS_MIN = SECOND;
export const HEARTBEAT_MS_MAX = 600 * SECOND;
/** A job that somebody follows is kept at least this long after its end, so that the follower finds its result. */
export const FOLLOWED_RETENTION_MS_MIN = 10 * SECOND;
export const JOBS_PAGE_DEFAULT = 100;
export const JOBS_PAGE_MAX = 1_000;
export const SCHEDULES_PAGE_DEFAULT = 100;
export const SCHEDULES_PAGE_MAX = 1_000;
export const QUEUES_PAGE_DEFAULT = 1_000;
export const QUEUES_PAGE_MAX = 10_000;
export const WATCHED_FUNCTIONS_MAX = 1_000;
