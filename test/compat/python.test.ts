import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RealCluster } from '../support/real-cluster.js';
import { REQUIRED } from '../support/required.js';
import { ROOT } from '../support/root.js';

/**
 * Goal: the protos are all that another language needs. A Python client with grpcio and stubs made from our protos
 * submits, follows, works a job through the plain calls and through the stream, resumes a session at another node, reads
 * a queue, and understands errors: "anything said with an old token is refused (FAILED_PRECONDITION, reason
 * LEASE_LOST)", and "a client is always told which of three happened" (docs/guarantees.md, promises 2 and 5).
 */
const FOLDER = join(ROOT, 'test/compat/python');
const INSTALL_MS = 240_000;
const RUN_MS = 120_000;

/** An interpreter that has grpcio, made once and kept in the temporary folder; or why there is none. */
function python(): { program: string } | { missing: string } {
  const requirements = readFileSync(join(FOLDER, 'requirements.txt'), 'utf8');
  const version = spawnSync('python3', ['--version'], { encoding: 'utf8' });
  if (version.status !== 0) return { missing: 'python3 is not installed' };
  const key = createHash('sha256').update(`${requirements}${version.stdout}`).digest('hex').slice(0, 16);
  const folder = join(tmpdir(), `gearmesh-python-${key}`);
  const program = join(folder, 'bin/python');
  const complete = join(folder, 'complete');
  if (existsSync(complete)) return { program };
  rmSync(folder, { recursive: true, force: true });
  if (spawnSync('python3', ['-m', 'venv', folder]).status !== 0) return { missing: 'python3 has no venv' };
  const arguments_ = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r'];
  const installed = spawnSync(program, [...arguments_, join(FOLDER, 'requirements.txt')], {
    encoding: 'utf8',
    timeout: INSTALL_MS,
  });
  if (installed.status !== 0) {
    const last = installed.stderr.trim().split('\n').at(-1) ?? '';
    return { missing: `pip cannot install grpcio: ${last}` };
  }
  writeFileSync(complete, '');
  return { program };
}

function protos(folder: string): string[] {
  return readdirSync(join(ROOT, 'proto', folder))
    .filter((name) => name.endsWith('.proto'))
    .map((name) => join(folder, name));
}

const found = python();
const missing = 'missing' in found ? found.missing : null;

interface Step {
  readonly step: string;
  readonly [key: string]: unknown;
}

it.runIf(REQUIRED)('where Python and its packages can be installed, they are there', () => {
  expect(missing).toBeNull();
});

describe.skipIf(missing !== null)(
  `Python with grpcio${missing === null ? '' : ` (skipped: ${missing})`}`,
  () => {
    let cluster: RealCluster;
    let stubs: string;
    let steps: Map<string, Step>;

    beforeAll(async () => {
      const program = (found as { program: string }).program;
      stubs = mkdtempSync(join(tmpdir(), 'gearmesh-stubs-'));
      mkdirSync(stubs, { recursive: true });
      const made = spawnSync(
        program,
        [
          ...['-m', 'grpc_tools.protoc', '-I', join(ROOT, 'proto')],
          ...[`--python_out=${stubs}`, `--grpc_python_out=${stubs}`],
          ...protos('gearmesh/v1'),
          ...protos('google/rpc'),
        ],
        { encoding: 'utf8' },
      );
      expect(made.status, made.stderr).toBe(0);
      cluster = await RealCluster.start();
      const run = spawnSync(program, [join(FOLDER, 'client.py'), stubs, ...cluster.endpoints], {
        encoding: 'utf8',
        timeout: RUN_MS,
      });
      expect(run.status, `${run.stdout}\n${run.stderr}`).toBe(0);
      const lines = run.stdout.trim().split('\n');
      steps = new Map(lines.map((line) => JSON.parse(line) as Step).map((step) => [step.step, step]));
    });

    afterAll(async () => {
      await cluster?.agreedHash();
      await cluster?.remove();
      rmSync(stubs, { recursive: true, force: true });
    });

    it('submits, and finds the same job again by its id', () => {
      expect(steps.get('submit')).toMatchObject({ disposition: 'DISPOSITION_CREATED' });
      const id = steps.get('submit')!.id;
      expect(steps.get('submit again')).toMatchObject({ disposition: 'DISPOSITION_SAME_ID', id });
      expect(steps.get('submit stream')).toMatchObject({ frame: 1, jobs: 2 });
    });

    it('works a job through the plain calls', () => {
      expect(steps.get('lease')).toMatchObject({
        id: steps.get('submit')!.id,
        payload: 'Hello World!',
        metadata: { from: 'python' },
        same: true,
      });
      expect(steps.get('extend')).toMatchObject({ later: true });
      expect(steps.get('get')).toMatchObject({
        state: 'JOB_STATE_SUCCEEDED',
        result: '!dlroW olleH',
        worker: 'python-unary',
      });
      expect(steps.get('fail')).toMatchObject({
        state: 'JOB_STATE_FAILED',
        code: 'NO_FILE',
        message: 'no such file',
      });
      expect(steps.get('release')).toMatchObject({ state: 'JOB_STATE_QUEUED' });
    });

    it('is told of an outcome said twice that it counts, and of another one that it does not', () => {
      expect(steps.get('complete again')).toMatchObject({ same: true });
      expect(steps.get('complete otherwise')).toMatchObject({
        code: 'FAILED_PRECONDITION',
        reason: 'LEASE_LOST',
        metadata: { outcome: 'NOT_APPLIED' },
      });
    });

    it('follows a job at another node', () => {
      const { kinds, data, result } = steps.get('watch')!;
      expect(kinds).toEqual(
        expect.arrayContaining(['JOB_EVENT_KIND_ACCEPTED', 'JOB_EVENT_KIND_PROGRESS', 'JOB_EVENT_KIND_DATA']),
      );
      expect((kinds as string[]).at(-1)).toBe('JOB_EVENT_KIND_ENDED');
      expect(data).toEqual(['one', 'two']);
      expect(result).toBe('!dlroW olleH');
    });

    it('works jobs through the stream, and goes on with its session at another node', () => {
      expect(steps.get('work')).toMatchObject({ node: 'n2', payloads: ['abc', 'def'] });
      expect(steps.get('outcome')).toMatchObject({ accepted: true });
      expect(steps.get('resume')).toMatchObject({
        same: true,
        node: 'n3',
        accepted: true,
        state: 'JOB_STATE_SUCCEEDED',
        result: 'fed',
        attempt: 1,
      });
      expect(steps.get('run')).toMatchObject({ result: 'pong' });
      expect(steps.get('goodbye')).toMatchObject({ assignments: 0, code: 'OK' });
    });

    it('reads the queue', () => {
      expect(steps.get('queue')).toMatchObject({ workers: 1, running: 1, succeeded: 1, submitted: 2 });
    });

    it('understands errors', () => {
      expect(steps.get('bad field')).toMatchObject({
        code: 'INVALID_ARGUMENT',
        reason: 'INVALID_FIELD',
        fields: ['job.function'],
      });
      expect(steps.get('no job')).toMatchObject({ code: 'NOT_FOUND', reason: 'NOT_FOUND' });
      expect(steps.get('too large')).toMatchObject({
        code: 'RESOURCE_EXHAUSTED',
        reason: 'PAYLOAD_TOO_LARGE',
        metadata: { outcome: 'NOT_APPLIED' },
      });
    });
  },
);
