import { beforeEach, describe, expect, it } from 'vitest';
import { FormationDesk, judgeHello, type Promised } from '../../../src/node/formation.js';
import type { Formation } from '../../../src/node/members.js';
import type { Hello, PeerAddress } from '../../../src/peer/types.js';
import type { World } from '../../../src/sim/world.js';
import { newWorld, pass, silent } from './parts.js';

const NAMES = ['n1', 'n2', 'n3'];
const PEERS: PeerAddress[] = NAMES.map((name) => ({ name, host: name, port: 7731 }));

function diskOf(name: string, life = 0): string {
  return `${name.slice(1)}${life}`.padEnd(32, 'ab');
}

function hello(name: string, clusterId: string | null, diskId = diskOf(name)): Hello {
  return {
    protocol: 1,
    featureLevel: 1,
    configuration: 0,
    name,
    diskId,
    clusterId,
    clusterName: 'c',
    grpc: '',
    http: '',
    peer: `${name}:7731`,
    version: '0',
  };
}

class Disk {
  promised: Promised | null = null;
  cluster: Formation | null = null;
}

describe('an empty disk', () => {
  let world: World;
  let disks: Map<string, Disk>;
  let desks: Map<string, FormationDesk>;
  let up: Set<string>;
  /** Topics that do not reach a node, as `topic>name`. */
  let lost: Set<string>;

  beforeEach(() => {
    world = newWorld();
    disks = new Map(NAMES.map((name) => [name, new Disk()]));
    desks = new Map();
    up = new Set();
    lost = new Set();
  });

  function start(name: string, clusterName = 'c'): Promise<Formation | null> {
    const disk = disks.get(name)!;
    up.add(name);
    const desk = new FormationDesk({
      name,
      clusterName,
      peers: PEERS,
      settings: {},
      memory: {
        diskId: diskOf(name),
        promised: async () => disk.promised,
        promise: async (formation) => {
          disk.promised = { formation, adopted: false };
        },
        join: async (promised) => {
          disk.promised = promised;
          disk.cluster = promised.formation;
        },
      },
      clock: world.clock(0),
      random: world.random,
      log: silent,
      asking: {
        ask: async (to: string, topic: string, body: unknown) => {
          if (!up.has(to) || lost.has(`${topic}>${to}`)) throw new Error('no answer');
          if (topic === 'form.decided') return disks.get(to)!.cluster?.clusterId ?? null;
          return desks.get(to)!.answer(topic, body);
        },
      } as never,
      hello: (peer) => (up.has(peer) ? hello(peer, disks.get(peer)!.cluster?.clusterId ?? null) : null),
      ownPeerAddress: `${name}:7731`,
    });
    desks.set(name, desk);
    return desk.run();
  }

  function clusters(): (string | undefined)[] {
    return NAMES.map((name) => disks.get(name)!.cluster?.clusterId);
  }

  it('rule: formation - all listed peers agree on cluster id and on the disk id of each name', async () => {
    for (const name of NAMES) void start(name);
    await pass(world, 1_000);
    expect(new Set(clusters()).size).toBe(1);
    expect(disks.get('n3')!.cluster!.members.map((member) => member.diskId)).toEqual(
      NAMES.map((name) => diskOf(name)),
    );
  });

  it('rule: formation - a new cluster waits while a listed peer cannot be reached', async () => {
    void start('n1');
    void start('n2');
    await pass(world, 5_000);
    expect(clusters()).toEqual([undefined, undefined, undefined]);
  });

  it('rule: formation - two wiped nodes form nothing while a third belongs to a cluster', async () => {
    disks.get('n3')!.cluster = { clusterId: 'old', clusterName: 'c', members: [], settings: {}, attempt: 1 };
    up.add('n3');
    void start('n1');
    void start('n2');
    await pass(world, 5_000);
    expect(clusters()).toEqual([undefined, undefined, 'old']);
  });

  it('rule: formation - nothing is decided while one has not written the promise down', async () => {
    lost.add('form.prepare>n3');
    for (const name of NAMES) void start(name);
    await pass(world, 1_000);
    expect(clusters()).toEqual([undefined, undefined, undefined]);
    lost.clear();
    await pass(world, 1_000);
    expect(new Set(clusters()).size).toBe(1);
    expect(clusters()[0]).toBeDefined();
  });

  it('learns a decision that it missed from those who know', async () => {
    lost.add('form.commit>n3');
    for (const name of NAMES) void start(name);
    await pass(world, 2_000);
    expect(clusters()[2]).toBe(clusters()[0]);
    expect(clusters()[2]).toBeDefined();
  });

  it('takes part in nothing that does not name it', async () => {
    void start('n2');
    const members = [{ name: 'n2', diskId: diskOf('n2', 9), raftId: 5, peer: 'n2:7731' }];
    const formation: Formation = { clusterId: 'x', clusterName: 'c', members, settings: {}, attempt: 1 };
    await expect(desks.get('n2')!.answer('form.prepare', formation)).rejects.toThrow('do not name this disk');
    await expect(desks.get('n2')!.answer('adopt', { ...formation, clusterName: 'other' })).rejects.toThrow(
      'configured for the cluster c',
    );
    await desks.get('n2')!.answer('adopt', formation);
    expect(clusters()[1]).toBe('x');
    expect(disks.get('n2')!.promised!.adopted).toBe(true);
  });

  it('forms nothing with nodes that have another list of peers', async () => {
    void start('n2');
    const members = ['n1', 'n2'].map((name) => ({ name, diskId: diskOf(name), raftId: 5, peer: name }));
    const formation: Formation = { clusterId: 'x', clusterName: 'c', members, settings: {}, attempt: 1 };
    await expect(desks.get('n2')!.answer('form.prepare', formation)).rejects.toThrow(
      'the list of peers differs: it has n1, n2 there and n1, n2, n3 here',
    );
  });

  it('promises a later attempt of the same founder, and then no earlier one that was still on its way', async () => {
    void start('n2');
    const n2 = desks.get('n2')!;
    const members = NAMES.map((name) => ({ name, diskId: diskOf(name), raftId: 5, peer: name }));
    const formation: Formation = { clusterId: 'x', clusterName: 'c', members, settings: {}, attempt: 1 };
    await n2.answer('form.prepare', formation);
    await n2.answer('form.prepare', { ...formation, clusterId: 'y', attempt: 2 });
    await expect(n2.answer('form.prepare', formation)).rejects.toThrow('has promised to join cluster y');
    const other = [{ ...members[0]!, diskId: diskOf('n1', 1) }, ...members.slice(1)];
    await expect(
      n2.answer('form.prepare', { ...formation, clusterId: 'z', attempt: 3, members: other }),
    ).rejects.toThrow('has promised to join cluster y');
  });

  it('joins as it promised, whatever the teller believes, and nothing that it did not promise', async () => {
    void start('n2');
    const members = NAMES.map((name) => ({ name, diskId: diskOf(name), raftId: 5, peer: name }));
    const formation: Formation = { clusterId: 'x', clusterName: 'c', members, settings: {}, attempt: 1 };
    const n2 = desks.get('n2')!;
    await expect(n2.answer('form.commit', formation)).rejects.toThrow('has not promised');
    await n2.answer('form.prepare', formation);
    await expect(n2.answer('form.commit', { ...formation, clusterId: 'y' })).rejects.toThrow(
      'has not promised',
    );
    await n2.answer('form.commit', { ...formation, settings: { jobsMax: 7 }, members: members.slice(1) });
    expect(disks.get('n2')!.cluster).toEqual(formation);
    expect(disks.get('n2')!.promised!.adopted).toBe(false);
  });

  it('goes on being taken in after a crash in the middle of it', async () => {
    const members = NAMES.map((name) => ({ name, diskId: diskOf(name, 9), raftId: 5, peer: name }));
    const formation: Formation = { clusterId: 'x', clusterName: 'c', members, settings: {}, attempt: 0 };
    disks.get('n2')!.promised = { formation, adopted: true };
    void start('n2');
    await pass(world, 1_000);
    expect(clusters()[1]).toBeUndefined();
    await expect(
      desks.get('n2')!.answer('form.prepare', {
        ...formation,
        clusterId: 'y',
        members: NAMES.map((name) => ({ name, diskId: diskOf(name), raftId: 5, peer: name })),
      }),
    ).rejects.toThrow('has promised to join cluster x');
    disks.get('n1')!.cluster = formation;
    up.add('n1');
    await pass(world, 1_000);
    expect(clusters()[1]).toBe('x');
    expect(disks.get('n2')!.promised!.adopted).toBe(true);
  });

  it('whose write fails ends the node', async () => {
    const run = start('n2');
    const ended = expect(run).rejects.toThrow('no space');
    const members = NAMES.map((name) => ({ name, diskId: diskOf(name), raftId: 5, peer: name }));
    Object.defineProperty(disks.get('n2')!, 'promised', {
      get: () => null,
      set: () => {
        throw new Error('no space');
      },
    });
    const formation: Formation = { clusterId: 'x', clusterName: 'c', members, settings: {}, attempt: 1 };
    await expect(desks.get('n2')!.answer('form.prepare', formation)).rejects.toThrow('no space');
    await ended;
  });

  it('that is stopped meanwhile does not wait for ever', async () => {
    const run = start('n1');
    desks.get('n1')!.stop();
    expect(await run).toBeNull();
  });
});

