import type { ServeFrame, WorkerHello, WorkFrame } from '../../proto/gen/gearmesh/v1/worker.js';
import type { Timer } from '../base/clock.js';
import { GearmeshError } from '../core/errors.js';
import type { OutcomeBySession, WorkerSession } from '../node/interface.js';
import { type Duplex, shuttingDown } from './call.js';
import type { Deps } from './deps.js';
import { toldStatus } from './errors.js';
import { HEARTBEAT_MS_MAX, HEARTBEAT_MS_MIN } from './limits.js';
import { ServeFrames } from './serve-frames.js';
import { toDuration, toTimestamp } from './time.js';
import { Checker } from './validate.js';
import { functionSpecs, leaseData, leaseProgress, outcome } from './validate-worker.js';
import { WorkPort } from './work-port.js';

/** A worker may miss so many heartbeats in a row. */
const HEARTBEATS_MISSED_MAX = 3;

/**
 * One Work stream.
 *
 *     hello ──▶ opening ──(session there)──▶ open ──(goodbye)──▶ leaving ──▶ over
 *                  └───────────┴──(stream broken, silent, or refused)──▶ over: the session is detached
 */
export function work(deps: Deps, duplex: Duplex<WorkFrame, ServeFrame>): void {
  if (deps.draining.aborted) duplex.fail(shuttingDown());
  else new WorkStream(deps, duplex).start();
}

class WorkStream {
  readonly #deps: Deps;
  readonly #duplex: Duplex<WorkFrame, ServeFrame>;
  readonly #port: WorkPort;
  readonly #checker = new Checker();
  #state: 'hello' | 'opening' | 'open' | 'leaving' | 'over' = 'hello';
  #session: WorkerSession | null = null;
  #heartbeat: Timer | null = null;
  #workerIntervalMs: number;
  #heardMs = 0;

  constructor(deps: Deps, duplex: Duplex<WorkFrame, ServeFrame>) {
    this.#deps = deps;
    this.#duplex = duplex;
    this.#port = new WorkPort(deps, duplex);
    this.#workerIntervalMs = deps.limits.heartbeatMs;
  }

