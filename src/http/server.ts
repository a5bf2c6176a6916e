import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Clock } from '../base/clock.js';
import type { NodeApi } from '../node/interface.js';
import { Probes, type Verdict } from './probes.js';

/** The part of a logger that this room uses (pino's has it). */
export interface HttpLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface HttpOptions {
  readonly api: NodeApi;
  readonly metrics: { readonly contentType: string; text(): Promise<string> };
  readonly clock: Clock;
  /** Port 0 takes a free one: see `port`. */
  readonly listen: { readonly host: string; readonly port: number };
  readonly log: HttpLog;
  readonly limits?: Partial<HttpLimits>;
}

/** Bounds against slow and hostile clients. */
export interface HttpLimits {
  readonly connectionsMax: number;
  readonly headerBytesMax: number;
  /** From the connection until the headers are there. */
  readonly headersTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly keepAliveMs: number;
  /** A connection on which nothing moves, e.g. because the client does not read, is closed after this time. */
  readonly idleTimeoutMs: number;
  /** How often the two timeouts of requests are looked after. */
  readonly checkIntervalMs: number;
  /** Metrics are rendered at most once in this time. */
  readonly metricsCacheMs: number;
  /** What is under way at `close` has this long to end. */
  readonly closeMs: number;
}

const DEFAULT_HTTP_LIMITS: HttpLimits = {
  connectionsMax: 256,
  headerBytesMax: 8_192,
  headersTimeoutMs: 5_000,
  requestTimeoutMs: 10_000,
  keepAliveMs: 15_000,
  idleTimeoutMs: 30_000,
  checkIntervalMs: 1_000,
  metricsCacheMs: 100,
  closeMs: 1_000,
};

export interface HttpServer {
  /** The port it listens on, 0 before `listen` resolved. */
  readonly port: number;
  listen(): Promise<void>;
  close(): Promise<void>;
}

interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

interface Route {
  readonly help: string;
  answer(asJson: boolean): Promise<Answer>;
}

const METHODS = 'GET, HEAD';

/** Metrics and probes of a node over plain HTTP. */
export function createHttpServer(options: HttpOptions): HttpServer {
  return new NodeHttpServer(options);
}

class NodeHttpServer implements HttpServer {
  readonly #options: HttpOptions;
  readonly #limits: HttpLimits;
  readonly #probes: Probes;
  readonly #routes: ReadonlyMap<string, Route>;
  readonly #server: Server;
  #rendered: { readonly text: Promise<string>; readonly atMs: number } | null = null;
  #ready: boolean | null = null;

