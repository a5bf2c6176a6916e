import { afterEach, describe, expect, it } from 'vitest';
import { argsOf, RawGearman } from '../support/gearman.js';
import { Mutations } from '../support/gearman-fuzz.js';
import { INSPECTABLE, type Memory, memoryAfterCollection } from '../support/inspector.js';
import { RealCluster, type RealNode, until } from '../support/real-cluster.js';

/**
 * Goal: what gearmand never said (docs/gearman.md): a node that stops hands work back before its connections close; a node
 * that dies loses no job; without a leader a client waits, and is told; garbage costs nothing that stays.
 */
const MIB = 2 ** 20;
/** What may be referred to for longer, and what the allocator of a process may keep in hand after such a peak. */
const LIVE_SLACK = 16 * MIB;
const RESIDENT_SLACK = 128 * MIB;
const PACKETS = 100_000;
/** Few: after the first that is no packet at all the connection is over. */
const PACKETS_PER_CONNECTION = 5;
const AT_ONCE = 50;
const RETURN_MS = 30_000;
/** Log segments and snapshots come and go. */
const OWN_FILES = 16;
/** Perl's workers wait no longer for the answer to a GRAB_JOB. */
const GRAB_MS = 500;

describe('the Gearman port', () => {
  let cluster: RealCluster;
  let opened: RawGearman[] = [];

  afterEach(async () => {
    for (const one of opened) one.end();
    opened = [];
    await cluster.remove();
  });

  async function open(name: string): Promise<RawGearman> {
    const raw = await RawGearman.open(cluster.node(name).gearman);
    opened.push(raw);
    return raw;
  }

  it('of a node that stops: work goes on elsewhere, what is held is finished, then it closes', async () => {
    cluster = await RealCluster.start();
    const leader = await cluster.leader();
    const [other] = await cluster.followers();
    const client = await open(other!.name);
    const busy = (await open(leader.name)).send('CAN_DO', 'slow');
    const idle = (await open(leader.name)).send('CAN_DO', 'quick');
    await idle.send('GRAB_JOB').expect('NO_JOB');
    idle.send('PRE_SLEEP');
    const handle = await client.submit('SUBMIT_JOB', 'slow', '', 'x');
    expect((await busy.work()).handle).toBe(handle);
    const stopped = leader.end('SIGTERM');
    await idle.closed();
    const next = await client.submit('SUBMIT_JOB', 'quick', '', 'y');
    const elsewhere = (await open(other!.name)).send('CAN_DO', 'quick');
    expect((await elsewhere.work()).handle).toBe(next);
    elsewhere.send('WORK_COMPLETE', next, 'elsewhere');
    expect(await client.expect('WORK_COMPLETE')).toBe(`${next}\0elsewhere`);
    // The stopping node waits for the job that is held.
    busy.send('WORK_DATA', handle, 'd').send('WORK_COMPLETE', handle, 'finished');
    expect(await client.expect('WORK_DATA')).toBe(`${handle}\0d`);
    expect(await client.expect('WORK_COMPLETE')).toBe(`${handle}\0finished`);
    await busy.closed();
    expect(await stopped).toBe(0);
  });

  it('of a node that dies: its workers’ jobs are worked elsewhere, under their handles', async () => {
    cluster = await RealCluster.start();
    const leader = await cluster.leader();
    const [other] = await cluster.followers();
    const client = await open(other!.name);
    const lost = (await open(leader.name)).send('CAN_DO', 'f');
    const handle = await client.submit('SUBMIT_JOB', 'f', '', 'x');
    expect((await lost.work()).handle).toBe(handle);
    await leader.end('SIGKILL');
    const worker = (await open(other!.name)).send('CAN_DO', 'f');
    expect((await worker.work()).handle).toBe(handle);
    worker.send('WORK_COMPLETE', handle, 'again');
    expect(await client.expect('WORK_COMPLETE')).toBe(`${handle}\0again`);
  });

  it('without a leader: GRAB_JOB is answered in time, a submission waits and is told', async () => {
    cluster = await RealCluster.start();
    const [left, ...frozen] = cluster.nodes;
    const worker = (await open(left!.name)).send('CAN_DO', 'f');
    await worker.send('GRAB_JOB').expect('NO_JOB');
    // A credit that does not stand yet has to be asked for.
    const fresh = await open(left!.name);
    const client = await open(left!.name);
    for (const node of frozen) node.signal('SIGSTOP');
    fresh.send('CAN_DO', 'f');
    for (const one of [worker, fresh]) {
      const begun = performance.now();
      await one.send('GRAB_JOB').expect('NO_JOB');
      expect(performance.now() - begun).toBeLessThan(GRAB_MS);
    }
    // The first one goes out before anybody knows that there is no leader: what became of it is not known.
    expect(await client.send('SUBMIT_JOB_BG', 'f', 'u', 'x').expect('ERROR')).toMatch(
      /^(NO_LEADER|OUTCOME_UNKNOWN)\0/,
    );
    expect(await client.send('SUBMIT_JOB_BG', 'g', '', 'x').expect('ERROR')).toMatch(
      /^(NO_LEADER|OUTCOME_UNKNOWN)\0/,
    );
    expect(await client.text('status')).toMatch(/^ERR NO_LEADER /);
    for (const node of frozen) node.signal('SIGCONT');
    await cluster.ready();
    const again = await open(left!.name);
    await again.submit('SUBMIT_JOB_BG', 'f', 'u', 'x');
    expect(argsOf(await (await open(left!.name)).send('CAN_DO', 'f').grab(), 3)[2]).toBe('x');
  });

  it('takes 100,000 mutated packets, and nothing of them stays', async () => {
    const seed = Number(process.env.GEARMAN_FUZZ_SEED ?? 20_261_125);
    process.stderr.write(`GEARMAN_FUZZ_SEED=${seed}\n`);
    const mutations = new Mutations(seed);
    cluster = await RealCluster.start({ environment: INSPECTABLE });
    const { nodes } = cluster;
    const connection = async (node: RealNode): Promise<void> => {
      const raw = await RawGearman.open(node.gearman);
      raw.socket.on('data', () => {});
      for (let i = 0; i < PACKETS_PER_CONNECTION; i++) raw.bytes(mutations.next());
      raw.socket.end();
      await raw.closed();
      raw.end();
    };
    const round = async (packets: number): Promise<void> => {
      let left = packets / PACKETS_PER_CONNECTION;
      const lane = async (): Promise<void> => {
        while (left-- > 0) await connection(nodes[left % nodes.length]!);
      };
      await Promise.all(Array.from({ length: AT_ONCE }, lane));
      await emptied(cluster);
    };
    const openFiles = nodes.map((node) => node.openFiles());
    const descriptorsBack = (): Promise<void> =>
      until(RETURN_MS, () => nodes.every((node, i) => node.openFiles() <= openFiles[i]! + OWN_FILES));
    await round(PACKETS / 10);
    await descriptorsBack();
    const baseline: Memory[] = [];
    for (const node of nodes) baseline.push(await memoryAfterCollection(node));
    await round(PACKETS);
    await descriptorsBack();
    for (const [i, node] of nodes.entries()) {
      // The last of them may still be closing.
      const none = 'gearmesh_gearman_connections 0\n';
      await until(RETURN_MS, async () => (await node.text('/metrics')).includes(none));
      const before = baseline[i]!;
      let now = before;
      await until(RETURN_MS, async () => {
        now = await memoryAfterCollection(node);
        return now.live < before.live + LIVE_SLACK && now.resident < before.resident + RESIDENT_SLACK;
      }).catch(() => {
        throw new Error(
          `${node.name} had ${JSON.stringify(before)} bytes of memory, and then ${JSON.stringify(now)}`,
        );
      });
      expect(node.running).toBe(true);
      expect(node.log()).not.toContain('a defect');
    }
    // Work as ever, from each node to the next.
    for (const [i, node] of nodes.entries()) {
      const client = await open(node.name);
      const worker = (await open(nodes[(i + 1) % nodes.length]!.name)).send('CAN_DO', `sound-${i}`);
      const handle = await client.submit('SUBMIT_JOB', `sound-${i}`, '', 'x');
      expect((await worker.work()).handle).toBe(handle);
      worker.send('WORK_COMPLETE', handle, 'done');
      expect(await client.expect('WORK_COMPLETE')).toBe(`${handle}\0done`);
    }
    await cluster.agreedHash();
  });
});

/** Mutated submissions are jobs and schedules all the same: they are removed, and nothing waits or runs then. */
async function emptied(cluster: RealCluster): Promise<void> {
  const client = cluster.client();
  const states = ['queued', 'scheduled', 'running'] as const;
  for await (const { id } of client.schedules.list()) await client.schedules.delete(id);
  await until(RETURN_MS, async () => {
    for (const queue of await client.queues.list()) {
      const { waiting, scheduled } = queue;
      if (waiting.high + waiting.normal + waiting.low + scheduled > 0)
        await client.queues.purge(queue.function);
    }
    for await (const _ of client.list({ states })) return false;
    return true;
  });
  await client.close();
}
