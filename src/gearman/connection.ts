import type { Socket } from 'node:net';
import type { Timer } from '../base/clock.js';
import { gearmanHandle } from '../base/gearman-handle.js';
import { GearmeshError } from '../core/errors.js';
import { admin, errorOf } from './admin.js';
import { Answers } from './answers.js';
import { Decoder, type DecoderEvents, type LargeBody } from './decoder.js';
import { type Deps, within } from './deps.js';
import { errorPacket, type WireError, wireError } from './errors.js';
import { Follower } from './follow.js';
import { Gathered, type Place } from './gathered.js';
import { isLarge, isStored, type LargePort, largeBody } from './large.js';
import { ARGUMENTS_BYTES_MAX, NAMESPACE } from './limits.js';
import { type Outgoing, OutQueue } from './out-queue.js';
import { argumentsOf, nameOf, response, TYPE } from './packets.js';
import { argumentCount, FORMS, type Form, jobSpec, scheduleSpec } from './submissions.js';
import { REQUESTS, type Requester } from './table.js';
import { Upload } from './upload.js';
import { GearmanWorker, type WorkerPort } from './worker.js';

/** What the listener wants to know of a connection. */
export interface ConnectionEvents {
  closed(connection: Connection): void;
}

/** One connection: client, worker and administrator in one, as it likes. */
export class Connection implements DecoderEvents, Requester, WorkerPort, LargePort {
  readonly number: number;
  readonly address: string;
  readonly deps: Deps;
  readonly answers: Answers;
  clientId = '';
  exceptions = false;
  readonly #socket: Socket;
  readonly #events: ConnectionEvents;
  readonly #decoder: Decoder;
  readonly #out: OutQueue;
  readonly #uploads = new Set<Upload>();
  readonly #watches = new Set<{ close(): void }>();
  #worker: GearmanWorker | null = null;
  readonly #gathered = new Gathered();
  #paused = false;
  #slow: Timer | null = null;
  #over = false;

