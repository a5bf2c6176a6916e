/** One connection that submits to a peer. What it is refused is thrown: it ends the process, and with it the run. */
export interface Producer {
  /** Submits one job by the call for one job; `accepted` is called once the server has promised to keep it. */
  submit(payload: Buffer, accepted: () => void): void;
  /** Submits so many in one go; `accepted` is called once all of them are. */
  submitMany(payload: Buffer, count: number, accepted: () => void): void;
  close(): Promise<void>;
}

/** One connection that works. */
export interface Consumer {
  /** Resolves once the server knows of all that was completed; takes no more jobs. */
  settle(): Promise<void>;
  close(): Promise<void>;
}

/** What a worker is told of a job. */
export interface Heard {
  /** Its handler is called. */
  started(): void;
  /** It is completed, as far as the client can know. */
  done(): void;
}

/** How to speak to one kind of peer. */
export interface Driver {
  producer(address: string, queue: Queue): Promise<Producer>;
  /** Holds up to `credits` jobs at once. */
  consumer(address: string, queue: Queue, credits: number, heard: Heard): Promise<Consumer>;
}

/** Of every job, bytes. */
export const PAYLOAD_BYTES = 100;
/** Queue, function, tube or subject: that of the loads, and that of the jobs whose start is waited for beside them. */
export const QUEUES = ['bench', 'probe'] as const;
export type Queue = (typeof QUEUES)[number];
