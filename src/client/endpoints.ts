import { type ChannelCredentials, type ChannelOptions, Client, connectivityState } from '@grpc/grpc-js';
import { backoffMs, pause } from './backoff.js';
import { AbortedError, closedError, GearmeshError, timedOut } from './errors.js';

export interface PoolOptions {
  /** `host:port`, in the order in which they are tried. */
  readonly endpoints: readonly string[];
  readonly credentials: ChannelCredentials;
  /** Added to, or replacing, what the SDK sets. */
  readonly channelOptions: ChannelOptions;
  /** An endpoint that is not connected within this many milliseconds counts as failed. */
  readonly connectTimeoutMs: number;
}

/** What every connection of the SDK is made with. */
const CHANNEL_OPTIONS: ChannelOptions = {
  // A channel of its own for each link: else grpc-js would share one HTTP/2 connection between them.
  'grpc.use_local_subchannel_pool': 1,
  // Sizes are the server's to limit.
  'grpc.max_receive_message_length': -1,
  'grpc.max_send_message_length': -1,
  // A frozen or cut off node is noticed within about 4 s while calls are open.
  'grpc.keepalive_time_ms': 2_000,
  'grpc.keepalive_timeout_ms': 2_000,
  // A retry on the same connection would hide from us what was sent twice.
  'grpc.enable_retries': 0,
  'grpc.service_config_disable_resolution': 1,
};

/** One HTTP/2 connection to one endpoint, made when it is needed. */
export class Link {
  readonly address: string;
  readonly #options: PoolOptions;
  #client: Client | null = null;
  #opening: Promise<Client> | null = null;

  constructor(address: string, options: PoolOptions) {
    this.address = address;
    this.#options = options;
  }

  /** Resolves with a connected client, or rejects with CONNECTION_FAILED: then nothing was sent. */
  open(): Promise<Client> {
    const client = this.#client;
    if (client !== null && client.getChannel().getConnectivityState(false) === connectivityState.READY) {
      return Promise.resolve(client);
    }
    this.#opening ??= this.#dial().finally(() => {
      this.#opening = null;
    });
    return this.#opening;
  }

  close(): void {
    this.#client?.close();
    this.#client = null;
  }

  async #dial(): Promise<Client> {
    this.#client ??= new Client(this.address, this.#options.credentials, {
      ...CHANNEL_OPTIONS,
      ...this.#options.channelOptions,
    });
    const client = this.#client;
    const channel = client.getChannel();
    const until = Date.now() + this.#options.connectTimeoutMs;
    for (;;) {
      const state = channel.getConnectivityState(true);
      if (state === connectivityState.READY) return client;
      if (state === connectivityState.TRANSIENT_FAILURE || state === connectivityState.SHUTDOWN) break;
      const changed = await new Promise<boolean>((resolve) => {
        channel.watchConnectivityState(state, until, (error) => resolve(error === undefined));
      });
      if (!changed) break;
    }
    // A fresh channel next time: a failed one would keep its own pause before it dials again.
    if (this.#client === client) this.close();
    throw new GearmeshError('UNAVAILABLE', 'CONNECTION_FAILED', `cannot connect to ${this.address}`);
  }
}