  constructor(deps: Deps, socket: Socket, number: number, events: ConnectionEvents) {
    this.deps = deps;
    this.number = number;
    this.address = socket.remoteAddress ?? '-';
    this.#socket = socket;
    this.#events = events;
    this.#out = new OutQueue(socket, {
      clock: deps.clock,
      writes: deps.writes,
      slowReaderMs: deps.limits.slowReaderMs,
      read: (blob, signal) => deps.api.readBlob(blob, 0, { signal }),
      failed: (why) => this.#cut(why),
      moved: () => this.#pace(),
    });
    this.answers = new Answers(
      (out) => this.send(out),
      () => this.#pace(),
    );
    this.#decoder = new Decoder(this, {
      lineBytesMax: deps.limits.lineBytesMax,
      bodyBytesMax: deps.api.settings().payloadBytesMax + ARGUMENTS_BYTES_MAX,
      argumentsBytesMax: ARGUMENTS_BYTES_MAX,
    });
    socket.on('data', (bytes: Buffer) => this.#read(bytes));
    socket.on('drain', () => this.#pace());
    socket.on('end', () => this.#ended());
    socket.on('error', () => {});
    socket.on('close', () => this.#closed());
  }

  get worker(): GearmanWorker {
    this.#worker ??= new GearmanWorker(this.deps, this);
    return this.#worker;
  }

  get session(): number {
    return this.#worker?.session ?? 0;
  }

  get functions(): Iterable<string> {
    return this.#worker?.functions ?? [];
  }

  // What the decoder finds.

  packet(type: number, body: Buffer): void {
    if (isLarge(type, body, this.deps.api.settings().payloadBytesMax)) {
      this.#whole(type, body);
      return;
    }
    this.deps.metrics?.gearmanPacket(nameOf(type));
    const form = FORMS.get(type);
    if (form !== undefined) {
      this.#submit(form, body);
      return;
    }
    if (type === TYPE.SUBMIT_JOB_SCHED) {
      this.#schedule(body);
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
        const code = errorOf(text);
        if (code !== null) this.deps.metrics?.gearmanError(code);
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

  large(type: number, size: number, head: Buffer): LargeBody | null {
    this.deps.metrics?.gearmanPacket(nameOf(type));
    return largeBody(this, type, size, head);
  }

  tooLarge(type: number, size: number, head: Buffer): void {
    const { blobBytesMax, payloadBytesMax } = this.deps.api.settings();
    const limit = isStored(type) ? blobBytesMax : payloadBytesMax;
    const what = isStored(type) ? 'a payload or result' : 'such a packet';
    this.refuse({
      code: 'ARGUMENT_TOO_LARGE',
      text: `${nameOf(type)} has ${size} bytes, the limit of ${what} is ${limit}`,
    });
    if (type !== TYPE.WORK_COMPLETE) return;
    const handle = argumentsOf(head, 2)?.[0]?.toString('latin1') ?? '';
    this.#worker?.tooLarge(handle, size, limit);
  }

  broken(why: string): void {
    this.refuse({ code: 'INVALID_PACKET', text: why });
    this.answers.inTurn(() => this.#finish());
  }

  // What requests and the worker use.

  send(out: Outgoing): void {
    if (this.#over || (out instanceof Uint8Array && out.length === 0)) return;
    this.#out.send(out);
    if (this.#out.waitingBytes > this.deps.limits.outBytesMax) this.close('it does not read');
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
    this.#worker?.readEnd();
    this.#sendGathered();
    this.#pace();
  }

  #submit(form: Form, body: Buffer): void {
    const answer = this.answers.next();
    const args = argumentsOf(body, argumentCount(form));
    if (args === null) {
      answer(this.#error({ code: 'INVALID_PACKET', text: 'arguments are missing' }));
      return;
    }
    const spec = jobSpec(this.deps, form, args, null);
    if ('code' in spec) answer(this.#error(spec));
    else this.#gathered.add(spec, answer);
  }

  /** A packet that is small enough to be kept, with a payload that is too large for the log. */
  #whole(type: number, body: Buffer): void {
    const head = body.subarray(0, ARGUMENTS_BYTES_MAX);
    const large = this.large(type, body.length, head);
    if (large === null) {
      this.tooLarge(type, body.length, head);
      return;
    }
    large.chunk(body.subarray(ARGUMENTS_BYTES_MAX));
    large.end();
  }

  upload(size: number): Upload {
    const upload = new Upload(this.deps, size, {
      paced: () => this.#pace(),
      silent: () =>
        this.#cut(`nothing came for ${this.deps.limits.slowWriterMs} ms in the middle of a packet`),
      over: () => this.#uploads.delete(upload),
    });
    this.#uploads.add(upload);
    return upload;
  }

  place(): Place {
    const answer = this.answers.next();
    const changed = (): void => {
      this.#sendGathered();
      this.#pace();
    };
    return this.#gathered.place(answer, changed, (error) => answer(this.#error(error)));
  }

  #sendGathered(): void {
    const gathered = this.#gathered.take();
    if (gathered.length === 0) return;
    const { api, clock, limits } = this.deps;
    const wait = within(clock, limits.submitWaitMs);
    const specs = gathered.map(({ spec }) => spec!);
    api.submit(NAMESPACE, specs, { allOrNothing: false, signal: wait.signal }).then(
      (results) => {
        wait.done();
        results.forEach(({ error, seq, jobId, revision, disposition }, i) => {
          const { answer, spec, upload } = gathered[i]!;
          // The payload of a job that coalesced is of no use; where nobody knows, the node finds out by itself.
          if (error === null ? disposition !== 'created' : error.outcome !== 'UNKNOWN') upload?.discard();
          if (error !== null) answer(this.#error(wireError(error)));
          else if (!spec!.foreground) answer(this.#created(seq));
          else answer(this.#created(seq), () => this.#follow(seq, jobId, revision));
        });
      },
      (error: unknown) => {
        wait.done();
        for (const { answer, upload } of gathered) {
          if (error instanceof GearmeshError && error.outcome !== 'UNKNOWN') upload?.discard();
          answer(this.#error(wireError(error)));
        }
      },
    );
  }

  /** A schedule has a handle as a job has, but nobody waits for it. */
  #schedule(body: Buffer): void {
    const answer = this.answers.next();
    const spec = scheduleSpec(this.deps, body);
    if ('code' in spec) {
      answer(this.#error(spec));
      return;
    }
    const { api, clock, limits } = this.deps;
    const wait = within(clock, limits.submitWaitMs);
    api
      .createSchedule(NAMESPACE, spec, { signal: wait.signal })
      .then(
        ({ seq }) => answer(this.#created(seq)),
        (error: unknown) => answer(this.#error(wireError(error))),
      )
      .finally(() => wait.done());
  }

  #created(seq: number): Buffer {
    return response(TYPE.JOB_CREATED, [gearmanHandle(this.deps.api.clusterName, seq)]);
  }

  /** What happens to the job reaches the client from here on, after its JOB_CREATED. */
  #follow(seq: number, jobId: string, minRevision: number): void {
    const { api } = this.deps;
    if (this.#over) {
      api.unwait(seq);
      return;
    }
    let closeWatch = (): void => {};
    let over = false;
    const watch = {
      close: (): void => {
        if (over) return;
        over = true;
        this.#watches.delete(watch);
        api.unwait(seq);
        closeWatch();
      },
    };
    this.#watches.add(watch);
    const connection = this;
    const follower = new Follower(api.clusterName, seq, {
      get exceptions() {
        return connection.exceptions;
      },
      send: (out) => this.send(out),
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
    // What is left of it is the timer that ends it.
    if (this.#over) return;
    const { limits, clock } = this.deps;
    const full =
      this.answers.waiting > limits.answersWaitingMax ||
      this.#out.waitingBytes > limits.outBytesPause ||
      this.#gathered.held > limits.submissionsHeldMax ||
      this.#storing();
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

  /** What was read last is not stored yet. */
  #storing(): boolean {
    if (this.#uploads.size === 0) return false;
    for (const upload of this.#uploads) if (upload.busy) return true;
    return false;
  }

  /** Half-open clients (`printf … | nc`) wait for what they asked, unless they left in the middle of a payload. */
  #ended(): void {
    for (const upload of this.#uploads) {
      if (!upload.open) continue;
      this.#finish();
      return;
    }
    this.answers.inTurn(() => this.#finish());
  }

  #finish(): void {
    if (this.#over) return;
    this.#out.end(() => {
      this.#socket.end();
      // Whoever does not read its last answer cannot hold the connection.
      this.#slow?.cancel();
      this.#slow = this.deps.clock.setTimer(this.deps.limits.slowReaderMs, () => this.#socket.destroy());
    });
    // Read on, so that the client's own end is noticed.
    this.#socket.resume();
    this.#leave();
  }

  /** Ends the connection where it is. */
  #cut(why: string): void {
    if (!this.#over) this.deps.log.info({ connection: this.number, why }, 'a Gearman connection is cut off');
    this.#socket.destroy();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #closed(): void {
    this.#slow?.cancel();
    this.#out.stop();
    this.#leave();
    this.#events.closed(this);
  }

  #leave(): void {
    if (this.#over) return;
    this.#over = true;
    for (const watch of [...this.#watches]) watch.close();
    for (const upload of [...this.#uploads]) upload.abort();
    this.#worker?.end();
  }
}
