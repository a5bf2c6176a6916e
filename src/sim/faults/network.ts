import type { FaultKind } from '../plan.js';
import type { Bed, Fault } from './bed.js';

const LOSS_PERMILLE = [2, 10, 30, 100, 300];
const DELAY_MS = [5, 20, 80, 300];

/** What happens between nodes. */
export function networkFaults(bed: Bed): Fault[] {
  const { cluster, random, coverage, world } = bed;
  const { network } = cluster;

  /** Effective once a frame was lost, or a connection. */
  const lasting = (kind: FaultKind, ms: number, undo: () => void): true => {
    coverage.injected(kind);
    const before = network.lost + network.broken;
    bed.lasting(ms, undo);
    bed.effectWithin(kind, ms, () => network.lost + network.broken > before);
    return true;
  };

  const loss = (): boolean => {
    if (network.faults.lossPermille > 0) return false;
    network.faults.lossPermille = random.pick(LOSS_PERMILLE);
    world.note(`frames are lost, ${network.faults.lossPermille} of 1000`);
    const ms = random.between(500, 8_000);
    coverage.injected('message-loss');
    const before = network.lostByChance;
    bed.effectWithin('message-loss', ms, () => network.lostByChance > before);
    bed.lasting(ms, () => {
      network.faults.lossPermille = 0;
    });
    return true;
  };

  const delay = (): boolean => {
    const { faults } = network;
    const usual = faults.maxDelayMs;
    if (usual > 1) return false;
    faults.maxDelayMs = random.pick(DELAY_MS);
    world.note(`frames take up to ${faults.maxDelayMs} ms`);
    coverage.injected('message-delay');
    const before = network.overtaken;
    const ms = random.between(500, 6_000);
    bed.effectWithin('message-delay', ms, () => network.overtaken > before);
    bed.lasting(ms, () => {
      faults.maxDelayMs = usual;
    });
    return true;
  };

  const oneWay = (): boolean => {
    const [from, to] = bed.pair();
    world.note(`${to.name} hears nothing of ${from.name}`);
    return lasting('one-way-partition', random.between(100, 8_000), network.cut(from.name, to.name));
  };

  /** A minority on one side. */
  const partition = (): boolean => {
    const names = cluster.nodes.map(({ name }) => name);
    const most = Math.floor((names.length - 1) / 2);
    const count = 1 + random.below(most);
    const from = random.below(names.length);
    const leader = cluster.leader?.name;
    const few = new Set(Array.from({ length: count }, (_, i) => names[(from + i) % names.length]!));
    if (leader !== undefined && random.chance(400)) few.add(leader);
    if (few.size > most) few.delete([...few].find((name) => name !== leader)!);
    world.note(`${[...few].join(' ')} apart`);
    const undo: (() => void)[] = [];
    for (const one of names) {
      for (const other of names) {
        if (few.has(one) !== few.has(other)) undo.push(network.cut(one, other));
      }
    }
    return lasting('partition', random.between(200, 12_000), () => {
      for (const heal of undo) heal();
    });
  };

  const partial = (): boolean => {
    const [one, other] = bed.pair();
    world.note(`${one.name} and ${other.name} hear nothing of each other`);
    const undo = [network.cut(one.name, other.name), network.cut(other.name, one.name)];
    return lasting('partial-partition', random.between(200, 12_000), () => {
      for (const heal of undo) heal();
    });
  };

  const flap = (): boolean => {
    const { leader } = cluster;
    if (leader === null) return false;
    const others = cluster.nodes.filter((node) => node !== leader);
    const hit = random.chance(500) ? others : [random.pick(others)];
    const everyMs = random.between(25, 400);
    let left = 2 + random.below(10);
    coverage.injected('flap');
    const before = network.broken;
    const again = (): void => {
      if (bed.over || left === 0) return;
      left -= 1;
      for (const other of hit) network.disconnect(leader.name, other.name);
      world.after(everyMs, again);
    };
    again();
    if (network.broken > before) coverage.effective('flap');
    return true;
  };

  return [
    { kind: 'message-loss', weight: 5, strike: loss },
    { kind: 'message-delay', weight: 4, strike: delay },
    { kind: 'one-way-partition', weight: 4, strike: oneWay },
    { kind: 'partition', weight: 5, strike: partition },
    { kind: 'partial-partition', weight: 4, strike: partial },
    { kind: 'flap', weight: 4, strike: flap },
  ];
}
