import type { Socket } from 'node:net';
import type { Timer } from '../base/clock.js';
import { gearmanHandle } from '../base/gearman-handle.js';
import type { JobSpec } from '../core/types.js';
import { admin } from './admin.js';
import { Answers } from './answers.js';
import { Decoder, type DecoderEvents } from './decoder.js';
import { type Deps, within } from './deps.js';
import { errorPacket, type WireError, wireError } from './errors.js';
import { Follower } from './follow.js';
import { ARGUMENTS_BYTES_MAX, NAMESPACE } from './limits.js';
import { argumentsOf, nameOf, response, TYPE } from './packets.js';
import { FORMS, jobSpec } from './submissions.js';
import { REQUESTS, type Requester } from './table.js';
import { GearmanWorker, type WorkerPort } from './worker.js';

/** Submissions that came in one piece of the stream: one call. */
interface Gathered {
  readonly spec: JobSpec;
  readonly answer: ReturnType<Answers['next']>;
}

/** What the listener wants to know of a connection. */
export interface ConnectionEvents {
  closed(connection: Connection): void;
  /** A client begins (1) or ends (-1) to wait for the job. */
  waits(seq: number, change: 1 | -1): void;
}

/** One connection: client, worker and administrator in one, as it likes. */
export class Connection implements DecoderEvents, Requester, WorkerPort {
  readonly number: number;
  readonly address: string;
  readonly deps: Deps;
  readonly answers: Answers;
  clientId = '';
  exceptions = false;
  readonly #socket: Socket;
  readonly #events: ConnectionEvents;
  readonly #decoder: Decoder;
  readonly #watches = new Set<{ close(): void }>();
  #worker: GearmanWorker | null = null;
  #gathered: Gathered[] = [];
  #corked = false;
  #paused = false;
  #slow: Timer | null = null;
  #over = false;

