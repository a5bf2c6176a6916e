/** The node's side of one Work stream, as a test drives it. */
import {
  Assignment,
  type OutcomeResult,
  ServeFrame,
  type Welcome,
  type WorkFrame,
} from '../../../proto/gen/gearmesh/v1/worker.js';
import type { FakeNode, FakeStream } from '../client/fake-server.js';

export function serve(frame: Partial<ServeFrame>): ServeFrame {
  return ServeFrame.fromPartial(frame);
}

/** Session 77, whose node's clock says 1,000 s after the epoch. */
export function welcome(more: Partial<Welcome> = {}): ServeFrame {
  return serve({
    welcome: {
      sessionId: 77,
      secret: Buffer.from('secret-1'),
      node: 'n1',
      cluster: 'c',
      heartbeatInterval: { seconds: 5, nanos: 0 },
      sessionGrace: { seconds: 10, nanos: 0 },
      limits: {
        payloadBytesMax: 262_144,
        creditsMax: 10_000,
        functionsMax: 10_000,
        frameBytesMax: 4 << 20,
        blobBytesMax: 64 << 20,
      },
      serverTime: { seconds: 1_000, nanos: 0 },
      ...more,
    },
  });
}

export function assignment(token: number, more: Partial<Assignment> = {}): Assignment {
  return Assignment.fromPartial({
    leaseToken: token,
    jobId: `job-${token}`,
    namespace: 'default',
    function: 'f',
    attempt: 1,
    maxAttempts: 5,
    ...more,
  });
}

export function result(token: number): OutcomeResult {
  return { leaseToken: token, revision: 'r9', error: undefined };
}

export class Node {
  readonly #stream: FakeStream<WorkFrame, ServeFrame>;

  constructor(stream: FakeStream<WorkFrame, ServeFrame>) {
    this.#stream = stream;
  }

  /** Takes the worker's hello and welcomes it. */
  static async welcome(node: FakeNode, more: Partial<Welcome> = {}): Promise<Node> {
    const stream = await node.works.next();
    await stream.frames.next();
    stream.send(welcome(more));
    return new Node(stream);
  }

  get ended(): Promise<void> {
    return this.#stream.ended;
  }

  send(frame: Partial<ServeFrame>): void {
    this.#stream.send(serve(frame));
  }

  next(): Promise<WorkFrame> {
    return this.#stream.frames.next();
  }

  end(): void {
    this.#stream.end();
  }
}
