import { Queue, type QueuesUpdate, type WatchQueuesRequest } from '../../proto/gen/gearmesh/v1/queue.js';
import { toBuffer } from '../../proto/gen/to-buffer.js';
import type { QueueView } from '../core/types.js';
import type { ReadOptions } from '../node/interface.js';
import { type Outlet, shuttingDown } from './call.js';
import { toQueue } from './convert.js';
import type { Deps } from './deps.js';
import { WATCHED_FUNCTIONS_MAX } from './limits.js';
import { namespaceOrAll, queueKey } from './queues.js';
import { readOptions } from './read.js';
import { Checker } from './validate.js';

/** First all queues, then those that changed. A caller that reads slowly gets fewer, larger updates. */
export async function watchQueues(
  deps: Deps,
  request: WatchQueuesRequest,
  out: Outlet<QueuesUpdate>,
): Promise<void> {
  const checker = new Checker();
  const namespace = namespaceOrAll(checker, request);
  const functions = new Set(request.functions);
  if (functions.size > WATCHED_FUNCTIONS_MAX) {
    checker.add('functions', `has more than ${WATCHED_FUNCTIONS_MAX} elements`);
  }
  request.functions.forEach((name, i) => {
    checker.name(`functions[${i}]`, name);
  });
  const read = readOptions(checker, request, out);
  checker.done();
  const watcher = new QueuesWatcher(deps, namespace, functions, out);
  const drain = () => out.fail(shuttingDown());
  deps.draining.addEventListener('abort', drain, { once: true });
  out.onOver(() => deps.draining.removeEventListener('abort', drain));
  await watcher.start(read);
}

class QueuesWatcher {
  readonly #deps: Deps;
  readonly #namespace: string | null;
  readonly #functions: ReadonlySet<string>;
  readonly #out: Outlet<QueuesUpdate>;
  /** By name, each queue as it was last sent. */
  #sent = new Map<string, Buffer>();
  #first = true;
  #looking = false;
  #again = false;
  #blocked = false;

  constructor(
    deps: Deps,
    namespace: string | null,
    functions: ReadonlySet<string>,
    out: Outlet<QueuesUpdate>,
  ) {
    this.#deps = deps;
    this.#namespace = namespace;
    this.#functions = functions;
    this.#out = out;
  }

  async start(first: ReadOptions): Promise<void> {
    const stop = this.#deps.api.onQueuesChanged(() => this.#look());
    this.#out.onOver(stop);
    this.#out.onDrain(() => {
      this.#blocked = false;
      if (this.#again) this.#look();
    });
    this.#looking = true;
    await this.#read(first);
    this.#looked();
  }

  #look(): void {
    if (this.#looking || this.#blocked) {
      this.#again = true;
      return;
    }
    this.#looking = true;
    this.#again = false;
    this.#read({ consistency: 'eventual', minRevision: 0, signal: this.#out.signal }).then(
      () => this.#looked(),
      (error: unknown) => this.#out.fail(error),
    );
  }

  #looked(): void {
    this.#looking = false;
    if (this.#again && !this.#out.over) this.#look();
  }

  async #read(read: ReadOptions): Promise<void> {
    const views = await this.#deps.api.listQueues(this.#namespace, read);
    this.#compare(views);
  }

  #compare(views: readonly QueueView[]): void {
    const now = new Map<string, Buffer>();
    let update = this.#update();
    let bytes = 0;
    const put = (size: number) => {
      bytes += size;
      if (bytes < this.#deps.limits.pageBytes) return;
      this.#send({ ...update, more: true });
      update = this.#update();
      bytes = 0;
    };
    for (const view of views) {
      if (this.#functions.size > 0 && !this.#functions.has(view.function)) continue;
      const key = queueKey(view);
      const queue = toQueue(view);
      const encoded = toBuffer(Queue, queue);
      now.set(key, encoded);
      if (this.#sent.get(key)?.equals(encoded)) continue;
      put(encoded.length);
      update.queues.push(queue);
    }
    for (const key of this.#sent.keys()) {
      if (now.has(key)) continue;
      const [namespace, fn] = key.split('\u0000');
      put(key.length * 3);
      update.removed.push({ namespace: namespace!, function: fn! });
    }
    this.#sent = now;
    if (this.#first || update.queues.length > 0 || update.removed.length > 0) this.#send(update);
    this.#first = false;
  }

  #update(): QueuesUpdate {
    return { snapshot: this.#first, queues: [], removed: [], more: false };
  }

  #send(update: QueuesUpdate): void {
    if (!this.#out.send(update)) this.#blocked = true;
  }
}
