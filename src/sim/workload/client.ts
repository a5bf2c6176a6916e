import type { Change } from '../../checker/history.js';
import type { ChangeResult, GearmeshNode } from '../../node/index.js';
import type { SimNode } from '../cluster.js';
import type { SeededRandom } from '../random.js';
import { upload } from './large.js';
import { list, read, readBehind } from './reading.js';
import type { Scene } from './scene.js';
import { FUNCTIONS, NAMESPACE, SpecSource } from './specs.js';
import { type Accepted, Submitter } from './submitting.js';
import { follow } from './watching.js';

const FRAME_MAX = 5;
const WHOLE_MAX = 4;
const PIPELINE_MAX = 3;
/** Jobs that one client follows at once. */
const FOLLOWED_MAX = 8;
const LEAVES_MAX_MS = 2_500;
const EACH = { allOrNothing: false } as const;

/** A program that submits jobs, asks for them, decides about them and waits for them, at any node. */
export class SimClient {
  readonly #scene: Scene;
  readonly #random: SeededRandom;
  readonly #by: string;
  readonly #specs: SpecSource;
  readonly #submitter: Submitter;
  #watches = 0;
  #followed = 0;
  #listed = 0;

  constructor(scene: Scene, by: string) {
    this.#scene = scene;
    this.#random = scene.random.fork();
    this.#by = by;
    this.#specs = new SpecSource(scene, this.#random, by);
    this.#submitter = new Submitter(scene, this.#random, by);
  }

  async run(): Promise<void> {
    const { world, character } = this.#scene;
    while (this.#scene.phase === 'open') {
      const target = this.#scene.pickUp(this.#random);
      if (target !== null) await this.#deed(target);
      await world.sleep(this.#random.between(1, character.thinkMs));
    }
  }

  async #deed(target: SimNode): Promise<void> {
    const scene = this.#scene;
    const random = this.#random;
    const by = this.#by;
    const deed = scene.character.client.pick(random);
    const entry = scene.ledger.pick(random);
    switch (deed) {
      case 'submit':
        await this.#submitter.untilKnown([this.#specs.next()], EACH);
        return;
      case 'frame':
        await this.#submitter.untilKnown(this.#many(FRAME_MAX), EACH);
        return;
      case 'whole':
        await this.#submitter.untilKnown(this.#many(WHOLE_MAX), { allOrNothing: true });
        return;
      case 'pipeline':
        await this.#pipeline(target);
        return;
      case 'large': {
        const blob = await upload(scene, random, target);
        if (blob !== null) await this.#submitter.untilKnown([this.#specs.large(blob)], EACH);
        return;
      }
      case 'run':
        this.#inBackground(() => this.#run());
        return;
      case 'wait':
        this.#inBackground(() => this.#wait());
        return;
    }
    if (entry === null) return;
    const { id } = entry.spec;
    switch (deed) {
      case 'again':
        await this.#submitter.once(target, [entry.spec], EACH);
        return;
      case 'read':
        await read(scene, by, target, id);
        return;
      case 'read-behind':
        await readBehind(scene, by, target, entry, random.chance(600) ? entry.revision : 0);
        return;
      case 'list':
        this.#listed = await list(scene, by, target, random.pick(['', ...FUNCTIONS]), this.#listed);
        return;
      case 'watch':
        this.#inBackground(() => this.#watch(target, id));
        return;
      case 'cancel': {
        const graceMs = random.pick([0, 300, 3_000]);
        await this.#change('cancel', target, id, (node, call) =>
          node.cancelJob(NAMESPACE, id, 'by chance', graceMs, call),
        );
        return;
      }
      case 'retry':
        await this.#change('retry', target, id, (node, call) => node.retryJob(NAMESPACE, id, call));
        return;
      case 'delete':
        await this.#change('delete', target, id, (node, call) => node.deleteJob(NAMESPACE, id, call));
        return;
    }
  }

  #many(max: number) {
    return Array.from({ length: 2 + this.#random.below(max - 1) }, () => this.#specs.next());
  }

  /** Submissions that do not wait for each other, on one connection. Those of which nothing is known are said again. */
  async #pipeline(target: SimNode): Promise<void> {
    const random = this.#random;
    const calls = Array.from({ length: 2 + random.below(PIPELINE_MAX - 1) }, () => this.#many(3));
    const told = await Promise.all(calls.map((specs) => this.#submitter.once(target, specs, EACH)));
    for (const [i, { value }] of told.entries()) {
      if (value === null) await this.#submitter.untilKnown(calls[i]!, EACH);
    }
  }

  #inBackground(work: () => Promise<void>): void {
    if (this.#followed === FOLLOWED_MAX) return;
    this.#followed += 1;
    this.#scene.run(
      this.#by,
      work().finally(() => {
        this.#followed -= 1;
      }),
    );
  }

  /** As `RunJob` does: submits, and follows until the end, through other nodes where one dies. */
  async #run(): Promise<void> {
    const accepted = await this.#submitter.untilKnown(
      [this.#specs.next({ foreground: true, delayMs: 0 })],
      EACH,
    );
    const job = accepted?.results[0]?.jobId;
    if (accepted === null || job === undefined) return;
    let target: SimNode | null = accepted.node;
    while (this.#scene.phase !== 'over') {
      if (target !== null) {
        const end = await this.#follow(target, job, 0);
        if (end === 'ended' || end === 'absent') return;
      }
      await this.#scene.world.sleep(this.#random.between(5, 300));
      target = this.#scene.pickUp(this.#random);
    }
  }

  async #watch(target: SimNode, job: string): Promise<void> {
    await this.#follow(target, job, this.#random.chance(300) ? this.#random.between(1, LEAVES_MAX_MS) : 0);
  }

  /** As a foreground job of Gearman's: it is dropped when nobody waits for it any more, and some leave early. */
  async #wait(): Promise<void> {
    const random = this.#random;
    const accepted = await this.#submitter.untilKnown([this.#specs.next({ waits: true, delayMs: 0 })], EACH);
    const result = accepted?.results[0];
    if (accepted === null || result === undefined) return;
    const leavesMs = random.chance(450) ? random.between(1, random.pick([30, LEAVES_MAX_MS])) : 0;
    await this.#follow(accepted.node, result.jobId, leavesMs);
    this.#unwait(accepted, result.seq);
  }

  #unwait({ node, life }: Accepted, seq: number): void {
    if (node.starts === life) node.attached(async (api) => api.unwait(seq)).catch(() => {});
  }

  #follow(target: SimNode, job: string, leavesMs: number) {
    this.#watches += 1;
    const watch = `${this.#by}~${this.#watches}`;
    return follow(this.#scene, target, { by: this.#by, watch, job, leavesMs });
  }

  #change(
    type: Change['type'],
    target: SimNode,
    job: string,
    work: (node: GearmeshNode, call: { signal?: AbortSignal }) => Promise<ChangeResult>,
  ) {
    return this.#scene.call(target, work, ({ node, begin, end, fate, error }) =>
      this.#scene.note({ type, by: this.#by, node, begin, end, fate, error, job }),
    );
  }
}
