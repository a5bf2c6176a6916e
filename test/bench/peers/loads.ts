import { until } from '../../support/real-cluster.js';
import { QUEUES } from './driver.js';
import { Hand } from './hand.js';
import type { DriverName, LoadResult, SubmitOrder, ToLoad, WorkOrder } from './order.js';
import type { Load, RunningPeer, StartsOptions } from './peer.js';

const CONNECTIONS = 8;
const IN_FLIGHT = 64;
const BATCH = 100;
/** Batches under way on each connection. */
const BATCHES = 4;
const WORKERS = 8;
const CREDITS = 64;
const BACKLOG = 4_096;
/** Starts that are not counted, on connections that are new. */
const WARM_STARTS = 50;
const WARM_SECONDS = 1;
/** Within which a server says of itself what it has answered to others. */
const SETTLED_MS = 30_000;
const LOOK_MS = 1;

/** What is peculiar to one peer: its servers, and what they say of themselves. */
export interface Servers {
  readonly version: string;
  readonly batches: string;
  readonly driver: DriverName;
  /** Processes among which the connections of the client, and those of the workers, are shared: one can be a limit. */
  readonly clients: { readonly submit: number; readonly work: number };
  pids(): readonly number[];
  /** `host:port` of each, the leader's first. */
  addresses(): Promise<readonly string[]>;
  /** Jobs that are there, waiting or taken by a worker. Asked when nobody works. */
  left(): Promise<number>;
  purge(): Promise<void>;
  failover?(times: number): Promise<readonly number[]>;
  stop(): Promise<void>;
}

interface Submit {
  readonly seconds: number | null;
  readonly inFlight: number;
  readonly batch: number;
  readonly backlog?: number;
  readonly perSecond?: number;
}

interface Cycles {
  readonly submitted: readonly LoadResult[];
  readonly worked: readonly LoadResult[];
  readonly seconds: number;
  readonly times: readonly number[];
}

/** The same loads for every peer. */
export class Loads implements RunningPeer {
  readonly version: string;
  readonly batches: string;
  readonly failover?: (times: number) => Promise<readonly number[]>;
  readonly #servers: Servers;
  readonly #submitters: readonly Hand[];
  readonly #workers: readonly Hand[];
  readonly #prober = new Hand();

  private constructor(servers: Servers) {
    this.#servers = servers;
    this.version = servers.version;
    this.batches = servers.batches;
    if (servers.failover !== undefined) this.failover = (times) => servers.failover!(times);
    this.#submitters = Array.from({ length: servers.clients.submit }, () => new Hand());
    this.#workers = Array.from({ length: servers.clients.work }, () => new Hand());
  }

  static async over(servers: Servers): Promise<Loads> {
    const loads = new Loads(servers);
    try {
      await loads.cyclesFor(WARM_SECONDS);
    } catch (error) {
      await loads.stop();
      throw error;
    }
    return loads;
  }

  get pids(): readonly number[] {
    return this.#servers.pids();
  }

  submitFor(seconds: number): Promise<Load> {
    return this.#submitted({ seconds, inFlight: IN_FLIGHT, batch: 1 });
  }

  submitManyFor(seconds: number): Promise<Load> {
    return this.#submitted({ seconds, inFlight: BATCHES, batch: BATCH });
  }

  async cyclesFor(seconds: number): Promise<Load> {
    const done = await this.#cycles({ seconds, inFlight: IN_FLIGHT, batch: 1, backlog: BACKLOG }, null);
    return loadOf(done.submitted, done.worked, done.seconds);
  }