  constructor(deps: Deps, socket: Socket, number: number, events: ConnectionEvents) {
    this.deps = deps;
    this.number = number;
    this.address = socket.remoteAddress ?? '-';
    this.#socket = socket;
    this.#events = events;
    this.answers = new Answers(
      (bytes) => this.send(bytes),
      () => this.#pace(),
    );
    this.#decoder = new Decoder(this, {
      lineBytesMax: deps.limits.lineBytesMax,
      bodyBytesMax: deps.api.settings().payloadBytesMax + ARGUMENTS_BYTES_MAX,
    });
    socket.on('data', (bytes: Buffer) => this.#read(bytes));
    socket.on('drain', () => this.#pace());
    // Half-open clients (`printf … | nc`) wait for what they asked.
    socket.on('end', () => this.answers.inTurn(() => this.#finish()));
    socket.on('error', () => {});
    socket.on('close', () => this.#closed());
  }

  get worker(): GearmanWorker {
    this.#worker ??= new GearmanWorker(this.deps, this);
    return this.#worker;
  }

  get functions(): Iterable<string> {
    return this.#worker?.functions ?? [];
  }

  // What the decoder finds.

  packet(type: number, body: Buffer): void {
    this.deps.metrics?.gearmanPacket(nameOf(type));
    const form = FORMS.get(type);
    if (form !== undefined) {
      this.#submit(form, body);
      return;
    }
    const request = REQUESTS.get(type);
    if (request === undefined) {
      this.refuse({ code: 'INVALID_COMMAND', text: `${nameOf(type)} is no request` });
      return;
    }
    const args = argumentsOf(body, request.args);
    if (args === null) this.refuse({ code: 'INVALID_PACKET', text: `${nameOf(type)} lacks arguments` });
    else request.handle(this, args);
  }

  text(line: string): void {
    this.deps.metrics?.gearmanPacket('text');
    this.answers.inTurn((answer) => {
      admin(this.deps, line).then((text) => {
        if (text.startsWith('ERR')) this.deps.metrics?.gearmanError(text.split(/\s/)[1] ?? '');
        answer(Buffer.from(text));
      });
    });
  }

  responseMagic(type: number): void {
    this.refuse({
      code: 'INVALID_MAGIC',
      text: `${nameOf(type)} came as an answer, a server takes requests`,
    });
  }

  tooLarge(type: number, size: number, head: Buffer): void {
    this.deps.metrics?.gearmanPacket(nameOf(type));
    const limit = this.deps.api.settings().payloadBytesMax;
    this.refuse({
      code: 'ARGUMENT_TOO_LARGE',
      text: `${nameOf(type)} has ${size} bytes, the limit of a payload or result is ${limit}`,
    });
    if (type !== TYPE.WORK_COMPLETE && type !== TYPE.WORK_EXCEPTION) return;
    const handle = argumentsOf(head, 2)?.[0]?.toString('latin1') ?? '';
    this.#worker?.tooLarge(handle, size, limit);
  }

  broken(why: string): void {
    this.refuse({ code: 'INVALID_PACKET', text: why });
    this.answers.inTurn(() => this.#finish());
  }

  // What requests and the worker use.

  send(bytes: Buffer): void {
    if (this.#over || bytes.length === 0) return;
    if (!this.#corked) {
      this.#corked = true;
      this.#socket.cork();
      this.deps.clock.defer(() => {
        this.#corked = false;
        this.#socket.uncork();
      });
    }
    this.#socket.write(bytes);
    if (this.#socket.writableLength > this.deps.limits.outBytesMax) this.close('it does not read');
    else if (!this.#paused) this.#pace();
  }

  /** An error in the place of an answer. */
  refuse(error: WireError): void {
    this.answers.next()(this.#error(error));
  }

  /** An error to something that has no answer else. */
  error(error: WireError): void {
    this.send(this.#error(error));
  }

  close(why: string): void {
    if (this.#over) return;
    this.deps.log.info({ connection: this.number, why }, 'a Gearman connection is closed');
    this.#finish();
  }

  lost(error: unknown): void {
    this.close(wireError(error).text);
  }

  #error(error: WireError): Buffer {
    this.deps.metrics?.gearmanError(error.code);
    return errorPacket(error);
  }

  #read(bytes: Buffer): void {
    if (this.#over) return;
    this.#decoder.push(bytes);
    this.#worker?.settleFunctions();
    this.#sendGathered();
    this.#pace();
  }

  #submit(form: NonNullable<ReturnType<typeof FORMS.get>>, body: Buffer): void {
    const answer = this.answers.next();
    const spec = jobSpec(this.deps, form, body);
    if ('code' in spec) answer(this.#error(spec));
    else this.#gathered.push({ spec, answer });
  }

  #sendGathered(): void {
    const gathered = this.#gathered;
    if (gathered.length === 0) return;
    this.#gathered = [];
    const { api, clock, limits } = this.deps;
    const wait = within(clock, limits.submitWaitMs);
    const specs = gathered.map(({ spec }) => spec);
    api.submit(NAMESPACE, specs, { allOrNothing: false, signal: wait.signal }).then(
      (results) => {
        wait.done();
        results.forEach(({ error, seq, jobId, revision }, i) => {
          const { answer, spec } = gathered[i]!;
          if (error !== null) answer(this.#error(wireError(error)));
          else if (!spec.foreground) answer(this.#created(seq));
          else answer(this.#created(seq), () => this.#follow(seq, jobId, revision));
        });
      },
      (error: unknown) => {
        wait.done();
        for (const { answer } of gathered) answer(this.#error(wireError(error)));
      },
    );
  }

  #created(seq: number): Buffer {
    return response(TYPE.JOB_CREATED, [gearmanHandle(this.deps.api.clusterName, seq)]);
  }

  /** What happens to the job reaches the client from here on, after its JOB_CREATED. */
  #follow(seq: number, jobId: string, minRevision: number): void {
    if (this.#over) return;
    const { api } = this.deps;
    let closeWatch = (): void => {};
    let over = false;
    const watch = {
      close: (): void => {
        if (over) return;
        over = true;
        this.#watches.delete(watch);
        this.#events.waits(seq, -1);
        closeWatch();
      },
    };
    this.#watches.add(watch);
    this.#events.waits(seq, 1);
    const connection = this;
    const follower = new Follower(api.clusterName, seq, {
      get exceptions() {
        return connection.exceptions;
      },
      send: (bytes) => this.send(bytes),
      over: () => watch.close(),
      lost: (error) => this.lost(error),
    });
    api.watchJob(NAMESPACE, jobId, follower, { consistency: 'eventual', minRevision }).then(
      (found) => {
        closeWatch = () => found.close();
        if (over) found.close();
      },
      (error: unknown) => {
        if (over) return;
        const { code } = wireError(error);
        if (code !== 'JOB_NOT_FOUND') this.lost(error);
        else {
          follower.fail();
          watch.close();
        }
      },
    );
  }

  /** Reads no more than can be answered and sent. */
  #pace(): void {
    const { limits, clock } = this.deps;
    const full =
      this.answers.waiting > limits.answersWaitingMax || this.#socket.writableLength > limits.outBytesPause;
    if (full === this.#paused) return;
    this.#paused = full;
    if (!full) {
      this.#slow?.cancel();
      this.#socket.resume();
      return;
    }
    this.#socket.pause();
    let written = this.#socket.bytesWritten;
    const look = (): void => {
      this.#slow = clock.setTimer(limits.slowReaderMs, () => {
        if (this.#over) return;
        const stuck = this.#socket.writableLength > 0 && this.#socket.bytesWritten === written;
        written = this.#socket.bytesWritten;
        if (stuck) this.#socket.destroy();
        else look();
      });
    };
    look();
  }

  #finish(): void {
    if (this.#over) return;
    this.#socket.end();
    // Read on, so that the client's own end is noticed.
    this.#socket.resume();
    // Whoever does not read its last answer cannot hold the connection.
    this.#slow?.cancel();
    this.#slow = this.deps.clock.setTimer(this.deps.limits.slowReaderMs, () => this.#socket.destroy());
    this.#leave();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #closed(): void {
    this.#slow?.cancel();
    this.#leave();
    this.#events.closed(this);
  }

  #leave(): void {
    if (this.#over) return;
    this.#over = true;
    for (const watch of [...this.#watches]) watch.close();
    this.#worker?.end();
  }
}
