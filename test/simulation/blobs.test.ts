import { describe, expect, it } from 'vitest';
import type { BlobRef } from '../../src/core/index.js';
import { UNNAMED_MS } from '../../src/node/blobs/keeper.js';
import type { SimNode } from '../../src/sim/cluster.js';
import { SeededRandom } from '../../src/sim/random.js';
import { BlobBed, content, sha256 } from '../unit/node/blob-bed.js';
import { jobSpec } from '../unit/node/parts.js';

/** More lives: `SIM_SEEDS=100`; others: `SIM_FIRST=7`. */
const SEEDS = Number(process.env.SIM_SEEDS ?? 3);
const FIRST = Number(process.env.SIM_FIRST ?? 1);
const LIFE_MS = 30_000;

/** What a client was told, and what it must find. */
interface Accepted {
  readonly jobId: string;
  readonly ref: BlobRef;
}

/** Uploads and submissions through all nodes while nodes die, lose power and lose each other. */
class Life {
  readonly bed: BlobBed;
  readonly random: SeededRandom;
  readonly accepted: Accepted[] = [];
  tried = 0;
  over = false;
  /** Nothing befalls the nodes any more. */
  calm = false;

  constructor(bed: BlobBed, seed: number) {
    this.bed = bed;
    this.random = new SeededRandom(seed);
  }

  async client(number: number): Promise<void> {
    const { bed, random } = this;
    for (let i = 0; !this.over; i++) {
      await bed.world.sleep(random.between(10, 400));
      const node = bed.cluster.nodes[random.below(3)]!;
      this.tried += 1;
      await this.#one(node, content(random.below(700_000) + 1, number * 1_000 + i)).catch(() => {});
    }
  }

  async #one(node: SimNode, bytes: Buffer): Promise<void> {
    const { bed, random } = this;
    const signal = new AbortController();
    const timer = bed.world.sleep(8_000).then(() => signal.abort());
    const call = { signal: signal.signal };
    const ref = await node.attached(async (api) => {
      const writer = await api.createBlob(random.below(2) === 0 ? bytes.length : -1, call);
      await bed.give(writer, bytes, random.below(200_000) + 10_000);
      // Some never come to their end.
      if (random.below(10) === 0) writer.abort();
      return writer.finish();
    });
    // Some are never named.
    if (random.below(8) === 0) return;
    const by = random.below(4) === 0 ? bed.cluster.nodes[random.below(3)]! : node;
    await by.attached(async (api) => {
      const spec = jobSpec({
        id: api.newJobId(),
        payload: Buffer.alloc(0),
        payloadBlob: ref,
        uniqueKey: random.below(6) === 0 ? 'k' : '',
        seed: 1,
      });
      const [told] = await api.submit('default', [spec], { allOrNothing: false, ...call });
      if (told!.error === null && told!.disposition === 'created') {
        this.accepted.push({ jobId: told!.jobId, ref });
      }
    });
    void timer;
  }

  async trouble(): Promise<void> {
    const { bed, random } = this;
    while (!this.calm) {
      await bed.world.sleep(random.between(300, 3_000));
      const node = bed.cluster.nodes[random.below(3)]!;
      switch (random.below(5)) {
        case 0:
        case 1:
          if (node.up && bed.cluster.running.length === 3) {
            node.kill(random.below(2) === 0);
            await bed.world.sleep(random.between(100, 4_000));
            await node.start();
          }
          break;
        case 2: {
          const other = bed.cluster.nodes[random.below(3)]!;
          bed.cluster.network.cut(node.name, other.name);
          await bed.world.sleep(random.between(100, 3_000));
          bed.cluster.network.heal();
          break;
        }
        case 3: {
          // Rot, where nobody looks until it is read; on one node, for what all have lost is lost.
          const [node] = bed.cluster.nodes as [SimNode];
          const files = bed.files(node).filter((path) => path.endsWith('.blob'));
          const path = files[random.below(Math.max(1, files.length))];
          if (path !== undefined && node.disk.contentOf(path).length > 200) {
            node.disk.flipBit(path, 132 + random.below(50), random.below(8));
          }
          break;
        }
        default:
          for (const one of bed.cluster.nodes) if (one.up && random.below(3) === 0) one.kill(true);
          await bed.world.sleep(500);
          for (const one of bed.cluster.nodes) if (!one.up) await one.start();
      }
    }
  }
}

describe('payloads outside the log under faults', () => {
  it('rule: blobs - of every job that was accepted they can be read on every node, and nothing else is left', async () => {
    let jobs = 0;
    for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
      const bed = await BlobBed.started(seed, { snapshotLogBytes: 64 * 1024, keepLogBytes: 8 * 1024 });
      const life = new Life(bed, seed);
      const clients = [life.client(1), life.client(2)];
      const trouble = life.trouble();
      await bed.pass(LIFE_MS);
      life.calm = true;
      // It starts again what it ended: to its end, so that nobody else starts the same node.
      await bed.settled(trouble, 60_000);
      bed.cluster.network.heal();
      await bed.until(() => bed.cluster.allReady(), 60_000);
      const missing = () => bed.cluster.nodes.map((node) => bed.statistics(node).missing);
      // What rotted on one disk is on both others, so that it is left when one of them is lost.
      await bed.until(() => missing().every((count) => count === 0), 60_000);
      // One machine is lost for good, with its disk, in the midst of it.
      const lost = bed.cluster.nodes[seed % 3]!;
      lost.kill(true);
      lost.wipe();
      void lost.start();
      await bed.until(() => bed.cluster.leader !== null, 60_000);
      await bed.pass(2_000);
      await bed.settled(
        bed.leader.node!.replaceNode(lost.name, {}, () => {}),
        120_000,
      );
      life.over = true;
      await bed.settled(Promise.all(clients), 60_000);
      await bed.until(() => bed.cluster.allReady() && bed.agree(), 60_000);
      await bed.until(() => missing().every((count) => count === 0), 60_000);
      for (const { jobId, ref } of life.accepted) {
        for (const node of bed.cluster.nodes) {
          expect(bed.job(node, jobId).payloadBlob, `seed ${seed}`).toMatchObject({ id: ref.id });
          expect(sha256(await bed.read(node, ref)), `seed ${seed} ${node.name}`).toEqual(ref.digest);
        }
      }
      expect(bed.cluster.nodes.map((node) => node.fatal)).toEqual([null, null, null]);
      await bed.pass(UNNAMED_MS + 5_000);
      await bed.until(() => missing().every((count) => count === 0), 60_000);
      const held = bed.core(bed.leader).counts().blobs;
      expect(held).toBeGreaterThanOrEqual(life.accepted.length);
      for (const node of bed.cluster.nodes) {
        expect(bed.files(node), `seed ${seed} ${node.name}`).toHaveLength(held);
        expect(bed.statistics(node)).toMatchObject({ held, uploads: 0 });
      }
      jobs += life.accepted.length;
    }
    expect(jobs).toBeGreaterThan(SEEDS * 20);
  }, 600_000);
});
