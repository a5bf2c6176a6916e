import type { OutcomeBySession, OutcomeResult, SessionPort, WorkerSession } from '../../../src/node/index.js';
import type { SimNode } from '../../../src/sim/cluster.js';
import { SimBed } from '../../unit/node/sim-bed.js';

/** A lease as its worker got it. */
export interface Got {
  readonly job: string;
  readonly token: number;
  readonly attempt: number;
}

export interface TestWorker {
  readonly session: WorkerSession;
  readonly got: Got[];
  /** What its connection was told besides. */
  readonly told: string[];
}

/** Syncs of a node's log that wait until they are let go. */
export interface HeldSyncs {
  readonly count: number;
  /** Lets go those that wait; later ones wait again. */
  next(): void;
  /** Lets go all, now and later. */
  end(): void;
}

/** Whole clusters that are steered to one interleaving. */
export class RuleBed extends SimBed {
  static override async started(
    seed: number,
    options: ConstructorParameters<typeof SimBed>[1] = {},
  ): Promise<RuleBed> {
    const bed = new RuleBed(seed, options);
    for (const node of bed.cluster.nodes) void node.start();
    await bed.until(() => bed.cluster.allReady(), 30_000);
    return bed;
  }

  get followers(): SimNode[] {
    return this.cluster.nodes.filter((node) => node !== this.cluster.leader);
  }

  /** Nothing passes between the two, in either direction. */
  cut(a: SimNode, b: SimNode): void {
    this.cluster.network.cut(a.name, b.name);
    this.cluster.network.cut(b.name, a.name);
  }

  /** It is cut off from all. `noticed`: the others find their connections to it broken at once, and it does not. */
  isolate(node: SimNode, noticed = false): void {
    for (const other of this.cluster.nodes) if (other !== node) this.cut(node, other);
    if (!noticed) return;
    for (const other of this.cluster.nodes) {
      if (other !== node) this.cluster.network.end(other.name)!.drop(node.name, 'closed');
    }
  }

  heal(): void {
    this.cluster.network.heal();
  }

  holdSyncs(node: SimNode): HeldSyncs {
    const before = node.disk.before!;
    const waiting: (() => void)[] = [];
    let held = true;
    let count = 0;
    node.disk.before = async (operation) => {
      if (held && operation.kind === 'sync' && operation.path.includes('/wal/')) {
        count += 1;
        await new Promise<void>((resolve) => waiting.push(resolve));
      }
      await before(operation);
    };
    const next = (): void => {
      for (const resolve of waiting.splice(0)) resolve();
    };
    return {
      get count() {
        return count;
      },
      next,
      end: () => {
        held = false;
        next();
      },
    };
  }

  /** A session, or the same one attached here with the tokens that its worker holds. */
  async serve(
    node: SimNode,
    credit: number,
    o: {
      resumable?: boolean;
      name?: string;
      attach?: { session: WorkerSession; heldTokens: readonly number[] };
    } = {},
  ): Promise<TestWorker> {
    const got: Got[] = [];
    const told: string[] = [];
    const port: SessionPort = {
      assigned: (jobs) =>
        got.push(...jobs.map(({ job, token, attempt }) => ({ job: job.id, token, attempt }))),
      leasesLost: (lost) => told.push(...lost.map(({ token, reason }) => `lost ${token} ${reason}`)),
      cancelRequested: () => {},
      redirect: () => {},
      drain: () => {},
      closed: (error) => told.push(error?.code ?? 'closed'),
    };
    const { resumable = true, name = 'w', attach } = o;
    const functions = [{ name: 'f', concurrency: 0, runTimeoutMs: 0 }];
    const opened =
      attach === undefined
        ? node.node!.openSession({ namespace: 'default', name, functions, resumable, credit: 0 }, port)
        : node.node!.attachSession(
            { session: attach.session.id, secret: attach.session.secret, heldTokens: attach.heldTokens },
            port,
          );
    const session = await this.settled(opened);
    if (credit > 0) {
      session.credit(credit);
      await this.until(() => got.length > 0 || this.core(node).session(session.id)?.credit === credit);
    }
    return { session, got, told };
  }

  async lead(node: SimNode): Promise<void> {
    if (this.cluster.leader === node) return;
    await this.until(() => this.cluster.leader !== null);
    this.leader.node!.engine!.transferTo(node.name);
    await this.until(() => this.cluster.leader === node);
  }

  /** Notes what becomes of a call whose end nothing waits for. */
  heard(calls: string[], name: string, work: Promise<unknown>): void {
    work.then(
      () => calls.push(`${name} done`),
      (error: { code?: string; message: string }) => calls.push(`${name} ${error.code ?? error.message}`),
    );
  }

  seqOf(node: SimNode, job: string): number {
    return this.core(node).seqOf('default', job);
  }

  stateOf(node: SimNode, job: string): string {
    const seq = this.seqOf(node, job);
    return seq === 0 ? 'absent' : (this.core(node).stateOf(seq) ?? 'gone');
  }

  async outcome(worker: TestWorker, outcome: OutcomeBySession): Promise<OutcomeResult> {
    const [result] = await this.settled(worker.session.settle([outcome], 0));
    return result!;
  }
}

export function completion({ job, token }: Got, text = 'result'): OutcomeBySession {
  return {
    kind: 'complete',
    jobId: job,
    token,
    result: Buffer.from(text),
    resultBlob: null,
    resultContentType: '',
    dataCount: 0,
  };
}
