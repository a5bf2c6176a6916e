import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import type { RealNode } from '../../support/real-cluster.js';
import { ENTRY } from '../../support/root.js';
import type { Stage } from '../stage.js';

const ALL_MS = 120_000;
const ONE_MS = 40_000;
const PAUSE_MS = 500;

/** `gearmesh cluster replace`, as an operator does it, again until it is done; false, and a finding, when it is not in time. */
export async function replace(stage: Stage, node: RealNode): Promise<boolean> {
  const end = stage.now() + ALL_MS;
  let last = '';
  while (stage.now() < end) {
    const asked = stage.cluster.nodes.filter((one) => one !== node).map((one) => one.grpc);
    const child = spawn(
      process.execPath,
      [ENTRY, 'cluster', 'replace', node.name, '--endpoint', asked.join(',')],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    const late = setTimeout(() => child.kill('SIGKILL'), ONE_MS);
    const said = Promise.all([text(child.stdout), text(child.stderr)]);
    const [code] = (await once(child, 'exit')) as [number | null];
    clearTimeout(late);
    last = (await said).join('').trim();
    if (code === 0) return stage.revive(node);
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  stage.found(`${node.name} could not be replaced within ${ALL_MS / 1_000} s: ${last}`);
  return false;
}
