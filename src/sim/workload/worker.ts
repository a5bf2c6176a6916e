import type { FunctionSpec } from '../../core/types.js';
import type { Assignment, OutcomeBySession, SessionPort, WorkerSession } from '../../node/index.js';
import type { SimNode } from '../cluster.js';
import type { SeededRandom } from '../random.js';
import { type Given, noteLease, noteLost, noteSettle, outcomeOf, settleAlone } from './attempts.js';
import { upload } from './large.js';
import { Line, type LineEnd } from './line.js';
import { type Scene, unnoted } from './scene.js';
import { ALL_FUNCTIONS, NAMESPACE, RESERVED } from './specs.js';

/** A job that takes long takes this many times longer than others. */
const LONG = 25;
const AGAIN_MS = [10, 250] as const;
/** So long a node may take to notice that a worker's machine is gone, milliseconds. */
const UNNOTICED_MS = 5_000;
const LATE_DETACH_MS = 2_500;
const LATE_OUTCOME_MS = 6_000;
/** Of outcomes, out of a thousand: said by a call besides. */
const ELSEWHERE = 15;

export interface WorkerWay {
  /** As a worker of Gearman's: jobs are reserved for it until it begins them, and its session ends with its connection. */
  readonly reserves: boolean;
  /** It takes all functions, always. */
  readonly all: boolean;
}

interface Held extends Given {
  cancelled: boolean;
}

/** A worker that holds a session, resumes it on other nodes, hangs, says things too late, and drops dead now and then. */
export class SessionWorker {
  readonly #scene: Scene;
  readonly #random: SeededRandom;
  readonly #name: string;
  readonly #way: WorkerWay;
  readonly #held = new Map<number, Held>();
  readonly #unanswered = new Map<number, OutcomeBySession>();
  #session: Pick<WorkerSession, 'id' | 'secret'> | null = null;
  #line: Line | null = null;
  /** Grows with each death. */
  #life = 0;

  constructor(scene: Scene, name: string, way: WorkerWay) {
    this.#scene = scene;
    this.#random = scene.random.fork();
    this.#name = name;
    this.#way = way;
  }

  async run(): Promise<void> {
    while (this.#scene.phase !== 'over') {
      const target = this.#scene.pickUp(this.#random);
      if (target !== null) {
        const line = await this.#connect(target);
        if (line !== null) {
          const how = await line.ended;
          this.#interrupted(line);
          this.#leave(line, how);
        }
      }
      this.#line = null;
      await this.#scene.world.sleep(this.#random.between(...AGAIN_MS));
    }
  }

  /** Nothing of it goes on. */
  stop(): void {
    this.#life += 1;
    this.#line?.end('moves');
  }

