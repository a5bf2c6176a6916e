import type { SimNode } from '../cluster.js';
import type { Bed, Fault } from './bed.js';

/** The crash comes so many events after it was drawn: at any point of whatever goes on. */
const EVENTS = 400;
/** A power loss that is to take something waits for a write for so many virtual milliseconds. */
const WRITE_MS = 100;
const TORN_MS = 8_000;

/** What happens to processes and machines: they die, end, stand still and come back. */
export function processFaults(bed: Bed): Fault[] {
  const { cluster, random, coverage, world } = bed;

  const crash = (): boolean => {
    const node = bed.target();
    if (node === null) return false;
    const life = node.starts;
    world.afterEvents(1 + random.below(EVENTS), () => {
      if (bed.over || bed.frail.has(node) || node.starts !== life || !node.started) return;
      coverage.injected('crash');
      if (node.diskBusy > 0 || node === cluster.leader) coverage.effective('crash');
      node.kill();
      bed.bootAfter(node, bed.downMs());
    });
    return true;
  };

  const stop = (): boolean => {
    const node = bed.target();
    if (node === null) return false;
    coverage.injected('stop');
    const life = node.starts;
    bed.stop(node);
    bed.when(
      () => node.starts !== life,
      () => {
        // A kill that came first is another fault's.
        if (node.starts !== life + 1 || node.started) return;
        coverage.effective('stop');
        bed.bootAfter(node, bed.downMs());
      },
    );
    return true;
  };

  /** In the middle of a write, if there is one soon: that is when it takes something. */
  const inAWrite = (node: SimNode, work: () => void, left = WRITE_MS): void => {
    if (bed.over || !node.started || bed.frail.has(node)) return;
    if (node.disk.hasUnsynced || left === 0) work();
    else world.after(1, () => inAWrite(node, work, left - 1));
  };

  const powerLoss = (): boolean => {
    const node = bed.target();
    if (node === null) return false;
    inAWrite(node, () => {
      coverage.injected('power-loss');
      if (node.kill(true, false) > 0) coverage.effective('power-loss');
      bed.bootAfter(node, bed.downMs());
    });
    return true;
  };

  const tornWrite = (): boolean => {
    const node = bed.target();
    if (node === null) return false;
    inAWrite(node, () => {
      coverage.injected('torn-write');
      const tails = coverage.count('tornTails');
      node.kill(true, true);
      bed.effectWithin('torn-write', TORN_MS, () => node.up && coverage.count('tornTails') > tails);
      bed.bootAfter(node, bed.downMs());
    });
    return true;
  };

  const powerLossAll = (): boolean => {
    // A cluster that starts anew believes the clock of its first leader for a fraction of a second.
    const fit = (node: SimNode): boolean => node.up && !bed.frail.has(node) && node.wallOffMs === 0;
    const first = bed.target();
    if (first === null || !cluster.nodes.every(fit)) return false;
    inAWrite(first, () => {
      if (!cluster.nodes.every((node) => !bed.frail.has(node) && node.wallOffMs === 0)) return;
      coverage.injected('power-loss-all');
      let lost = 0;
      for (const node of cluster.nodes) {
        if (!node.started) continue;
        lost += node.kill(true, true);
        bed.bootAfter(node, bed.downMs());
      }
      if (lost > 0) coverage.effective('power-loss-all');
    });
    return true;
  };

  const pause = (): boolean => {
    const node = bed.target();
    if (node === null || node.paused) return false;
    coverage.injected('pause');
    const count = (): number => coverage.count('elections') + coverage.count('nodeDowns');
    const before = count();
    const ms = random.chance(300) ? random.between(5_000, 30_000) : random.between(50, 4_000);
    node.pause();
    bed.lasting(ms, () => node.resume());
    bed.effectWithin('pause', ms + 2_000, () => count() > before);
    return true;
  };

  return [
    { kind: 'crash', weight: 10, strike: crash },
    { kind: 'stop', weight: 4, strike: stop },
    { kind: 'power-loss', weight: 8, strike: powerLoss },
    { kind: 'torn-write', weight: 6, strike: tornWrite },
    { kind: 'power-loss-all', weight: 2, strike: powerLossAll },
    { kind: 'pause', weight: 5, strike: pause },
  ];
}