/** All endpoints, each with one link per lane. */
export class EndpointPool {
  readonly addresses: readonly string[];
  readonly #options: PoolOptions;
  readonly #links = new Map<string, Link>();
  #closed = false;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.addresses = options.endpoints;
  }

  get closed(): boolean {
    return this.#closed;
  }

  link(endpoint: number, lane: number): Link {
    const key = `${lane}/${endpoint}`;
    let link = this.#links.get(key);
    if (link === undefined) {
      link = new Link(this.addresses[endpoint]!, this.#options);
      this.#links.set(key, link);
    }
    return link;
  }

  close(): void {
    this.#closed = true;
    for (const link of this.#links.values()) link.close();
    this.#links.clear();
  }
}

export interface Opened {
  readonly client: Client;
  /** Index in the pool. */
  readonly endpoint: number;
}

/** For so long a first call waits to learn where the leader is. */
const AIM_MS_MAX = 1_000;

/** In which order a program uses the endpoints it was given. */
export interface Route {
  /** Endpoint to begin with. */
  readonly first: number;
  /** Absent: all endpoints are equal. */
  readonly leader?: Leader | undefined;
}

/** Knows an endpoint that is better than the others. */
export interface Leader {
  /** -1: nobody knows. */
  readonly endpoint: number;
  /** Resolves when it is known, or nobody could say; never rejects. Null: that is over. */
  readonly firstLook: Promise<void> | null;
  failed(endpoint: number): void;
}

/** Which endpoint a lane uses: the leader's or the last one that worked, the next one as soon as that fails. */
export class Cursor {
  readonly #pool: EndpointPool;
  readonly #lane: number;
  readonly #leader: Leader | undefined;
  #at: number;
  #failures = 0;
  #lastError: GearmeshError | undefined;

  /** @param shift lanes of one program begin at different endpoints */
  constructor(pool: EndpointPool, lane: number, route: Route, shift = 0) {
    this.#pool = pool;
    this.#lane = lane;
    this.#leader = route.leader;
    this.#at = (route.first + shift) % pool.addresses.length;
  }

  get endpoint(): number {
    return this.#at;
  }

  /** Why the last try to connect failed; undefined once one succeeded. */
  get lastError(): GearmeshError | undefined {
    return this.#lastError;
  }

  /** There is an endpoint to prefer, which may change. */
  get isAiming(): boolean {
    return this.#leader !== undefined;
  }

  /** The leader is known, and is not at the endpoint that is used. */
  get isAstray(): boolean {
    if (this.#leader === undefined || this.#failures > 0) return false;
    const { endpoint } = this.#leader;
    return endpoint >= 0 && endpoint !== this.#at;
  }

  /** Goes to this endpoint next, without a pause. */
  prefer(endpoint: number): void {
    this.#at = endpoint;
    this.#failures = 0;
  }

  succeeded(endpoint: number): void {
    if (endpoint === this.#at) this.#failures = 0;
  }

  /** Several users of a lane may report the same failure: only the first one moves on. */
  failed(endpoint: number): void {
    this.#leader?.failed(endpoint);
    if (endpoint !== this.#at) return;
    this.#at = (this.#at + 1) % this.#pool.addresses.length;
    this.#failures++;
  }

  /**
   * Connects to the first endpoint that answers, going round with a growing pause.
   *
   * @param until by `performance.now()`
   * @param tries tries of this caller that failed in a row: it pauses even when others succeed
   */
  async open(until: number, tries: number, signal?: AbortSignal): Promise<Opened> {
    await this.#aim(until, tries, signal);
    for (;;) {
      const wait = backoffMs(Math.max(this.#failures, tries), this.#pool.addresses.length);
      if (wait > 0) await pause(Math.min(wait, until - performance.now()), signal);
      if (signal?.aborted) throw new AbortedError(signal, 'NOT_APPLIED');
      if (this.#pool.closed) throw closedError('NOT_APPLIED');
      if (performance.now() >= until) {
        throw this.#lastError ?? timedOut('connecting', 'NOT_APPLIED');
      }
      const endpoint = this.#at;
      try {
        const client = await this.#pool.link(endpoint, this.#lane).open();
        this.#lastError = undefined;
        return { client, endpoint };
      } catch (error) {
        this.#lastError = error as GearmeshError;
        this.failed(endpoint);
      }
    }
  }

  /** Begins at the leader, if that can be had soon. */
  async #aim(until: number, tries: number, signal?: AbortSignal): Promise<void> {
    const leader = this.#leader;
    if (leader === undefined || this.#failures > 0 || tries > 0) return;
    const first = leader.firstLook;
    if (first !== null) {
      const over = new AbortController();
      const ends = signal === undefined ? over.signal : AbortSignal.any([over.signal, signal]);
      await Promise.race([first, pause(Math.min(AIM_MS_MAX, until - performance.now()), ends)]);
      over.abort();
    }
    if (leader.endpoint >= 0) this.#at = leader.endpoint;
  }
}
