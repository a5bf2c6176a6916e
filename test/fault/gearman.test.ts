import { afterEach, describe, expect, it } from 'vitest';
import { HEADER_BYTES, packet, REQUEST_MAGIC, TYPE } from '../../src/gearman/packets.js';
import { argsOf, RawGearman } from '../support/gearman.js';
import { INSPECTABLE, residentAfterCollection } from '../support/inspector.js';
import { RealCluster, until } from '../support/real-cluster.js';

/**
 * Goal: what gearmand never said (docs/gearman.md): a node that stops hands work back before its connections close; a node
 * that dies loses no job; without a leader a client waits, and is told; garbage costs nothing that stays.
 */
const MIB = 2 ** 20;
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
    cluster = await RealCluster.start({ nodes: 1, environment: INSPECTABLE });
    const [node] = cluster.nodes;
    const forms = [
      packet(REQUEST_MAGIC, TYPE.CAN_DO_TIMEOUT, ['fuzz', '1000']),
      packet(REQUEST_MAGIC, TYPE.GET_STATUS, ['H:test:1']),
      packet(REQUEST_MAGIC, TYPE.GRAB_JOB_ALL),
      packet(REQUEST_MAGIC, TYPE.WORK_STATUS, ['H:test:1', '1', '2']),
      packet(REQUEST_MAGIC, TYPE.OPTION_REQ, ['exceptions']),
      packet(REQUEST_MAGIC, TYPE.ECHO_REQ, ['echo']),
      packet(REQUEST_MAGIC, TYPE.SUBMIT_JOB_EPOCH, ['', '', 'x', '']),
      packet(REQUEST_MAGIC, TYPE.SUBMIT_JOB_SCHED, ['', '', '61', '61', '61', '61', '61', '']),
      Buffer.from('show jobs\n'),
      Buffer.from('workers\r\n'),
    ];
    let state = 1;
    const below = (limit: number): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((state / 2 ** 32) * limit);
    };
    const mutated = (): Buffer => {
      const bytes = Buffer.from(forms[below(forms.length)]!);
      // Mostly what is inside.
      const first = below(4) === 0 ? 0 : Math.min(HEADER_BYTES, bytes.length - 1);
      for (let n = below(4); n > 0; n--) bytes[first + below(bytes.length - first)] = below(256);
      return below(10) === 0 ? bytes.subarray(0, below(bytes.length)) : bytes;
    };
    const connection = async (): Promise<void> => {
      const raw = await RawGearman.open(node!.gearman);
      raw.socket.resume();
      for (let i = 0; i < PACKETS_PER_CONNECTION; i++) raw.bytes(mutated());
      raw.socket.end();
      await raw.closed();
      raw.end();
    };
    const round = async (packets: number): Promise<void> => {
      let left = packets / PACKETS_PER_CONNECTION;
      const lane = async (): Promise<void> => {
        while (left-- > 0) await connection();
      };
      await Promise.all(Array.from({ length: AT_ONCE }, lane));
    };
    const openFiles = node!.openFiles();
    await round(PACKETS / 10);
    await until(RETURN_MS, () => node!.openFiles() <= openFiles + OWN_FILES);
    const baseline = await residentAfterCollection(node!);
    await round(PACKETS);
    await until(RETURN_MS, () => node!.openFiles() <= openFiles + OWN_FILES);
    // The last of them may still be closing.
    const none = 'gearmesh_gearman_connections 0\n';
    await until(RETURN_MS, async () => (await node!.text('/metrics')).includes(none));
    expect(await node!.text('/metrics')).toContain('gearmesh_schedules 0\n');
    let now = 0;
    await until(RETURN_MS, async () => {
      now = await residentAfterCollection(node!);
      return now < baseline + 48 * MIB;
    }).catch(() => {
      throw new Error(`memory went from ${baseline} to ${now} bytes`);
    });
    expect(node!.running).toBe(true);
    expect(node!.log()).not.toContain('a defect');
    const sound = await open(node!.name);
    expect(await sound.send('ECHO_REQ', 'still here').expect('ECHO_RES')).toBe('still here');
  });
});