  async starts({ count, paceMs, background = 0 }: StartsOptions): Promise<readonly number[]> {
    const paced = { seconds: null, inFlight: IN_FLIGHT, batch: 1, perSecond: background };
    return (await this.#cycles(background === 0 ? null : paced, { warm: WARM_STARTS, count, paceMs })).times;
  }

  purge(): Promise<void> {
    return this.#servers.purge();
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#submitters, ...this.#workers, this.#prober].map((one) => one.end()));
    await this.#servers.stop();
  }

  /** Only submits; what was accepted has to be there afterwards. */
  async #submitted(submit: Submit): Promise<Load> {
    const before = await this.#servers.left();
    await this.#order(submit);
    tell(this.#submitters, { say: 'go' });
    const results = await resultsOf(this.#submitters);
    await closed(this.#submitters);
    const accepted = jobsOf(results);
    await this.#leaves(before + accepted, `${before} were there, ${accepted} were accepted`);
    return loadOf(results, [], Math.max(...results.map((one) => one.seconds)));
  }

  /**
   * Submits and works in one queue (null: does not), and waits for the starts of single jobs in another (null: does not),
   * until nothing is left.
   */
  async #cycles(submit: Submit | null, probe: WorkOrder['probe']): Promise<Cycles> {
    if ((await this.#servers.left()) > 0) await this.purge();
    const submitters = submit === null ? [] : this.#submitters;
    const workers = submit === null ? [] : this.#workers;
    const all = [...workers, ...submitters, ...(probe === null ? [] : [this.#prober])];
    const worked = (): number => workers.reduce((jobs, one) => jobs + one.worked, 0);
    let moved = performance.now();
    const onWorked = (): void => {
      moved = performance.now();
      tell(submitters, { say: 'worked', jobs: worked() / submitters.length });
    };
    if (submit !== null) await this.#order(submit);
    await this.#orderWork(workers, { connections: WORKERS, credits: CREDITS }, onWorked);
    if (probe !== null) {
      await this.#orderWork(
        [this.#prober],
        { connections: 1, credits: 1, queue: QUEUES[1], probe },
        () => {},
      );
    }
    const began = performance.now();
    tell(all, { say: 'go' });
    const times = probe === null ? [] : [...(await this.#prober.heard('probed')).times];
    if (probe !== null) tell([...submitters, this.#prober], { say: 'stop' });
    const probed = probe === null ? 0 : jobsOf(await resultsOf([this.#prober]));
    if (probe !== null && probed !== probe.warm + probe.count) {
      throw new Error(`${probe.warm + probe.count} jobs were waited for, ${probed} worked`);
    }
    const submitted = await resultsOf(submitters);
    const accepted = jobsOf(submitted);
    const counts = (): string => `${accepted} were accepted, ${worked()} worked`;
    while (worked() < accepted) {
      if (performance.now() - moved > SETTLED_MS) throw new Error(`${counts()}, and no more`);
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
    tell(workers, { say: 'stop' });
    const results = await resultsOf(workers);
    await this.#leaves(0, counts());
    const seconds = (performance.now() - began) / 1_000;
    await closed(all);
    if (jobsOf(results) !== accepted) throw new Error(`${accepted} were accepted, ${jobsOf(results)} worked`);
    return { submitted, worked: results, seconds, times };
  }

  /** Shares the connections among the processes that submit, and opens them. */
  async #order(submit: Submit): Promise<void> {
    const addresses = await this.#servers.addresses();
    const hands = this.#submitters.length;
    const order: SubmitOrder = {
      kind: 'submit',
      driver: this.#servers.driver,
      queue: QUEUES[0],
      addresses,
      connections: CONNECTIONS / hands,
      inFlight: submit.inFlight,
      batch: submit.batch,
      seconds: submit.seconds,
      backlog: submit.backlog === undefined ? null : submit.backlog / hands,
      perSecond: submit.perSecond === undefined ? null : submit.perSecond / hands,
    };
    await Promise.all(
      this.#submitters.map((one, i) => one.order({ ...order, addresses: turned(addresses, i) })),
    );
  }

  async #orderWork(
    hands: readonly Hand[],
    { connections, ...work }: Pick<WorkOrder, 'connections' | 'credits'> & Partial<WorkOrder>,
    onWorked: () => void,
  ): Promise<void> {
    const addresses = await this.#servers.addresses();
    const order: WorkOrder = {
      kind: 'work',
      driver: this.#servers.driver,
      queue: QUEUES[0],
      addresses,
      connections: connections / hands.length,
      probe: null,
      ...work,
    };
    await Promise.all(
      hands.map((one, i) => one.order({ ...order, addresses: turned(addresses, i) }, onWorked)),
    );
  }

  /** Resolves once the servers have so many jobs. */
  async #leaves(jobs: number, counts: string): Promise<void> {
    let left = Number.NaN;
    await until(SETTLED_MS, async () => {
      left = await this.#servers.left();
      return left === jobs;
    }).catch((error: unknown) => {
      throw new Error(`${counts}; the server has ${left}, and not ${jobs}: ${String(error)}`);
    });
  }
}

/** Begins the list with another for each process: the connections of all of them go to the servers in turn. */
function turned(addresses: readonly string[], by: number): readonly string[] {
  return addresses.map((_, i) => addresses[(i + by) % addresses.length]!);
}

function tell(hands: readonly Hand[], what: ToLoad): void {
  for (const one of hands) one.say(what);
}

async function resultsOf(hands: readonly Hand[]): Promise<LoadResult[]> {
  return (await Promise.all(hands.map((one) => one.heard('done')))).map(({ result }) => result);
}

async function closed(hands: readonly Hand[]): Promise<void> {
  tell(hands, { say: 'close' });
  await Promise.all(hands.map((one) => one.heard('closed')));
}

function jobsOf(results: readonly LoadResult[]): number {
  return results.reduce((jobs, one) => jobs + one.jobs, 0);
}

function loadOf(submitted: readonly LoadResult[], worked: readonly LoadResult[], seconds: number): Load {
  const all = [...submitted, ...worked];
  const jobs = jobsOf(submitted);
  const cpuUs = all.reduce((us, one) => us + one.cpuUs, 0);
  return {
    jobs,
    seconds,
    clientUs: cpuUs / jobs,
    busiestClient: Math.max(...all.map((one) => one.cpuUs / 1e6 / one.seconds)),
    waits: submitted.flatMap((one) => [...one.waits]),
  };
}
