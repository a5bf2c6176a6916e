export interface GearmanLimits {
  /** Connections at once; more are closed as they come. */
  readonly connectionsMax: number;
  /** Bytes of one text command. */
  readonly lineBytesMax: number;
  /** Requests of one connection that wait for their answer; more are not read meanwhile. */
  readonly answersWaitingMax: number;
  /** Submissions of one connection that wait for a large payload before them; more are not read meanwhile. */
  readonly submissionsHeldMax: number;
  /** A connection with so many bytes unsent is not read meanwhile. */
  readonly outBytesPause: number;
  /** A connection with so many bytes unsent is closed: it follows jobs and does not read. */
  readonly outBytesMax: number;
  /** A connection that does not read at all for so long, while something is there for it, is closed: milliseconds. */
  readonly slowReaderMs: number;
  /** A connection that sends nothing for so long in the middle of a large packet is closed: milliseconds. */
  readonly slowWriterMs: number;
  /** Where no more uploads are taken, one that has sent nothing for so long ends for a new one: milliseconds. */
  readonly idleUploadMs: number;
  /** How long a submission or a cancel waits for a leader, milliseconds. */
  readonly submitWaitMs: number;
  /** How long a question waits for a leader, milliseconds. */
  readonly readWaitMs: number;
  /** How long a GRAB_JOB waits for its answer: some workers drop the connection after 500 ms. */
  readonly grabAnswerMs: number;
  /** How long a job is kept for a worker that was woken or has just finished another, milliseconds. */
  readonly reserveMs: number;
  /** Lines of `show jobs` and `show unique jobs`. */
  readonly showJobsMax: number;
}

export const DEFAULT_GEARMAN_LIMITS: GearmanLimits = {
  connectionsMax: 50_000,
  lineBytesMax: 8 << 10,
  answersWaitingMax: 1_024,
  submissionsHeldMax: 64,
  outBytesPause: 1 << 20,
  outBytesMax: 16 << 20,
  slowReaderMs: 30_000,
  slowWriterMs: 60_000,
  idleUploadMs: 1_000,
  submitWaitMs: 10_000,
  readWaitMs: 5_000,
  grabAnswerMs: 400,
  reserveMs: 200,
  showJobsMax: 100_000,
};

/** Bytes; part of what clients may rely on. */
export const FUNCTION_BYTES_MAX = 255;
export const UNIQUE_BYTES_MAX = 64;
export const CLIENT_ID_BYTES_MAX = 255;
/** What a packet may have beside its payload: names, numbers, handles. */
export const ARGUMENTS_BYTES_MAX = 2_048;
/** Text of a warning, which travels as the message of the job's progress; what is beyond is cut off. */
export const WARNING_BYTES_MAX = 4_096;
/** A job that somebody waits for is kept at least so long after its end. */
export const FOLLOWED_RETENTION_MS_MIN = 10_000;
export const NAMESPACE = 'default';
/** What a worker without an id is called in the cluster, before its address. */
export const UNNAMED = 'gearman-';
