import type { WorkerSession } from '../../node/index.js';
import type { SimNode } from '../cluster.js';
import type { World } from '../world.js';

/** Why a connection of a worker is over. `lost`: the node is gone. `moves`: the worker ends it. */
export type LineEnd = 'lost' | 'refused' | 'moves' | 'redirect' | 'drain' | 'closed';

/** One connection of a worker to one process of a node. */
export class Line {
  readonly target: SimNode;
  readonly life: number;
  readonly ended: Promise<LineEnd>;
  session: WorkerSession | null = null;
  /** Credit given on this connection, in all. */
  granted = 0;
  #end: ((how: LineEnd) => void) | null = null;

  constructor(target: SimNode) {
    this.target = target;
    this.life = target.starts;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  /** What is said on it may arrive. */
  get open(): boolean {
    return this.#end !== null && this.target.starts === this.life;
  }

  /** The node's process still runs, whatever became of the connection. */
  get served(): boolean {
    return this.target.starts === this.life;
  }

  end(how: LineEnd): void {
    this.#end?.(how);
    this.#end = null;
  }

  /** Says something that is not answered. */
  say(what: (session: WorkerSession) => void): void {
    const { session } = this;
    if (session === null || !this.served) return;
    this.target.attached(async () => what(session)).catch(() => {});
  }

  give(credit: number): void {
    this.granted += credit;
    const { granted } = this;
    if (this.open) this.say((session) => session.credit(granted));
  }

  /** The node notices after this time that nobody is there any more. */
  detachAfter(world: World, delayMs: number): void {
    const detach = (): void => this.say((session) => session.detach());
    if (delayMs <= 0) detach();
    else world.after(delayMs, detach);
  }
}