  async #connect(target: SimNode): Promise<Line | null> {
    const scene = this.#scene;
    const random = this.#random;
    const line = new Line(target);
    const early: Held[] = [];
    const port = this.#port(line, early);
    const before = this.#session;
    const heldTokens = [...this.#held.keys()];
    const { value, error } = await scene.call(
      target,
      async (node) => {
        const session =
          before === null
            ? await node.openSession(this.#opening(), port)
            : await node.attachSession({ session: before.id, secret: before.secret, heldTokens }, port);
        // The worker has turned away by now: its connection is closed.
        if (!line.open) session.detach();
        return session;
      },
      (told) => {
        if (told.value === null) line.end('refused');
      },
    );
    if (value === null) {
      if (error === 'SESSION_UNKNOWN') this.#forget();
      return null;
    }
    this.#session = { id: value.id, secret: value.secret };
    this.#line = line;
    line.session = value;
    for (const token of value.lostTokens) this.#lose(token);
    line.give(Math.max(0, 1 + random.below(scene.character.concurrency) - this.#held.size));
    for (const one of early) scene.run(this.#name, this.#work(line, one));
    // Outcomes of whose answer nothing is known are said again, also those of leases that are over: they may have counted.
    for (const outcome of [...this.#unanswered.values()])
      scene.run(this.#name, this.#settle(this.#anew(outcome)));
    const { connectionMs } = scene.character;
    scene.world.after(random.between(connectionMs / 8, connectionMs), () => line.end('moves'));
    if (random.chance(300)) scene.world.after(random.between(0, connectionMs), () => line.give(2));
    if (!this.#way.all && random.chance(200)) this.#changeFunctions(line, value);
    target.attached(() => line.ended).catch(() => line.end('lost'));
    return line;
  }

  /** What the cluster gives it about now may never reach it. */
  #interrupted({ target }: Line): void {
    const { world } = this.#scene;
    this.#scene.note({ type: 'interrupted', at: world.now, worker: this.#name, node: target.name });
  }

  #opening() {
    const { reserves } = this.#way;
    const functions = this.#functions();
    return { namespace: NAMESPACE, name: this.#name, functions, resumable: !reserves, reserves, credit: 0 };
  }

  #functions(): FunctionSpec[] {
    const random = this.#random;
    if (this.#way.reserves) return RESERVED.map((name) => ({ name, concurrency: 0, runTimeoutMs: 0 }));
    const names = this.#way.all ? ALL_FUNCTIONS : ALL_FUNCTIONS.filter(() => random.chance(700));
    return (names.length === 0 ? ALL_FUNCTIONS : names).map((name) => ({
      name,
      concurrency: random.chance(200) ? 2 : 0,
      runTimeoutMs: random.chance(100) ? 1_000 : 0,
    }));
  }

  #changeFunctions(line: Line, session: WorkerSession): void {
    this.#scene.world.after(this.#random.between(0, 3_000), () => {
      if (!line.open) return;
      const change = () => session.changeFunctions(this.#functions());
      this.#scene.run(this.#name, this.#scene.call(line.target, change, unnoted));
    });
  }

  #port(line: Line, early: Held[]): SessionPort {
    const scene = this.#scene;
    return {
      assigned: (jobs: readonly Assignment[]) => {
        if (!line.open) return;
        for (const one of jobs) {
          const given = noteLease(scene, this.#name, line.target.name, one, !this.#way.reserves);
          const held = { ...given, cancelled: false };
          this.#held.set(held.token, held);
          if (line.session === null) early.push(held);
          else scene.run(this.#name, this.#work(line, held));
        }
      },
      leasesLost: (lost) => {
        if (!line.open) return;
        for (const { token } of lost) this.#lose(token);
        line.give(lost.length);
      },
      cancelRequested: (token) => {
        const held = this.#held.get(token);
        if (line.open && held !== undefined) held.cancelled = true;
      },
      redirect: () => line.end('redirect'),
      drain: () => line.end('drain'),
      closed: () => line.end('closed'),
    };
  }

  #lose(token: number): void {
    noteLost(this.#scene, this.#name, token);
    this.#held.delete(token);
  }

  /** From the assignment to the outcome, over whatever connection there is by then. */
  async #work(line: Line, one: Held): Promise<void> {
    const { world } = this.#scene;
    const random = this.#random;
    const life = this.#life;
    if (this.#way.reserves) {
      await world.sleep(random.between(0, random.chance(100) ? 600 : 10));
      if (this.#life !== life) return;
      // It takes another one, or sleeps, and lets the job go.
      if (random.chance(80) && this.#held.has(one.token)) {
        await this.#settle(outcomeOf('release', this.#name, one, null));
        return;
      }
      if (line.open) line.say((session) => (one.begun ? session.ack([one.token]) : session.start(one.token)));
    } else if (line.open) {
      line.say((session) => session.ack([one.token]));
    }
    const ms = random.between(0, this.#scene.workMs) * (random.chance(30) ? LONG : 1);
    const chunks = random.chance(60) ? 1 + random.below(3) : 0;
    for (let i = 0; i < chunks; i++) {
      await world.sleep(ms / (chunks + 1));
      if (!line.open || this.#life !== life) break;
      line.say((session) => {
        session.progress(one.token, i + 1, chunks, '');
        session.data(one.token, i, [Buffer.from(`${i}`)]);
      });
    }
    await world.sleep(ms / (chunks + 1));
    if (this.#life === life) await this.#finish(one, chunks);
  }

  async #finish(one: Held, dataCount: number): Promise<void> {
    const scene = this.#scene;
    const random = this.#random;
    const deed = scene.phase === 'open' ? scene.character.worker.pick(random) : 'complete';
    if (!this.#held.has(one.token)) {
      if (random.chance(250)) await this.#settleAlone(outcomeOf('complete', this.#name, one, null));
      return;
    }
    if (one.cancelled && random.chance(500)) {
      await this.#settle(outcomeOf('fail-for-good', this.#name, one, null));
      return;
    }
    switch (deed) {
      case 'hang':
        // It is not named at the next attach, which frees it.
        this.#held.delete(one.token);
        return;
      case 'lose':
        this.#held.delete(one.token);
        await scene.world.sleep(random.between(100, LATE_OUTCOME_MS));
        await this.#settleAlone(outcomeOf('complete', this.#name, one, null));
        return;
      case 'large': {
        const target = this.#line?.target ?? null;
        const blob = target?.up === true ? await upload(scene, random, target) : null;
        await this.#settle(outcomeOf('complete', this.#name, one, blob));
        return;
      }
      default: {
        const outcome = outcomeOf(deed, this.#name, one, null);
        await this.#settle(outcome.kind === 'release' ? outcome : { ...outcome, dataCount });
      }
    }
  }

  /** An outcome that was said before. One who has forgotten what he said may say something else. */
  #anew(outcome: OutcomeBySession): OutcomeBySession {
    const { token, jobId: job } = outcome;
    if (!this.#random.chance(60)) return outcome;
    return outcomeOf(outcome.kind === 'fail' ? 'complete' : 'fail', this.#name, { token, job }, null);
  }

  async #settle(outcome: OutcomeBySession): Promise<void> {
    const line = this.#line;
    const { token } = outcome;
    // Gearman's workers know of no token by which an outcome that is said again is recognised.
    if (!this.#way.reserves) this.#unanswered.set(token, outcome);
    const session = line?.session ?? null;
    if (line === null || session === null || !line.open) return;
    if (this.#held.has(token)) line.granted += 1;
    const credit = line.granted;
    // Its answer may get lost: some say it by a call at another node at the same time.
    if (!this.#way.reserves && outcome.kind !== 'release' && this.#random.chance(ELSEWHERE))
      this.#scene.run(this.#name, this.#settleAlone(outcome));
    // Some ask for the next job together with the outcome, as PHP's workers do.
    const begins = this.#way.reserves && this.#random.chance(500);
    await this.#scene.call(
      line.target,
      () => session.settle([outcome], credit, begins),
      (told) => {
        const result = told.value?.[0] ?? null;
        const { fate } = noteSettle(this.#scene, this.#name, outcome, told, result, !this.#way.reserves);
        if (result === null || fate === 'unknown') return;
        this.#held.delete(token);
        this.#unanswered.delete(token);
      },
    );
  }

  #settleAlone(outcome: OutcomeBySession) {
    return settleAlone(this.#scene, this.#name, outcome, !this.#way.reserves);
  }

  #leave(line: Line, how: LineEnd): void {
    const random = this.#random;
    const { character, phase, world } = this.#scene;
    const { session } = line;
    if (how === 'moves' && phase === 'open' && random.chance(character.death)) {
      this.#die();
      line.detachAfter(world, random.chance(500) ? 0 : random.between(100, UNNOTICED_MS));
      return;
    }
    if ((how === 'moves' || how === 'drain') && random.chance(200) && session !== null && line.served) {
      this.#scene.run(
        this.#name,
        this.#scene.call(line.target, () => session.close(), unnoted),
      );
      this.#forget();
      return;
    }
    // Now and then the old connection is noticed to be gone when the new one stands already.
    if (how !== 'lost') line.detachAfter(world, random.chance(700) ? 0 : random.between(0, LATE_DETACH_MS));
    if (this.#way.reserves) this.#forget();
  }

  /** Its session is over: it begins a new one, and what it still holds is no longer its own. */
  #forget(): void {
    this.#session = null;
    this.#held.clear();
    const left = [...this.#unanswered.values()];
    this.#unanswered.clear();
    for (const outcome of left) {
      if (this.#random.chance(500)) this.#scene.run(this.#name, this.#settleAlone(outcome));
    }
  }

  #die(): void {
    this.#life += 1;
    this.#session = null;
    this.#held.clear();
    this.#unanswered.clear();
  }
}
