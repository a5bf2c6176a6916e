import {
  type Deadline,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import type { Timer } from '../base/clock.js';
import { GearmeshError } from '../core/errors.js';
import type { Deps } from './deps.js';
import { type CallStatus, toCallStatus } from './errors.js';

/** Stands for a message that could not be decoded, so that the caller is answered in our own words. */
export class Malformed {
  readonly error: GearmeshError;

  constructor(why: string) {
    this.error = new GearmeshError('INVALID_FIELD', {
      message: `the message cannot be decoded: ${why}`,
      violations: [{ field: '', description: why }],
    });
  }
}

interface AnyCall {
  getDeadline(): Deadline;
  once(event: string, fn: () => void): unknown;
}

export function shuttingDown(): GearmeshError {
  return new GearmeshError('SHUTTING_DOWN');
}

/** One call: its cancellation, its deadline, and how it ended. */
export class Call {
  readonly method: string;
  readonly #deps: Deps;
  readonly #deadline: number;
  readonly #abort = new AbortController();
  #timer: Timer | null = null;
  #over = false;
  #late = false;
  #atEnd: (() => void)[] = [];

  constructor(deps: Deps, method: string, call: AnyCall) {
    this.method = method;
    this.#deps = deps;
    this.#deadline = Number(call.getDeadline());
    if (Number.isFinite(this.#deadline)) this.#setTimer();
    call.once('cancelled', () => this.#cancelled());
  }

  /** Aborted when the caller went away, or so shortly before its deadline that an answer still arrives. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get over(): boolean {
    return this.#over;
  }

  /** Calls `fn` once when the call is over, however it ended. */
  onOver(fn: () => void): void {
    if (this.#over) fn();
    else this.#atEnd.push(fn);
  }

  /** The call has its final status; true the first time. */
  finish(code: status): boolean {
    if (this.#over) return false;
    this.#over = true;
    this.#timer?.cancel();
    this.#deps.metrics?.rpc(this.method, status[code] ?? String(code));
    for (const fn of this.#atEnd.splice(0)) fn();
    return true;
  }

  /** How this error is told to the caller. */
  explain(error: unknown): CallStatus {
    const late = this.#late && error instanceof GearmeshError && error.code === 'CANCELLED';
    const made = toCallStatus(error, late ? status.DEADLINE_EXCEEDED : undefined);
    this.#deps.metrics?.error(made.reason);
    if (made.code === status.INTERNAL) {
      this.#deps.log.error({ method: this.method, err: error }, 'a call failed by a defect');
    }
    return made;
  }

  #setTimer(): void {
    const left = this.#deadline - this.#deps.clock.wallMs();
    const margin = Math.min(this.#deps.limits.deadlineMarginMs, left / 10);
    this.#timer = this.#deps.clock.setTimer(Math.max(0, left - margin), () => {
      this.#late = true;
      this.#abort.abort();
    });
  }

  #cancelled(): void {
    if (this.finish(this.#late ? status.DEADLINE_EXCEEDED : status.CANCELLED)) this.#abort.abort();
  }
}

export type Encode<A> = (answer: A) => Buffer;
export type UnaryHandler<Q, A> = (deps: Deps, request: Q, call: Call) => A | Promise<A>;

/** One request, one answer. The answer is encoded at once: what it holds may be views valid in this turn only. */
export function serveUnary<Q, A>(
  deps: Deps,
  method: string,
  encode: Encode<A>,
  handler: UnaryHandler<Q, A>,
): (call: ServerUnaryCall<Q | Malformed, Buffer>, answer: sendUnaryData<Buffer>) => void {
  return (grpc, answer) => {
    const call = new Call(deps, method, grpc);
    const run = async (): Promise<void> => {
      try {
        if (deps.draining.aborted) throw shuttingDown();
        if (grpc.request instanceof Malformed) throw grpc.request.error;
        const bytes = encode(await handler(deps, grpc.request, call));
        if (call.finish(status.OK)) answer(null, bytes);
      } catch (error) {
        const made = call.explain(error);
        if (call.finish(made.code)) answer(made);
      }
    };
    void run();
  };
}

/** What a handler may do with a stream of answers. */
export class Outlet<A> extends Call {
  readonly #grpc: ServerWritableStream<unknown, Buffer> | ServerDuplexStream<unknown, Buffer>;
  readonly #encode: Encode<A>;
  #waiting = 0;
  #roomWaits: (() => void) | null = null;

  constructor(
    deps: Deps,
    method: string,
    encode: Encode<A>,
    grpc: ServerWritableStream<unknown, Buffer> | ServerDuplexStream<unknown, Buffer>,
  ) {
    super(deps, method, grpc);
    this.#grpc = grpc;
    this.#encode = encode;
  }

  /** Bytes that wait because the caller reads slowly. */
  get waitingBytes(): number {
    return this.#waiting;
  }

  /** Encodes and sends; false: better wait for `onDrain`. */
  send(message: A): boolean {
    return this.sendBytes(this.#encode(message));
  }

  sendBytes(bytes: Buffer): boolean {
    if (this.over) return true;
    this.#waiting += bytes.length;
    return this.#grpc.write(bytes, () => {
      this.#waiting -= bytes.length;
      this.#roomWaits?.();
    });
  }

  /** Resolves when no more than so many bytes wait, or when the call is over. Only one at a time may ask. */
  room(bytes: number): Promise<void> {
    const there = (): boolean => this.over || this.#waiting <= bytes;
    if (there()) return Promise.resolve();
    return new Promise((resolve) => {
      const look = (): void => {
        if (!there()) return;
        this.#roomWaits = null;
        resolve();
      };
      this.#roomWaits = look;
      this.onOver(look);
    });
  }

  onDrain(fn: () => void): void {
    this.#grpc.on('drain', fn);
  }

  end(): void {
    if (this.finish(status.OK)) this.#grpc.end();
  }

  fail(error: unknown): void {
    const made = this.explain(error);
    if (this.finish(made.code)) this.#grpc.emit('error', made);
  }
}

export type StreamHandler<Q, A> = (deps: Deps, request: Q, out: Outlet<A>) => void | Promise<void>;

/** One request, many answers. The handler ends the stream itself; what it throws ends it too. */
export function serveStream<Q, A>(
  deps: Deps,
  method: string,
  encode: Encode<A>,
  handler: StreamHandler<Q, A>,
): (call: ServerWritableStream<Q | Malformed, Buffer>) => void {
  return (grpc) => {
    const out = new Outlet<A>(deps, method, encode, grpc);
    const run = async (): Promise<void> => {
      try {
        if (deps.draining.aborted) throw shuttingDown();
        if (grpc.request instanceof Malformed) throw grpc.request.error;
        await handler(deps, grpc.request, out);
      } catch (error) {
        out.fail(error);
      }
    };
    void run();
  };
}

/** Both directions of a stream. */
export class Duplex<Q, A> extends Outlet<A> {
  readonly #grpc: ServerDuplexStream<Q | Malformed, Buffer>;

  constructor(
    deps: Deps,
    method: string,
    encode: Encode<A>,
    grpc: ServerDuplexStream<Q | Malformed, Buffer>,
  ) {
    super(deps, method, encode, grpc);
    this.#grpc = grpc;
  }

  /** Begins to read. What `onMessage` throws, and messages that cannot be decoded, end the call. */
  listen(onMessage: (message: Q) => void, onEnd: () => void): void {
    this.#grpc.on('data', (message: Q | Malformed) => {
      if (this.over) return;
      try {
        if (message instanceof Malformed) throw message.error;
        onMessage(message);
      } catch (error) {
        this.fail(error);
      }
    });
    this.#grpc.on('end', () => {
      if (!this.over) onEnd();
    });
  }

  pause(): void {
    this.#grpc.pause();
  }

  resume(): void {
    this.#grpc.resume();
  }
}

export type DuplexHandler<Q, A> = (deps: Deps, duplex: Duplex<Q, A>) => void;

export function serveDuplex<Q, A>(
  deps: Deps,
  method: string,
  encode: Encode<A>,
  handler: DuplexHandler<Q, A>,
): (call: ServerDuplexStream<Q | Malformed, Buffer>) => void {
  return (grpc) => {
    const duplex = new Duplex<Q, A>(deps, method, encode, grpc);
    if (deps.draining.aborted) duplex.fail(shuttingDown());
    else handler(deps, duplex);
  };
}

/** Requests of a call that has one answer. */
export class Inlet<Q> extends Call {
  readonly #grpc: ServerReadableStream<Q | Malformed, Buffer>;

  constructor(deps: Deps, method: string, grpc: ServerReadableStream<Q | Malformed, Buffer>) {
    super(deps, method, grpc);
    this.#grpc = grpc;
  }

  /**
   * Hands over one message after the other, none before `take` is done with the one before. Resolves when all were
   * taken; rejects with what `take` rejects with, when the caller went away, and with `failed`.
   */
  each(take: (message: Q) => Promise<void>, failed: Promise<never>): Promise<void> {
    const grpc = this.#grpc;
    return new Promise((resolve, reject) => {
      this.signal.addEventListener('abort', () => reject(new GearmeshError('CANCELLED')), { once: true });
      failed.catch(reject);
      grpc.on('data', (message: Q | Malformed) => {
        grpc.pause();
        const taken = message instanceof Malformed ? Promise.reject(message.error) : take(message);
        taken.then(() => grpc.resume(), reject);
      });
      grpc.on('end', resolve);
    });
  }
}

export type ClientStreamHandler<Q, A> = (deps: Deps, inlet: Inlet<Q>) => Promise<A>;

/** Many requests, one answer, which may come before the last request: then the rest is not read. */
export function serveClientStream<Q, A>(
  deps: Deps,
  method: string,
  encode: Encode<A>,
  handler: ClientStreamHandler<Q, A>,
): (call: ServerReadableStream<Q | Malformed, Buffer>, answer: sendUnaryData<Buffer>) => void {
  return (grpc, answer) => {
    const inlet = new Inlet<Q>(deps, method, grpc);
    const run = async (): Promise<void> => {
      try {
        if (deps.draining.aborted) throw shuttingDown();
        const bytes = encode(await handler(deps, inlet));
        if (inlet.finish(status.OK)) answer(null, bytes);
      } catch (error) {
        const made = inlet.explain(error);
        if (inlet.finish(made.code)) answer(made);
      }
    };
    void run();
  };
}
