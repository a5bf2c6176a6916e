import { createGearmanServer, type GearmanServer } from '../../../src/gearman/index.js';
import type { SubmitResult } from '../../../src/node/interface.js';
import { RawGearman } from '../../support/gearman.js';
import { FakeNode } from '../api/fake-node.js';
import { HandClock } from '../api/hand-clock.js';

const silent = { info: () => {}, warn: () => {}, error: () => {} };

/** A gateway on a fake node, and connections to it. */
export class Bed {
  readonly node = new FakeNode();
  readonly clock = new HandClock();
  readonly opened: RawGearman[] = [];
  readonly server: GearmanServer;

  constructor(options: Partial<Parameters<typeof createGearmanServer>[0]> = {}) {
    const { node, clock } = this;
    this.server = createGearmanServer({
      api: node,
      clock,
      log: silent,
      host: '127.0.0.1',
      port: 0,
      ...options,
    });
  }

  async open(): Promise<RawGearman> {
    const raw = await RawGearman.open(`127.0.0.1:${this.server.port}`);
    this.opened.push(raw);
    return raw;
  }

  async close(): Promise<void> {
    for (const one of this.opened) one.end();
    await this.server.close();
  }
}

export function created(seq: number): SubmitResult {
  return { jobId: 'x', seq, disposition: 'created', state: 'queued', revision: 1, error: null };
}
