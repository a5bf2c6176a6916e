import { Client, type JobInfo } from '../../src/client/index.js';
import { FUNCTIONS, jobOf, type Notes, seenOf } from './load/notes.js';
import type { Stage } from './stage.js';

const PAGE = 500;
const CALL_MS = 30_000;

/** Notes what each node has of each job that anybody ever tried to submit, and of any other that it has. */
export async function observe(stage: Stage, notes: Notes): Promise<void> {
  for (const node of stage.cluster.nodes) {
    const client = new Client({ endpoints: node.grpc, timeoutMs: CALL_MS });
    const left = new Set(notes.tried.keys());
    try {
      for (const fn of FUNCTIONS) {
        const options = { function: fn, view: 'full', consistency: 'eventual', pageSize: PAGE } as const;
        for await (const job of client.list(options)) {
          const name = nameOf(job);
          left.delete(name);
          const at = notes.now();
          notes.recorder.note({
            type: 'last',
            node: node.name,
            job: name,
            at,
            seen: seenOf(job),
            madeBy: '',
          });
        }
      }
    } finally {
      await client.close();
    }
    for (const name of left) {
      notes.recorder.note({
        type: 'last',
        node: node.name,
        job: name,
        at: notes.now(),
        seen: 'absent',
        madeBy: '',
      });
    }
  }
}

/** As the history knows it: one of Gearman's has its name in its payload. */
function nameOf(job: JobInfo): string {
  const named = jobOf(Buffer.from(job.payload).toString());
  return named.startsWith('g-') ? named : job.id;
}
