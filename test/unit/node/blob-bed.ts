import { createHash } from 'node:crypto';
import type { BlobRef, GearmeshError, JobView } from '../../../src/core/index.js';
import type { BlobStatistics } from '../../../src/node/blobs/blobs.js';
import type { BlobWriter } from '../../../src/node/index.js';
import type { SimNode } from '../../../src/sim/cluster.js';
import { jobSpec } from './parts.js';
import { SimBed } from './sim-bed.js';

/** Bytes that look random, the same for the same seed. */
export function content(size: number, seed = 1): Buffer {
  const out = Buffer.allocUnsafe(size);
  let x = seed * 2_654_435_761;
  for (let i = 0; i < size; i++) {
    x = (Math.imul(x, 1_664_525) + 1_013_904_223) >>> 0;
    out[i] = x >>> 24;
  }
  return out;
}

export function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}

/** Whole nodes with payloads outside the log. */
export class BlobBed extends SimBed {
  static override async started(
    seed: number,
    options: ConstructorParameters<typeof SimBed>[1] = {},
  ): Promise<BlobBed> {
    const bed = new BlobBed(seed, options);
    for (const node of bed.cluster.nodes) void node.start();
    await bed.until(() => bed.cluster.allReady(), 30_000);
    return bed;
  }

  statistics(node: SimNode): BlobStatistics {
    return node.node!.engine!.blobs.statistics;
  }

  begin(node: SimNode, size = -1, signal?: AbortSignal): Promise<BlobWriter> {
    return this.settled(node.node!.createBlob(size, signal === undefined ? {} : { signal }));
  }

  async give(writer: BlobWriter, bytes: Buffer, step = 100_000): Promise<void> {
    for (let at = 0; at < bytes.length; at += step) {
      await writer.write(Buffer.from(bytes.subarray(at, at + step)));
    }
  }

  /** A blob of these bytes that a majority has. */
  async upload(node: SimNode, bytes: Buffer): Promise<BlobRef> {
    const writer = await this.begin(node, bytes.length);
    const ref = await this.settled(
      this.give(writer, bytes).then(() => writer.finish()),
      60_000,
    );
    return ref;
  }

  /** A job with this payload; its id. */
  async submitBlob(
    node: SimNode,
    bytes: Buffer,
    fields: Parameters<typeof jobSpec>[0] = {},
  ): Promise<string> {
    return this.submit(node, {
      payload: Buffer.alloc(0),
      payloadBlob: await this.upload(node, bytes),
      ...fields,
    });
  }

  /** Why a submission of one job is refused; null: it is not. */
  async error(node: SimNode, fields: Parameters<typeof jobSpec>[0]): Promise<GearmeshError | null> {
    const specs = [jobSpec({ id: node.node!.newJobId(), ...fields })];
    const [told] = await this.settled(node.node!.submit('default', specs, { allOrNothing: false }));
    return told!.error;
  }

  async read(node: SimNode, ref: BlobRef, offset = 0): Promise<Buffer> {
    const work = async (): Promise<Buffer> => {
      const parts: Uint8Array[] = [];
      for await (const bytes of node.node!.readBlob(ref, offset, {})) parts.push(Buffer.from(bytes));
      return Buffer.concat(parts);
    };
    return this.settled(work(), 60_000);
  }

  job(node: SimNode, id: string): JobView {
    return this.core(node).findJob('default', id)!;
  }

  /** Files of blobs on this node's disk. */
  files(node: SimNode): string[] {
    return node.disk.paths().filter((path) => path.includes('/blobs/'));
  }
}
