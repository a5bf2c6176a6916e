import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ConfigError, loadServerConfig } from '../../../src/config/index.js';
import { loadValues } from '../../../src/config/load.js';
import { text } from '../../../src/config/option.js';
import { environmentNameOf, flagOf, OPTIONS, SEEDS } from '../../../src/config/options.js';
import { DEFAULT_SETTINGS } from '../../../src/core/types.js';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gearmesh-config-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function yaml(content: string): string {
  const path = join(directory, 'gearmesh.yaml');
  writeFileSync(path, content);
  return path;
}

const load = (
  flags: Record<string, string | boolean> = {},
  environment: Record<string, string> = {},
  file?: string,
  hostname = 'somewhere',
) => loadServerConfig({ flags, environment, file }, hostname);

function problems(run: () => unknown): readonly string[] {
  try {
    run();
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  throw new Error('expected the configuration to be refused');
}

describe('where a value comes from', () => {
  test('a flag beats the environment, that the file, that the default', () => {
    const file = yaml('drain-timeout-ms: 3s\n');
    const environment = { GEARMESH_DRAIN_TIMEOUT_MS: '2s' };
    const of = (...o: Parameters<typeof load>) => load(...o).values['drain-timeout-ms'];
    expect(of({ 'drain-timeout-ms': '1s' }, environment, file)).toBe(1_000);
    expect(of({}, environment, file)).toBe(2_000);
    expect(of({}, {}, file)).toBe(3_000);
    expect(of()).toBe(20_000);
  });

  test('GEARMESH_CONFIG names the file, and --config beats it', () => {
    const file = yaml('cluster-name: from-file\n');
    expect(load({}, { GEARMESH_CONFIG: file }).values['cluster-name']).toBe('from-file');
    expect(problems(() => load({}, { GEARMESH_CONFIG: file }, '/nowhere.yaml'))[0]).toContain(
      '/nowhere.yaml',
    );
  });

  test('an empty variable counts as none', () => {
    expect(load({}, { GEARMESH_CLUSTER_NAME: '' }).values['cluster-name']).toBe('gearmesh');
  });

  test('a key with a dot is nested in YAML, dashed as a flag, underscored in the environment', () => {
    expect(flagOf('limits.jobs-max')).toBe('--limits-jobs-max');
    expect(environmentNameOf('limits.jobs-max')).toBe('GEARMESH_LIMITS_JOBS_MAX');
    const nested = yaml('limits:\n  jobs-max: 7\nretry.max-attempts: 9\n');
    expect(load({}, {}, nested).settings).toMatchObject({ jobsMax: 7, maxAttempts: 9 });
  });

  test('peers in YAML are text, a list or a map', () => {
    const expected = [
      { name: 'n1', host: '127.0.0.1', port: 7731 },
      { name: 'n2', host: '127.0.0.1', port: 7741 },
    ];
    for (const content of [
      'peers: n1=127.0.0.1:7731,n2=127.0.0.1:7741\n',
      'peers:\n  - n1=127.0.0.1:7731\n  - n2=127.0.0.1:7741\n',
      'peers:\n  n1: 127.0.0.1:7731\n  n2: 127.0.0.1:7741\n',
    ]) {
      expect(load({}, {}, yaml(content)).peers).toEqual(expected);
    }
  });
});

describe('a wrong value names the option, the value, its origin and what was expected', () => {
  const expected = 'expected a time from 50ms to 1m: milliseconds, or with ms, s, m, h or d';
  test('from a flag', () => {
    expect(problems(() => load({ 'election-timeout-ms': 'soon' }))).toEqual([
      `election-timeout-ms = "soon" (from flag --election-timeout-ms): ${expected}`,
    ]);
  });
  test('from the environment', () => {
    expect(problems(() => load({}, { GEARMESH_ELECTION_TIMEOUT_MS: '5' }))).toEqual([
      `election-timeout-ms = "5" (from environment variable GEARMESH_ELECTION_TIMEOUT_MS): ${expected}`,
    ]);
  });
  test('from the file', () => {
    const file = yaml('election-timeout-ms: [1]\n');
    expect(problems(() => load({}, {}, file))).toEqual([
      `election-timeout-ms = [1] (from file ${file}): ${expected}`,
    ]);
  });
  test('all problems are told at once', () => {
    expect(problems(() => load({ id: '-', 'listen-grpc': 'x', 'log-level': 'loud' }))).toHaveLength(3);
  });
  test('a secret is not shown', () => {
    const table = {
      token: text('', {
        section: 'Node',
        help: '',
        placeholder: 'T',
        expected: 'eight letters',
        secret: true,
        valid: (v) => v.length === 8,
      }),
    };
    const message = problems(() => loadValues(table, { flags: { token: 'hunter2' }, environment: {} }))[0];
    expect(message).toBe('token = (secret) (from flag --token): expected eight letters');
  });
  test('a key of the file that names no option, with the nearest one', () => {
    const file = yaml('limits:\n  job-max: 7\n');
    expect(problems(() => load({}, {}, file))).toEqual([
      `limits.job-max (from file ${file}) names no option: did you mean limits.jobs-max?`,
    ]);
  });
  test('a file that is no YAML, or no map', () => {
    expect(problems(() => load({}, {}, yaml('a: [1\n')))[0]).toContain(directory);
    expect(problems(() => load({}, {}, yaml('just words\n')))[0]).toContain('expected "key: value" lines');
  });
  test('an unknown variable is only warned about, and those that Kubernetes sets are not', () => {
    const { warnings } = load(
      {},
      {
        GEARMESH_DATADIR: '/x',
        GEARMESH_SERVICE_HOST: '10.0.0.1',
        GEARMESH_PORT: 'tcp://10.0.0.1:7730',
        GEARMESH_PORT_7730_TCP_ADDR: '10.0.0.1',
        GEARMESH_CLIENT_SERVICE_PORT_GRPC: '7730',
        HOME: '/root',
      },
    );
    expect(warnings).toEqual([
      'environment variable GEARMESH_DATADIR names no option: did you mean GEARMESH_DATA_DIR?',
    ]);
  });
});

describe('values', () => {
  test.each([
    ['segment-bytes', '67108864', 64 * 2 ** 20],
    ['segment-bytes', '8MiB', 8 * 2 ** 20],
    ['segment-bytes', '1 gib', 2 ** 30],
    ['drain-timeout-ms', '1500', 1_500],
    ['drain-timeout-ms', '2 m', 120_000],
    ['jobs.retention-ms', '1d', 86_400_000],
  ] as const)('%s accepts %s', (key, given, value) => {
    expect(load({ [key]: given }).values[key]).toBe(value);
  });
  test.each([
    ['segment-bytes', '8MB'],
    ['segment-bytes', '1KiB'],
    ['segment-bytes', '-1'],
    ['segment-bytes', '1e9'],
    ['drain-timeout-ms', '1.5s'],
    ['listen-grpc', '127.0.0.1'],
    ['listen-grpc', '127.0.0.1:0'],
    ['listen-grpc', '127.0.0.1:65536'],
    ['listen-grpc', '::1:7730'],
    ['insecure', 'maybe'],
    ['peers', 'n1=127.0.0.1:1,n1=127.0.0.1:2'],
    ['peers', 'n1=127.0.0.1:1,n2=127.0.0.1:1'],
    ['peers', '127.0.0.1:1'],
    ['peers-template', 'gearmesh:7731'],
  ])('%s refuses %s', (key, given) => {
    expect(problems(() => load({ [key]: given }))[0]).toContain(`${key} = ${JSON.stringify(given)}`);
  });
  test('IPv6 in brackets', () => {
    expect(load({ 'listen-grpc': '[::1]:7730' }).advertise.grpc).toEqual({ host: '::1', port: 7730 });
  });
  test('every default is a valid value as it is shown', () => {
    for (const [key, option] of Object.entries(OPTIONS)) {
      const shown = option.show(option.default as never);
      if (key === 'peers-template' || shown !== '') expect(option.parse(shown), key).toEqual(option.default);
    }
  });
  test('the seeds are the defaults of the replicated settings, each set by its own option', () => {
    expect(load().settings).toEqual(DEFAULT_SETTINGS);
    expect(new Set(Object.values(SEEDS)).size).toBe(Object.keys(DEFAULT_SETTINGS).length);
  });
});

describe('what is derived and checked as a whole', () => {
  test('a node alone is a cluster of one', () => {
    const config = load();
    expect(config.id).toBe('n1');
    expect(config.peers).toEqual([{ name: 'n1', host: '127.0.0.1', port: 7731 }]);
  });

  test('a pod finds its name and its peers', () => {
    const config = load(
      {
        'id-from-hostname': true,
        'peers-template': 'gearmesh-{i}.gearmesh-peers:7731',
        replicas: '3',
        'listen-grpc': '0.0.0.0:7730',
        'listen-peer': '0.0.0.0:7731',
        'listen-http': '[::]:7732',
        insecure: true,
      },
      {},
      undefined,
      'gearmesh-1.gearmesh-peers.jobs.svc.cluster.local',
    );
    expect(config.id).toBe('gearmesh-1');
    expect(config.peers.map((p) => p.name)).toEqual(['gearmesh-0', 'gearmesh-1', 'gearmesh-2']);
    expect(config.peers[2]).toEqual({ name: 'gearmesh-2', host: 'gearmesh-2.gearmesh-peers', port: 7731 });
    expect(config.advertise).toEqual({
      peer: { host: 'gearmesh-1.gearmesh-peers', port: 7731 },
      grpc: { host: 'gearmesh-1.gearmesh-peers', port: 7730 },
      http: { host: 'gearmesh-1.gearmesh-peers', port: 7732 },
    });
  });

  test.each([
    [{ 'id-from-hostname': true, id: 'n1' }, 'id and id-from-hostname'],
    [{ 'peers-template': 'a-{i}:1', peers: 'n1=a:1', replicas: '1' }, 'peers and peers-template'],
    [{ 'peers-template': 'a-{i}:1' }, 'expected replicas as well'],
    [{ replicas: '3' }, 'expected only together with peers-template'],
    [{ 'peers-template': '10.0.0.{i}:1', replicas: '3' }, 'a name of its own'],
    [{ peers: 'n2=127.0.0.1:7731' }, 'expected one of the names in the list of peers (n2)'],
    [{ 'heartbeat-ms': '200' }, 'at most a quarter of election-timeout-ms (400)'],
    [{ 'jobs.dedupe-window-min-ms': '10m' }, 'at most jobs.dedupe-window-ms'],
    [{ 'retry.max-backoff-ms': '10' }, 'at most retry.max-backoff-ms'],
  ])('%o is refused', (flags, part) => {
    expect(problems(() => load(flags)).join('\n')).toContain(part);
  });

  test.each(['listen-grpc', 'listen-peer', 'listen-http', 'listen-gearman'])(
    'a %s that is not loopback needs --insecure, and the message says what to do',
    (key) => {
      const flags = { [key]: '10.0.0.1:7799' };
      expect(problems(() => load(flags))).toEqual([
        expect.stringMatching(`${key} = "10.0.0.1:7799".*--insecure`),
      ]);
      expect(load({ ...flags, insecure: true }).values.insecure).toBe(true);
      expect(load({ [key]: '127.8.0.1:7799' }).values.insecure).toBe(false);
    },
  );

  test('an address on which all listen is nothing to advertise', () => {
    const found = problems(() => load({ 'listen-peer': '0.0.0.0:7731', insecure: true }));
    expect(found).toEqual([expect.stringContaining('advertise-peer = "0.0.0.0:7731"')]);
    expect(
      load({ 'listen-peer': '0.0.0.0:7731', 'advertise-peer': 'a.example:1', insecure: true }).advertise.peer,
    ).toEqual({ host: 'a.example', port: 1 });
  });
});