  constructor(options: HttpOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_HTTP_LIMITS, ...options.limits };
    this.#probes = new Probes(options.api, options.clock);
    this.#routes = new Map<string, Route>([
      ['/metrics', { help: "metrics in Prometheus' text format", answer: () => this.#metrics() }],
      [
        '/livez',
        {
          help: 'whether the process works',
          answer: async (asJson) => verdictAnswer(this.#probes.live(), asJson),
        },
      ],
      ['/readyz', { help: 'whether this node should get traffic', answer: (asJson) => this.#readyz(asJson) }],
      [
        '/startupz',
        {
          help: 'whether the node has started',
          answer: async (asJson) => verdictAnswer(this.#probes.started(), asJson),
        },
      ],
    ]);
    const limits = this.#limits;
    this.#server = createServer(
      {
        maxHeaderSize: limits.headerBytesMax,
        headersTimeout: limits.headersTimeoutMs,
        requestTimeout: limits.requestTimeoutMs,
        keepAliveTimeout: limits.keepAliveMs,
        connectionsCheckingInterval: limits.checkIntervalMs,
      },
      (request, response) => {
        void this.#handle(request, response);
      },
    );
    this.#server.maxConnections = limits.connectionsMax;
    this.#server.setTimeout(limits.idleTimeoutMs, (socket) => socket.destroy());
  }

  get port(): number {
    const address = this.#server.address();
    return address === null ? 0 : (address as AddressInfo).port;
  }

  listen(): Promise<void> {
    const { host, port } = this.#options.listen;
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, host, () => {
        this.#server.off('error', reject);
        this.#server.on('error', (error) =>
          this.#options.log.error({ err: error }, 'the HTTP listener reported an error'),
        );
        resolve();
      });
    });
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#options.clock.setTimer(this.#limits.closeMs, () =>
        this.#server.closeAllConnections(),
      );
      this.#server.close(() => {
        timer.cancel();
        resolve();
      });
      this.#server.closeIdleConnections();
    });
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // Nothing here reads a body; a client that sends one gets its answer and is let go.
    const { headers } = request;
    const hasBody = headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0';
    if (hasBody) response.setHeader('connection', 'close');
    response.on('error', () => {}); // the client went away
    let answer: Answer;
    try {
      answer = await this.#answer(request);
    } catch (error) {
      this.#options.log.error({ err: error, path: request.url }, 'could not answer an HTTP request');
      answer = textAnswer(500, 'a defect in Gearmesh; the log of the node says more\n');
    }
    if (response.destroyed) return;
    response.writeHead(answer.status, {
      'content-type': answer.contentType,
      'content-length': Buffer.byteLength(answer.body),
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      ...answer.headers,
    });
    response.end(request.method === 'HEAD' ? undefined : answer.body);
  }

  async #answer(request: IncomingMessage): Promise<Answer> {
    const [path = '/', query = ''] = (request.url ?? '/').split('?', 2);
    const route = this.#routes.get(path);
    if (route === undefined) return this.#notFound();
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return {
        ...textAnswer(405, `${path} answers ${METHODS} only\n`),
        headers: { allow: METHODS, connection: 'close' },
      };
    }
    return route.answer(wantsJson(request, query));
  }

  #notFound(): Answer {
    const lines = [...this.#routes].map(([path, { help }]) => `  ${path.padEnd(10)} ${help}\n`);
    return textAnswer(404, `there is nothing at this path; there is:\n${lines.join('')}`);
  }

  async #metrics(): Promise<Answer> {
    const { metrics, clock } = this.#options;
    const now = clock.monotonicMs();
    // A flood of scrapes must not keep the node from its work.
    if (this.#rendered === null || now - this.#rendered.atMs >= this.#limits.metricsCacheMs) {
      this.#rendered = { text: metrics.text(), atMs: now };
    }
    return { status: 200, contentType: metrics.contentType, body: await this.#rendered.text };
  }

  async #readyz(asJson: boolean): Promise<Answer> {
    const verdict = await this.#probes.ready();
    if (this.#ready !== verdict.ok) {
      this.#ready = verdict.ok;
      const fields = { ready: verdict.ok, phase: verdict.phase, reason: verdict.reason };
      if (verdict.ok) this.#options.log.info(fields, 'readiness changed');
      else this.#options.log.warn(fields, 'readiness changed');
    }
    return verdictAnswer(verdict, asJson);
  }
}

/** `?format=json` or an Accept that names JSON and not text before it. */
function wantsJson(request: IncomingMessage, query: string): boolean {
  const format = new URLSearchParams(query).get('format');
  if (format !== null) return format === 'json';
  const first = (request.headers.accept ?? '')
    .split(',')
    .map((part) => part.split(';', 1)[0]!.trim().toLowerCase())
    .find((type) => type === 'application/json' || type === 'text/plain' || type === 'text/*');
  return first === 'application/json';
}

function verdictAnswer(verdict: Verdict, asJson: boolean): Answer {
  const status = verdict.ok ? 200 : 503;
  if (asJson) return { status, contentType: 'application/json', body: `${JSON.stringify(verdict)}\n` };
  const leader = verdict.leader === undefined ? '' : `leader: ${verdict.leader || 'none'}\n`;
  const said = `${verdict.ok ? 'ok' : 'not ok'}: ${verdict.reason}\n`;
  return textAnswer(status, `${said}node: ${verdict.node}\nphase: ${verdict.phase}\n${leader}`);
}

function textAnswer(status: number, body: string): Answer {
  return { status, contentType: 'text/plain; charset=utf-8', body };
}
