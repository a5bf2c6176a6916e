/** A scripted node: a real gRPC server whose every answer the test gives. */
import { createHash } from 'node:crypto';
import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
  type UntypedHandleCall,
} from '@grpc/grpc-js';
import { ClusterServiceService } from '../../../proto/gen/gearmesh/v1/cluster.js';
import { JobState } from '../../../proto/gen/gearmesh/v1/common.js';
import {
  Disposition,
  JobEvent,
  JobServiceService,
  type RunJobRequest,
  type SubmitFrame,
  type SubmitFrameResult,
  type SubmitResult,
  type WatchJobRequest,
} from '../../../proto/gen/gearmesh/v1/job.js';
import {
  type DownloadPayloadRequest,
  DownloadPayloadResponse,
  PayloadServiceService,
  type UploadPayloadRequest,
  type UploadPayloadResponse,
} from '../../../proto/gen/gearmesh/v1/payloads.js';
import { QueueServiceService } from '../../../proto/gen/gearmesh/v1/queue.js';
import { ScheduleServiceService } from '../../../proto/gen/gearmesh/v1/schedule.js';
import {
  type ServeFrame,
  WorkerServiceService,
  type WorkFrame,
} from '../../../proto/gen/gearmesh/v1/worker.js';
import { BadRequest, ErrorInfo, RetryInfo } from '../../../proto/gen/google/rpc/error_details.js';
import { Status } from '../../../proto/gen/google/rpc/status.js';

/** What comes in is awaited in order. */
class Inbox<T> {
  readonly #items: T[] = [];
  readonly #waiting: ((item: T) => void)[] = [];

  push(item: T): void {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#items.push(item);
    else waiting(item);
  }

  next(): Promise<T> {
    const item = this.#items.shift();
    if (item !== undefined) return Promise.resolve(item);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  get size(): number {
    return this.#items.length;
  }
}

/** One bidi stream that a client opened. */
export class FakeStream<Q, R> {
  readonly frames = new Inbox<Q>();
  readonly ended: Promise<void>;
  readonly #call: ServerDuplexStream<Q, R>;

  constructor(call: ServerDuplexStream<Q, R>) {
    this.#call = call;
    call.on('data', (frame: Q) => this.frames.push(frame));
    call.on('error', () => {});
    this.ended = new Promise((resolve) => {
      call.on('end', resolve);
      call.on('cancelled', () => resolve());
    });
  }

  send(frame: R): void {
    this.#call.write(frame);
  }

  end(): void {
    this.#call.end();
  }

  fail(error: Status): void {
    this.#call.emit('error', toServiceError(error));
  }
}

export interface Followed<Q, A = JobEvent> {
  readonly request: Q;
  readonly send: (event: Partial<A>) => void;
  readonly fail: (error: Status) => void;
  readonly end: () => void;
  readonly cancelled: Promise<void>;
}

/** One upload, as the node sees it: the test answers when it likes. */
export class Upload {
  readonly parts: Uint8Array[] = [];
  /** As the first message said. */
  size = 0;
  /** Resolves with all bytes when the client has sent the last. */
  readonly whole: Promise<Buffer>;
  readonly cancelled: Promise<void>;
  /** Takes nothing more. */
  readonly pause: () => void;
  readonly #answer: sendUnaryData<UploadPayloadResponse>;
  #came = 0;
  #waits: { readonly bytes: number; readonly resolve: () => void }[] = [];

  constructor(
    call: ServerReadableStream<UploadPayloadRequest, UploadPayloadResponse>,
    answer: sendUnaryData<UploadPayloadResponse>,
  ) {
    this.#answer = answer;
    this.pause = () => call.pause();
    call.on('data', ({ size, data }: UploadPayloadRequest) => {
      if (this.parts.length === 0) this.size = size;
      this.parts.push(data);
      this.#came += data.length;
      this.#waits = this.#waits.filter(({ bytes, resolve }) => {
        if (this.#came >= bytes) resolve();
        return this.#came < bytes;
      });
    });
    call.on('error', () => {});
    this.whole = new Promise((resolve) => call.on('end', () => resolve(Buffer.concat(this.parts))));
    this.cancelled = new Promise((resolve) => call.on('cancelled', () => resolve()));
  }

