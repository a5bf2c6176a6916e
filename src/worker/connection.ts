import type { ServeFrame, Welcome, WorkFrame } from '../../proto/gen/gearmesh/v1/worker.js';
import { fromDuration, timestampMs } from '../client/convert.js';
import type { Cursor, EndpointPool, Opened } from '../client/endpoints.js';
import { GearmeshError } from '../client/errors.js';
import { worthRepeating } from '../client/status.js';
import { WorkStream } from './stream.js';

/** A stream that held for less than this counts as a failed try, so that a flapping node costs no storm. */
const STABLE_MS = 1_000;
const GRACE_MS = 10_000;
/** Between two looks whether the leader is elsewhere. */
const AIM_MS = 2_000;
/** How long to look for a node before saying that there is none. */
const SEARCH_MS = 5_000;

/** A session as its last welcome named it. */
export interface Session {
  readonly id: number;
  readonly secret: Uint8Array;
}

export interface ConnectionEvents {
  /** The first frame: a new session, or this one again. */
  hello(session: Session | null): WorkFrame;
  attached(welcome: Welcome, resumed: boolean, endpoint: string): void;
  frame(frame: ServeFrame): void;
  /** The stream has room. */
  drain(): void;
  /** The stream is gone; another one will be opened. */
  detached(error: GearmeshError, endpoint: string): void;
  /** The cluster does not know the session any more: its leases are gone. */
  forgotten(): void;
  /** No contact for as long as the cluster keeps a session without a stream: its leases are as good as gone. */
  graceOver(): void;
  /** No node can be reached, or the session is refused. `final`: asking again will not change it. */
  trouble(error: GearmeshError, final: boolean): void;
}

/** Codes for which asking again is of no use unless somebody changes something. */
const FINAL = new Set(['INVALID_ARGUMENT', 'UNAUTHENTICATED', 'PERMISSION_DENIED', 'UNIMPLEMENTED']);

/**
 * Keeps the worker's one stream: opens it, and after a loss resumes the session through the next endpoint at once, then
 * with growing pauses of up to a second.
 *
 *   connecting --welcome--> attached --lost, redirected, drained--> connecting
 */
export class Connection {
  readonly #pool: EndpointPool;
  readonly #cursor: Cursor;
  readonly #events: ConnectionEvents;
  readonly #stop = new AbortController();
  #session: Session | null = null;
  #stream: WorkStream | null = null;
  #welcomed = false;
  #finishing = false;
  #settled = false;
  #graceMs = GRACE_MS;
  #graceTimer: NodeJS.Timeout | null = null;
  /** The cluster's clock: its time at a moment of ours. */
  #serverMs = 0;
  #serverAt = 0;

  constructor(pool: EndpointPool, cursor: Cursor, events: ConnectionEvents) {
    this.#pool = pool;
    this.#cursor = cursor;
    this.#events = events;
  }

  get session(): Session | null {
    return this.#session;
  }

  /** The stream to write to, while it is welcomed. */
  get stream(): WorkStream | null {
    return this.#welcomed ? this.#stream : null;
  }

