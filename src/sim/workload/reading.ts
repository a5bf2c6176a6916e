import type { Read } from '../../checker/history.js';
import type { JobView } from '../../core/types.js';
import type { SimNode } from '../cluster.js';
import type { Entry } from './ledger.js';
import type { Scene, Told } from './scene.js';
import { NAMESPACE } from './specs.js';
import { seenOf } from './text.js';

const PAGE = 20;
const BUDGET = 2_000;

/** The answer was that there is no such job. */
export function isAbsence(told: Told<unknown>): boolean {
  return told.error === 'NOT_FOUND';
}

/** `view`: the job as it was answered; null when it was not. */
export function noteRead(
  scene: Scene,
  by: string,
  job: string,
  consistency: Read['consistency'],
  told: Told<unknown>,
  view: JobView | null = null,
): void {
  const absent = isAbsence(told);
  scene.note({
    type: 'read',
    by,
    node: told.node,
    begin: told.begin,
    end: told.end,
    fate: absent ? 'done' : told.fate,
    error: told.error,
    job,
    consistency,
    answer: absent ? 'absent' : view === null ? null : seenOf(view),
  });
}

export async function read(scene: Scene, by: string, target: SimNode, job: string): Promise<Told<JobView>> {
  return scene.call(
    target,
    (node, { signal }) =>
      node.getJob(NAMESPACE, job, { consistency: 'linearizable', minRevision: 0, signal: signal! }),
    (told) => noteRead(scene, by, job, 'linearizable', told, told.value),
  );
}

/** Asks a node for what it has by now, or once it has what the client was told of the job before. */
export async function readBehind(
  scene: Scene,
  by: string,
  target: SimNode,
  entry: Entry,
  minRevision: number,
): Promise<void> {
  const { id } = entry.spec;
  const told = await scene.call(
    target,
    (node, { signal }) =>
      node.getJob(NAMESPACE, id, { consistency: 'eventual', minRevision, signal: signal! }),
    (answer) => noteRead(scene, by, id, 'local', answer, answer.value),
  );
  if (minRevision < entry.revision || !isAbsence(told)) return;
  // One that was dropped does not come back: where a later reader finds it, the node did not have what it was to have.
  const { value } = await read(scene, by, target, id);
  if (value !== null) {
    scene.violations.push(
      `${target.name} was asked for ${id} as of revision ${minRevision} and had nothing, though it was made at ${entry.revision}`,
    );
  }
}

/** One page of jobs: each is a read of what the node had at one moment. */
export async function list(
  scene: Scene,
  by: string,
  target: SimNode,
  fn: string,
  after: number,
): Promise<number> {
  const query = {
    namespace: NAMESPACE,
    function: fn,
    states: [],
    uniqueKey: '',
    pageSize: PAGE,
    after,
    budget: BUDGET,
  };
  const { value } = await scene.call(
    target,
    (node, { signal }) =>
      node.listJobs(query, { consistency: 'linearizable', minRevision: 0, signal: signal! }),
    (told) => {
      for (const job of told.value?.jobs ?? []) noteRead(scene, by, job.id, 'linearizable', told, job);
    },
  );
  return value?.next ?? 0;
}