  /** Resolves when so many bytes came. */
  has(bytes: number): Promise<void> {
    if (this.#came >= bytes) return Promise.resolve();
    return new Promise((resolve) => this.#waits.push({ bytes, resolve }));
  }

  /** Takes all of it; resolves with the blob that the client is told, and the bytes. */
  async take(id = 'a'.repeat(32)) {
    const bytes = await this.whole;
    const blob = { id, size: bytes.length, sha256: createHash('sha256').update(bytes).digest() };
    this.#answer(null, { blob });
    return { blob, bytes };
  }

  fail(error: Status): void {
    this.#answer(toServiceError(error));
  }
}

type Handler = (request: never) => unknown;

export class FakeNode {
  readonly submits = new Inbox<FakeStream<SubmitFrame, SubmitFrameResult>>();
  readonly runs = new Inbox<Followed<RunJobRequest>>();
  readonly watches = new Inbox<Followed<WatchJobRequest>>();
  readonly works = new Inbox<FakeStream<WorkFrame, ServeFrame>>();
  readonly uploads = new Inbox<Upload>();
  readonly downloads = new Inbox<Followed<DownloadPayloadRequest, DownloadPayloadResponse>>();
  /** Answers of plain calls by method, e.g. `getJob`; a handler throws a Status to refuse. */
  readonly unary = new Map<string, Handler>();
  readonly calls: string[] = [];
  #server: Server;
  #port = 0;

  private constructor() {
    this.#server = new Server();
  }

  static async start(): Promise<FakeNode> {
    const node = new FakeNode();
    await node.#listen();
    return node;
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** All connections break, and new ones are refused. */
  kill(): void {
    this.#server.forceShutdown();
  }

  /** On the same port again. */
  async restart(): Promise<void> {
    this.#server = new Server();
    await this.#listen();
  }

  async #listen(): Promise<void> {
    const server = this.#server;
    const methods: Record<string, UntypedHandleCall> = {
      submitStream: ((call: ServerDuplexStream<SubmitFrame, SubmitFrameResult>) =>
        this.submits.push(new FakeStream(call))) as UntypedHandleCall,
      runJob: follow(this.runs, (event) => JobEvent.fromPartial(event)),
      watchJob: follow(this.watches, (event) => JobEvent.fromPartial(event)),
      downloadPayload: follow(this.downloads, (piece) => DownloadPayloadResponse.fromPartial(piece)),
      uploadPayload: ((
        call: ServerReadableStream<UploadPayloadRequest, UploadPayloadResponse>,
        answer: sendUnaryData<UploadPayloadResponse>,
      ) => this.uploads.push(new Upload(call, answer))) as UntypedHandleCall,
      work: ((call: ServerDuplexStream<WorkFrame, ServeFrame>) =>
        this.works.push(new FakeStream(call))) as UntypedHandleCall,
    };
    const services = [
      JobServiceService,
      QueueServiceService,
      ScheduleServiceService,
      WorkerServiceService,
      PayloadServiceService,
      ClusterServiceService,
    ];
    for (const service of services) {
      const handlers: Record<string, UntypedHandleCall> = {};
      for (const name of Object.keys(service)) handlers[name] = methods[name] ?? this.#plain(name);
      server.addService(service, handlers);
    }
    this.#port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(`127.0.0.1:${this.#port}`, ServerCredentials.createInsecure(), (error, port) =>
        error === null ? resolve(port) : reject(error),
      );
    });
  }

  #plain(name: string): UntypedHandleCall {
    return ((call: ServerUnaryCall<unknown, unknown>, answer: sendUnaryData<unknown>) => {
      this.calls.push(name);
      const handler = this.unary.get(name);
      if (handler === undefined) return; // never answers
      try {
        answer(null, handler(call.request as never));
      } catch (error) {
        answer(toServiceError(error as Status));
      }
    }) as UntypedHandleCall;
  }
}

function follow<Q, A>(inbox: Inbox<Followed<Q, A>>, make: (answer: Partial<A>) => A): UntypedHandleCall {
  return ((call: ServerWritableStream<Q, A>) => {
    call.on('error', () => {});
    inbox.push({
      request: call.request,
      send: (event) => call.write(make(event)),
      fail: (error) => call.emit('error', toServiceError(error)),
      end: () => call.end(),
      cancelled: new Promise((resolve) => call.on('cancelled', () => resolve())),
    });
  }) as UntypedHandleCall;
}

/** A refusal as servers make it. */
export function refusal(
  code: status,
  reason: string,
  o: {
    message?: string;
    metadata?: Record<string, string>;
    fields?: Record<string, string>;
    retryAfterMs?: number;
  } = {},
): Status {
  const details = [
    {
      typeUrl: 'type.googleapis.com/google.rpc.ErrorInfo',
      value: ErrorInfo.encode({ reason, domain: 'gearmesh', metadata: o.metadata ?? {} }).finish(),
    },
  ];
  if (o.fields !== undefined) {
    const fieldViolations = Object.entries(o.fields).map(([field, description]) => ({ field, description }));
    details.push({
      typeUrl: 'type.googleapis.com/google.rpc.BadRequest',
      value: BadRequest.encode(BadRequest.fromPartial({ fieldViolations })).finish(),
    });
  }
  if (o.retryAfterMs !== undefined) {
    const retryDelay = { seconds: 0, nanos: o.retryAfterMs * 1e6 };
    details.push({
      typeUrl: 'type.googleapis.com/google.rpc.RetryInfo',
      value: RetryInfo.encode({ retryDelay }).finish(),
    });
  }
  return { code, message: o.message ?? reason, details };
}

export const noLeader = (): Status =>
  refusal(status.UNAVAILABLE, 'NO_LEADER', { metadata: { outcome: 'NOT_APPLIED' } });

function toServiceError(error: Status): Error & { code: number; details: string; metadata: Metadata } {
  const metadata = new Metadata();
  metadata.set('grpc-status-details-bin', Buffer.from(Status.encode(error).finish()));
  return Object.assign(new Error(error.message), { code: error.code, details: error.message, metadata });
}

export function created(jobId: string, more: Partial<SubmitResult> = {}): SubmitResult {
  return {
    jobId,
    disposition: Disposition.CREATED,
    state: JobState.QUEUED,
    revision: 'r1',
    serverTime: undefined,
    error: undefined,
    ...more,
  };
}

/** The answer that accepts every job of a frame. */
export function accepted(frame: SubmitFrame, more: Partial<SubmitFrameResult> = {}): SubmitFrameResult {
  return {
    frameId: frame.frameId,
    results: frame.jobs.map((job) => created(job.id)),
    serverTime: undefined,
    error: undefined,
    ...more,
  };
}