  start(): void {
    this.#heard();
    this.#duplex.onOver(() => this.#over());
    this.#duplex.listen(
      (frame) => this.#frame(frame),
      () => this.#duplex.end(),
    );
    this.#tick();
  }

  #frame(frame: WorkFrame): void {
    this.#heard();
    if (this.#state === 'hello') {
      if (frame.hello === undefined) throw this.#refuse('hello', 'is required in the first frame');
      this.#open(frame.hello, frame);
      return;
    }
    if (frame.hello !== undefined) throw this.#refuse('hello', 'may only be in the first frame');
    if (this.#state === 'open') this.#parts(frame, this.#session!);
  }

  #refuse(field: string, description: string): GearmeshError {
    this.#checker.add(field, description);
    return this.#checker.take()!;
  }

  /** Opens or resumes the session; the stream is not read meanwhile. */
  #open(hello: WorkerHello, frame: WorkFrame): void {
    const opening = this.#ask(hello, frame.credit);
    this.#state = 'opening';
    this.#duplex.pause();
    opening.then(
      (session) => this.#opened(session, hello, frame),
      (error: unknown) => this.#duplex.fail(error),
    );
  }

  #ask(hello: WorkerHello, credit: number): Promise<WorkerSession> {
    const checker = this.#checker;
    checker.within('hello');
    checker.optionalName('sdk_name', hello.sdkName);
    checker.optionalName('sdk_version', hello.sdkVersion);
    const usual = this.#deps.limits.heartbeatMs;
    this.#workerIntervalMs = checker.duration(
      'heartbeat_interval',
      hello.heartbeatInterval,
      HEARTBEAT_MS_MIN,
      HEARTBEAT_MS_MAX,
      usual,
    );
    const resume = hello.resume;
    if (resume !== undefined) {
      checker.within('hello.resume');
      checker.token('session_id', resume.sessionId);
      checker.within('');
      checker.done();
      return this.#deps.api.attachSession(
        { session: resume.sessionId, secret: resume.secret, heldTokens: resume.heldTokens },
        this.#port,
      );
    }
    const namespace = checker.namespace('namespace', hello.namespace);
    const name = checker.name('worker_name', hello.workerName);
    const functions = functionSpecs(checker, 'hello.functions', hello.functions, this.#deps.api.settings());
    checker.done();
    return this.#deps.api.openSession(
      { namespace, name, functions, resumable: !hello.ephemeral, credit: this.#port.allow(credit) },
      this.#port,
    );
  }

  #opened(session: WorkerSession, hello: WorkerHello, frame: WorkFrame): void {
    this.#session = session;
    // The stream broke while the session was being opened.
    if (this.#duplex.over) {
      session.detach();
      return;
    }
    this.#state = 'open';
    const { api, limits } = this.#deps;
    const settings = api.settings();
    this.#port.open(
      session,
      {
        sessionId: session.id,
        secret: session.secret,
        node: api.name,
        cluster: api.clusterName,
        heartbeatInterval: toDuration(limits.heartbeatMs),
        sessionGrace: toDuration(session.graceMs),
        limits: {
          payloadBytesMax: settings.payloadBytesMax,
          creditsMax: settings.creditsPerSessionMax,
          functionsMax: settings.functionsPerSessionMax,
          frameBytesMax: limits.messageBytesMax,
          blobBytesMax: settings.blobBytesMax,
        },
        serverTime: toTimestamp(api.wallMs()),
      },
      hello.resume === undefined ? this.#port.allow(frame.credit) : 0,
    );
    if (!this.#port.blocked) this.#duplex.resume();
    this.#port.guard(() => this.#parts(frame, session));
  }

  /** What a frame says, in the order in which it counts: data before the outcome that it belongs to. */
  #parts(frame: WorkFrame, session: WorkerSession): void {
    const checker = this.#checker;
    const settings = this.#deps.api.settings();
    if (frame.acks.length > 0) session.ack(frame.acks);
    for (const [i, said] of frame.progress.entries()) {
      checker.within('progress', i);
      const p = leaseProgress(checker, said);
      checker.done();
      session.progress(said.leaseToken, p.numerator, p.denominator, p.message);
    }
    for (const [i, said] of frame.data.entries()) {
      checker.within('data', i);
      leaseData(checker, said, settings);
      checker.done();
      session.data(said.leaseToken, said.first, said.chunks);
    }
    if (frame.functionsChanged !== undefined) {
      const field = 'functions_changed.functions';
      const functions = functionSpecs(checker, field, frame.functionsChanged.functions, settings);
      checker.done();
      session.changeFunctions(functions).catch((error: unknown) => this.#duplex.fail(error));
    }
    if (frame.outcomes.length > 0) this.#outcomes(frame, session);
    else this.#port.credit(frame.credit);
    if (frame.goodbye !== undefined) this.#leave(session);
  }

  /** All outcomes of the frame, and the credit that came with them, are one call. */
  #outcomes(frame: WorkFrame, session: WorkerSession): void {
    const settings = this.#deps.api.settings();
    const good: OutcomeBySession[] = [];
    for (const [i, said] of frame.outcomes.entries()) {
      this.#checker.within('outcomes', i);
      const checked = outcome(this.#checker, said, settings);
      if (checked instanceof GearmeshError) this.#refused(said.leaseToken, checked);
      else good.push(checked);
    }
    if (good.length === 0) {
      this.#port.credit(frame.credit);
      return;
    }
    this.#port.settling(session.settle(good, this.#port.creditWithOutcomes(frame.credit)), good);
  }

  #refused(token: number, error: GearmeshError): void {
    this.#port.outcomeResult({ leaseToken: token, revision: '', error: toldStatus(this.#deps, error) });
  }

  #leave(session: WorkerSession): void {
    this.#state = 'leaving';
    session.close().then(
      () => this.#port.endWhenSent(),
      (error: unknown) => this.#duplex.fail(error),
    );
  }

  #heard(): void {
    this.#heardMs = this.#deps.clock.monotonicMs();
  }

  /** Sends heartbeats and notices the worker's silence. */
  #tick(): void {
    const every = Math.min(this.#deps.limits.heartbeatMs, this.#workerIntervalMs);
    this.#heartbeat = this.#deps.clock.setTimer(every, () => {
      if (this.#state === 'over') return;
      // While the stream is not read, its silence says nothing.
      if (this.#port.blocked || this.#state === 'opening') this.#heard();
      const silentMs = this.#deps.clock.monotonicMs() - this.#heardMs;
      if (silentMs > HEARTBEATS_MISSED_MAX * this.#workerIntervalMs) {
        const message = `no heartbeat for ${Math.round(silentMs)} ms`;
        this.#duplex.fail(new GearmeshError('CANCELLED', { message }));
        return;
      }
      if (this.#state === 'open') this.#port.heartbeat(ServeFrames.heartbeat());
      if (!this.#duplex.over) this.#tick();
    });
  }

  #over(): void {
    const wasOpen = this.#state === 'open';
    this.#state = 'over';
    this.#heartbeat?.cancel();
    this.#port.stop();
    if (wasOpen && !this.#port.sessionClosed) this.#session?.detach();
  }
}
