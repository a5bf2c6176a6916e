import type { SimNode } from '../cluster.js';
import { UNNOTICED_MS } from './absence.js';
import type { Bed, Fault } from './bed.js';
import { Groups } from './groups.js';

/** How long a follower hears nothing of its leader, so that it lacks entries when it is heard again. */
const LAG_MS = [200, 1_200] as const;
const SUCCESSION_MS = 3_000;
/** How long a machine that is too busy gives a process no time, and how long it then does. */
const STUTTER_MS = [60, 160] as const;
const MOMENT_MS = 5;
const DEAD_MS = [6_000, 16_000] as const;

/** What happens to leaders in the moments that matter: while another takes over, and while somebody is behind or dead. */
export function leaderFaults(bed: Bed): Fault[] {
  const { cluster, random, coverage, world } = bed;

  const others = (leader: SimNode): SimNode[] => cluster.nodes.filter((node) => node !== leader);
  const newest = (node: SimNode): number => node.node?.parts?.consensus.status().lastIndex ?? 0;
  const leads = (node: SimNode): boolean => node.node?.engine?.isOpenLeader === true;

  /** Clients still reach it, it still takes what they say, and it learns only later that all of that is void. */
  const deposed = (): boolean => {
    const { leader } = cluster;
    if (leader === null) return false;
    world.note(`${leader.name} loses its connections`);
    coverage.injected('deposed-leader');
    const groups = new Groups(cluster);
    groups.be([others(leader)], true);
    const ms = random.between(400, 2_000);
    bed.effectWithin('deposed-leader', ms, () => leads(leader) && others(leader).some(leads));
    // Its log is put right when it is back: some die with that on their disk, or in the middle of it.
    const dies = random.chance(500);
    bed.lasting(ms, () => {
      groups.heal();
      if (!bed.over && dies) endSoon(leader);
    });
    return true;
  };

  const endSoon = (node: SimNode): void => {
    const life = node.starts;
    world.after(random.between(5, random.pick([100, 600])), () => {
      if (bed.over || bed.frail.has(node) || node.starts !== life || !node.started) return;
      node.kill();
      bed.bootAfter(node, random.between(50, 500));
    });
  };

  /**
   * Some have all that was acknowledged, and some have not. The former are so slow that the others mostly ask for their
   * votes before they ask themselves.
   */
  const laggard = (): boolean => {
    const { leader } = cluster;
    if (leader === null || !cluster.allReady()) return false;
    const rest = others(leader);
    const from = random.below(rest.length);
    const behind = [...rest.slice(from), ...rest.slice(0, from)].slice(0, rest.length / 2);
    const abreast = rest.filter((node) => !behind.includes(node));
    coverage.injected('laggard');
    world.note(`${behind.map(({ name }) => name).join(' ')} lags behind ${leader.name}`);
    const hear = behind.map(({ name }) => cluster.network.cut(leader.name, name));
    bed.lasting(random.between(...LAG_MS), () => {
      for (const heal of hear) heal();
      if (bed.over || !leads(leader)) return;
      const lag = abreast.every((node) => behind.every((other) => newest(node) > newest(other)));
      const groups = new Groups(cluster);
      groups.be([rest], false);
      const endMs = world.now + SUCCESSION_MS;
      for (const node of abreast) stutter(node, endMs);
      if (lag) bed.effectWithin('laggard', SUCCESSION_MS, () => rest.some(leads));
      bed.lasting(SUCCESSION_MS, () => groups.heal());
    });
    return true;
  };

  /** As on a machine that has too much to do: it gets a moment now and then, and its timers are late. */
  const stutter = (node: SimNode, endMs: number): void => {
    if (bed.over || world.now >= endMs || !node.started || node.paused) return;
    node.pause();
    bed.lasting(random.between(...STUTTER_MS), () => {
      node.resume();
      world.after(MOMENT_MS, () => stutter(node, endMs));
    });
  };

  /** Whoever leads then has never heard of it in its term, and is to know all the same that it is dead. */
  const silent = (): boolean => {
    const node = bed.target(0);
    const { leader } = cluster;
    if (node === null || leader === null || node === leader || !cluster.allReady()) return false;
    coverage.injected('silent-node');
    node.kill();
    bed.bootAfter(node, random.between(...DEAD_MS));
    const before = coverage.count('nodeDowns');
    world.after(random.between(0, UNNOTICED_MS), () => {
      if (bed.over || cluster.leader !== leader || coverage.count('nodeDowns') > before) return;
      const to = random.pick(others(leader).filter((other) => other !== node));
      world.note(`${leader.name} is told to hand over to ${to.name}`);
      leader.node?.engine?.transferTo(to.name);
      const down = (): boolean => !node.started && coverage.count('nodeDowns') > before;
      bed.effectWithin('silent-node', DEAD_MS[0], () => down() && cluster.leader !== leader);
    });
    return true;
  };

  return [
    { kind: 'deposed-leader', weight: 4, strike: deposed },
    { kind: 'laggard', weight: 4, strike: laggard },
    { kind: 'silent-node', weight: 3, strike: silent },
  ];
}
