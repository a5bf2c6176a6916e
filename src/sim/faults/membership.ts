import type { SimNode } from '../cluster.js';
import type { Bed, Fault } from './bed.js';

/** A snapshot that was ordered is taken over by somebody else within this time, or it is not counted. */
const TAKEN_OVER_MS = 20_000;
const HANDED_OVER_MS = 1_500;

/** Disks that are lost for good, and what operators order: replacements, leadership, snapshots. */
export function membershipFaults(bed: Bed): Fault[] {
  const { cluster, random, coverage, world } = bed;

  const wipe = (): boolean => {
    const node = bed.target();
    if (node === null || !bed.mayLose) return false;
    coverage.injected('wipe');
    bed.lose(node);
    node.kill(true);
    node.wipe();
    world.note(`${node.name} has lost its disk`);
    bed.bootAfter(node, bed.downMs());
    bed.replace(node, () => coverage.effective('wipe'));
    return true;
  };

  const membership = (): boolean => {
    const node = bed.target(150);
    if (node === null || !bed.mayLose) return false;
    coverage.injected('membership');
    bed.lose(node);
    const life = node.starts;
    bed.stop(node);
    bed.when(
      () => node.starts !== life,
      () => {
        // Another fault may have ended it first, and it may be back.
        if (node.started) node.kill();
        node.wipe();
        world.note(`${node.name} gets another disk`);
        node.boot();
        bed.replace(node, () => coverage.effective('membership'));
        if (random.chance(500)) world.after(random.between(100, 1_000), () => void transfer());
      },
    );
    return true;
  };

  /** Which other node leads then; null: nobody could be asked. */
  const transfer = (): SimNode | null => {
    const { leader } = cluster;
    const others = cluster.running.filter((node) => node !== leader);
    if (bed.over || leader === null || others.length === 0) return null;
    const to = random.pick(others);
    world.note(`${leader.name} is told to hand over to ${to.name}`);
    const taken = leader.node?.engine?.transferTo(to.name) ?? false;
    return taken ? to : null;
  };

  const transferred = (): boolean => {
    const to = transfer();
    if (to === null) return false;
    coverage.injected('transfer');
    bed.effectWithin('transfer', HANDED_OVER_MS, () => cluster.leader === to);
    return true;
  };

  /** Half of them come when another node has fallen behind, so that it needs what is taken. */
  const snapshot = (): boolean => {
    const node = bed.target(800);
    if (node === null || node.paused) return false;
    coverage.injected('snapshot');
    if (random.chance(500)) {
      take(node);
      return true;
    }
    const others = cluster.nodes.filter((other) => other !== node);
    const behind = random.pick(others).name;
    // One that is heard goes on asking for things, and learns of none of them.
    const heard = random.chance(600);
    world.note(`${node.name} goes on without ${behind}${heard ? ', which is heard' : ''}`);
    const undo = [node, ...others].flatMap(({ name }) => {
      if (name === behind) return [];
      const deaf = cluster.network.cut(name, behind);
      return heard ? [deaf] : [deaf, cluster.network.cut(behind, name)];
    });
    bed.lasting(heard ? random.between(200, 2_000) : random.between(1_000, 3_000), () => {
      if (!bed.over) take(node);
      for (const heal of undo) heal();
    });
    return true;
  };

  const take = (node: SimNode): void => {
    const engine = node.node?.engine ?? null;
    if (engine === null || node.paused) return;
    const index = node.node?.parts?.core.appliedIndex ?? 0;
    world.note(`${node.name} is told to take a snapshot at ${index}`);
    void engine.snapshotting.take();
    bed.effectWithin('snapshot', TAKEN_OVER_MS, () => bed.heard.takenOver(node, index));
  };

  return [
    { kind: 'wipe', weight: 2, strike: wipe },
    { kind: 'membership', weight: 2, strike: membership },
    { kind: 'transfer', weight: 4, strike: transferred },
    { kind: 'snapshot', weight: 4, strike: snapshot },
  ];
}