describe('a hello', () => {
  const members = [{ name: 'n2', diskId: diskOf('n2'), raftId: 2, peer: 'n2:7731' }];
  const own = { name: 'n1', clusterName: 'c', clusterId: 'id', members, configuration: 7 };

  it('stays for members and for empty disks', () => {
    expect(judgeHello(own, hello('n2', 'id'))).toBeNull();
    expect(judgeHello(own, hello('n2', null, diskOf('n2', 1)))).toBeNull();
  });

  it('is refused by a node that knows less than the other one writes', () => {
    expect(judgeHello(own, { ...hello('n2', 'id'), featureLevel: 2 })).toBe(
      'feature level 2 is above 1, the highest that n1 knows: update it',
    );
    expect(judgeHello(own, { ...hello('n2', 'id'), featureLevel: 0 })).toBeNull();
  });

  it('stays for another disk that a later list of members names', () => {
    const theirs = { ...hello('n2', 'id', diskOf('n2', 1)), configuration: 8 };
    expect(judgeHello(own, theirs)).toBeNull();
    expect(judgeHello(own, { ...theirs, clusterId: 'other' })).toContain('cluster id');
  });

  it('is refused for a disk id that is none', () => {
    expect(judgeHello(own, hello('n2', 'id', 'disk'))).toContain('disk id "disk"');
  });

  it('is refused for another cluster, another name of it, and a disk that was replaced', () => {
    expect(judgeHello(own, { ...hello('n2', null), clusterName: 'x' })).toContain('cluster name');
    expect(judgeHello(own, hello('n2', 'other'))).toContain('cluster id');
    for (const cluster of [null, 'id']) {
      expect(judgeHello(own, hello('n9', cluster))).toBe('the cluster has no node n9');
    }
    expect(judgeHello({ ...own, members: null }, hello('n9', null))).toBeNull();
    for (const configuration of [0, 6, 7]) {
      const theirs = { ...hello('n2', 'id', diskOf('n2', 1)), configuration };
      expect(judgeHello(own, theirs)).toContain('replaced');
    }
  });
});
