import type { ClientDuplexStream, Client as GrpcClient } from '@grpc/grpc-js';
import {
  type ServeFrame,
  type Welcome,
  WorkerServiceService,
  type WorkFrame,
} from '../../proto/gen/gearmesh/v1/worker.js';
import { duplex } from '../client/calls.js';
import { fromDuration } from '../client/convert.js';
import { GearmeshError } from '../client/errors.js';
import { type CallStatus, errorOfCall } from '../client/status.js';
import { emptyFrame } from './outbox.js';

/** A node that does not welcome within this time is left for another. */
const WELCOME_MS_MAX = 5_000;
/** Silent intervals after which the stream is broken. */
const SILENT_INTERVALS = 3;
const HEARTBEAT_MS = 5_000;

export interface StreamEvents {
  welcome(welcome: Welcome): void;
  /** Also for the frame with the welcome, after it. */
  frame(frame: ServeFrame): void;
  /** More may be sent. */
  drain(): void;
  /** Once, and nothing after it. Null: the node ended the stream in peace. */
  over(error: GearmeshError | null): void;
}

/**
 * One Work stream, with heartbeats both ways.
 *
 *   greeting --welcome--> open --end, error, silence, or `leave`--> over
 */
export class WorkStream {
  readonly #call: ClientDuplexStream<WorkFrame, ServeFrame>;
  readonly #events: StreamEvents;
  #over = false;
  #blocked = false;
  #heardAt = performance.now();
  #sent = false;
  #timer: NodeJS.Timeout;

  constructor(client: GrpcClient, hello: WorkFrame, events: StreamEvents) {
    this.#events = events;
    const call = duplex(client, WorkerServiceService.work);
    this.#call = call;
    this.#timer = setTimeout(() => this.#silent('no welcome'), WELCOME_MS_MAX);
    call.on('data', (frame: ServeFrame) => {
      if (this.#over) return;
      this.#heardAt = performance.now();
      if (frame.welcome !== undefined) {
        this.#beat(fromDuration(frame.welcome.heartbeatInterval) || HEARTBEAT_MS);
        events.welcome(frame.welcome);
      }
      if (!this.#over) events.frame(frame);
    });
    call.on('drain', () => {
      this.#blocked = false;
      if (!this.#over) events.drain();
    });
    call.on('error', () => {}); // 'status' says the same and comes always
    call.on('status', (status: CallStatus) => this.#end(status.code === 0 ? null : errorOfCall(status)));
    this.send(hello);
  }

  get blocked(): boolean {
    return this.#blocked;
  }

  /** When the node was last heard of, by `performance.now()`. */
  get heardAt(): number {
    return this.#heardAt;
  }

  send(frame: WorkFrame): void {
    if (this.#over) return;
    this.#sent = true;
    this.#blocked = !this.#call.write(frame);
  }

  /** Ends our side: what was sent is delivered, and `over` is told now. */
  leave(error: GearmeshError | null): void {
    if (this.#over) return;
    this.#call.end();
    this.#end(error);
  }

  #beat(everyMs: number): void {
    clearTimeout(this.#timer);
    // Sooner than said, so that a late timer does not make us late.
    this.#timer = setInterval(() => {
      if (!this.#sent) this.send(emptyFrame());
      this.#sent = false;
      if (performance.now() - this.#heardAt > SILENT_INTERVALS * everyMs) this.#silent('the node is silent');
    }, everyMs / 2);
  }

  #silent(why: string): void {
    this.#call.cancel();
    this.#end(new GearmeshError('UNAVAILABLE', 'CONNECTION_LOST', why, { outcome: 'UNKNOWN' }));
  }

  #end(error: GearmeshError | null): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    this.#events.over(error);
  }
}
