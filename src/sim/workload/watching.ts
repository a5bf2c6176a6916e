import type { Watched } from '../../checker/history.js';
import type { JobWatcher, Watch } from '../../node/index.js';
import type { SimNode } from '../cluster.js';
import { isAbsence, noteRead } from './reading.js';
import type { Scene } from './scene.js';
import { NAMESPACE } from './specs.js';
import { seenOf } from './text.js';

/** `broken`: the connection or the node is gone; `left`: the client went; `refused`: it never began. */
export type WatchEnd = 'ended' | 'broken' | 'left' | 'refused' | 'absent';

export interface WatchWay {
  readonly by: string;
  /** Unique for each watch. */
  readonly watch: string;
  readonly job: string;
  /** After so long the client goes; 0: it stays. Milliseconds. */
  readonly leavesMs: number;
}

/** Follows a job at one node until the watch is over, and writes down all that it tells. */
export function follow(scene: Scene, target: SimNode, way: WatchWay): Promise<WatchEnd> {
  const { world } = scene;
  const { by, watch, job } = way;
  return new Promise((resolve, reject) => {
    let over = false;
    let told = false;
    let opened: Watch | null = null;
    const life = target.starts;
    const note = (event: Watched['event'], seen: Watched['seen']): void =>
      scene.note({ type: 'watched', at: world.now, watch, node: target.name, job, event, seen });
    const leave = way.leavesMs > 0 ? world.after(way.leavesMs, () => end('left')) : null;
    const end = (how: WatchEnd): void => {
      if (over) return;
      over = true;
      leave?.cancel();
      if (how !== 'ended' && told) note('broken', null);
      if (how === 'left' && target.starts === life)
        target.attached(async () => opened?.close()).catch(() => {});
      resolve(how);
    };
    const watcher: JobWatcher = {
      state: (kind, view) => {
        if (over) return;
        told = true;
        note(kind, seenOf(view));
        if (kind === 'ended') end('ended');
      },
      progress: () => {},
      data: () => {},
      dataGap: () => {},
      failed: () => end('broken'),
    };
    scene
      .call(
        target,
        (node, { signal }) => {
          const read = { consistency: 'linearizable', minRevision: 0, signal: signal! } as const;
          return node.watchJob(NAMESPACE, job, watcher, read);
        },
        (answer) => {
          // To be told that there is nothing to follow is a read.
          if (isAbsence(answer)) noteRead(scene, by, job, 'linearizable', answer);
          if (answer.value === null) end(isAbsence(answer) ? 'absent' : 'refused');
          else opened = answer.value;
        },
      )
      .then(() => {
        if (over) return;
        if (target.starts !== life) end('broken');
        else target.attached(() => new Promise<never>(() => {})).catch(() => end('broken'));
      })
      .catch(reject);
  });
}