  /** The cluster's time: milliseconds since 1970-01-01 UTC. */
  serverNow(): number {
    if (this.#serverAt === 0) return Date.now();
    return this.#serverMs + performance.now() - this.#serverAt;
  }

  /** Resolves when `close` was called. */
  async run(): Promise<void> {
    let tries = 0;
    while (!this.#stop.signal.aborted) {
      let opened: Opened;
      try {
        opened = await this.#cursor.open(performance.now() + SEARCH_MS, tries, this.#stop.signal);
      } catch (error) {
        if (this.#finishing) return;
        this.#events.trouble(error as GearmeshError, false);
        continue;
      }
      const began = performance.now();
      const { error, welcomed, stay } = await this.#attach(opened);
      if (this.#stop.signal.aborted || this.#finishing) return;
      tries = welcomed && performance.now() - began >= STABLE_MS ? 0 : tries + 1;
      if (error.reason === 'SESSION_UNKNOWN' && this.#session !== null) {
        this.#session = null;
        this.#cancelGrace();
        this.#events.forgotten();
        continue;
      }
      const final = FINAL.has(error.code);
      if (final || !(welcomed || worthRepeating(error))) this.#events.trouble(error, final);
      if (!stay) this.#cursor.failed(opened.endpoint);
    }
  }

  /** Leaves this node for another one, at once. */
  leave(error: GearmeshError): void {
    this.#stream?.leave(error);
  }

  /** Stays where it is, whoever leads: what is under way is to end here. */
  settle(): void {
    this.#settled = true;
  }

  /** The stream that there is, is the last one. */
  finish(): void {
    this.#finishing = true;
  }

  get finishing(): boolean {
    return this.#finishing;
  }

  close(): void {
    this.#finishing = true;
    this.#stop.abort();
    this.#cancelGrace();
    this.#stream?.leave(null);
  }

  /** One stream, until it is over. `stay`: the next endpoint was chosen already. */
  #attach(opened: Opened): Promise<{ error: GearmeshError; welcomed: boolean; stay: boolean }> {
    const endpoint = this.#pool.addresses[opened.endpoint]!;
    const resuming = this.#session;
    return new Promise((resolve) => {
      let stay = false;
      let aim: NodeJS.Timeout | undefined;
      const stream = new WorkStream(opened.client, this.#events.hello(resuming), {
        welcome: (welcome) => {
          this.#welcomed = true;
          this.#welcome(welcome, opened.endpoint);
          if (this.#cursor.isAiming) {
            aim = setInterval(() => {
              if (this.#settled || !this.#cursor.isAstray) return;
              stay = true;
              this.leave(new GearmeshError('UNAVAILABLE', 'CONNECTION_LOST', 'left for the node that leads'));
            }, AIM_MS);
          }
          this.#events.attached(welcome, resuming !== null, endpoint);
        },
        frame: (frame) => {
          this.#events.frame(frame);
          if (frame.redirect !== undefined || frame.drain !== undefined) {
            stay = this.#move(frame, opened.endpoint);
          }
        },
        drain: () => this.#events.drain(),
        over: (said) => {
          clearInterval(aim);
          const welcomed = this.#welcomed;
          this.#stream = null;
          this.#welcomed = false;
          const error =
            said ?? new GearmeshError('UNAVAILABLE', 'CONNECTION_LOST', 'the node ended the stream');
          if (welcomed) {
            this.#startGrace(stream.heardAt);
            this.#events.detached(error, endpoint);
          }
          resolve({ error, welcomed, stay });
        },
      });
      this.#stream = stream;
    });
  }

  #welcome(welcome: Welcome, endpoint: number): void {
    this.#cancelGrace();
    this.#cursor.succeeded(endpoint);
    this.#session = { id: welcome.sessionId, secret: welcome.secret };
    this.#graceMs = fromDuration(welcome.sessionGrace) ?? GRACE_MS;
    if (welcome.serverTime !== undefined) {
      this.#serverMs = timestampMs(welcome.serverTime);
      this.#serverAt = performance.now();
    }
  }

  /**
   * The node wants us to go. Addresses that it names count only when they are among our own: others may not be
   * reachable from here, nor meant for us. True: the next endpoint is chosen.
   */
  #move(frame: ServeFrame, endpoint: number): boolean {
    if (this.#pool.addresses.length === 1 && frame.redirect === undefined) return false; // until it ends the stream
    const named = frame.redirect?.endpoints ?? [];
    const at = this.#pool.addresses.findIndex((address, i) => i !== endpoint && named.includes(address));
    if (at >= 0) {
      // It may lead, and would be preferred.
      this.#cursor.failed(endpoint);
      this.#cursor.prefer(at);
    }
    const reason = frame.redirect?.reason ?? frame.drain?.reason ?? '';
    // Not now: what follows from this frame is still to be sent here.
    setImmediate(() => {
      this.leave(new GearmeshError('UNAVAILABLE', 'SHUTTING_DOWN', `the node asks to leave: ${reason}`));
    });
    return at >= 0;
  }

  #startGrace(heardAt: number): void {
    this.#cancelGrace();
    const leftMs = Math.max(0, heardAt + this.#graceMs - performance.now());
    this.#graceTimer = setTimeout(() => this.#events.graceOver(), leftMs);
  }

  #cancelGrace(): void {
    if (this.#graceTimer !== null) clearTimeout(this.#graceTimer);
    this.#graceTimer = null;
  }
}
