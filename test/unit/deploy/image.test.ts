import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { ENGINE_FLAGS } from '../../../src/cli/engine-flags.js';
import { loadServerConfig, OPTIONS } from '../../../src/config/index.js';
import { ROOT } from '../../support/root.js';
import { parseDockerfile, textOf } from './scripts.js';

const stages = await parseDockerfile(textOf('deploy/Dockerfile'));
const image = stages.at(-1)!;

describe('reading a Dockerfile', () => {
  it('follows continuations, flags, stages and forms', async () => {
    const [one, two] = await parseDockerfile(
      [
        'ARG BASE=x:1',
        '# a comment',
        // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the Dockerfile's.
        'FROM ${BASE} AS one',
        'WORKDIR /a',
        'RUN first && \\',
        '# in between',
        '  second',
        'FROM y',
        'COPY --from=one --chown=1:2 /a/b c /d/',
        'ENV A=1 B="two words" \\',
        '    C=3',
        'HEALTHCHECK --interval=1s CMD ["x", "y z"]',
        'CMD ["server"]',
      ].join('\n'),
    );
    expect(one).toMatchObject({ name: 'one', base: 'x:1', workdir: '/a' });
    expect(one!.steps[1]).toMatchObject({ name: 'RUN', text: 'first && second', workdir: '/a', line: 5 });
    expect(two!.steps[0]).toMatchObject({ flags: { from: 'one', chown: '1:2' }, text: '/a/b c /d/' });
    expect(two).toMatchObject({
      env: { A: '1', B: 'two words', C: '3' },
      healthcheck: ['x', 'y z'],
      cmd: ['server'],
    });
  });

  it.each(['FROM x\nADD a b', 'RUN x', 'FROM x\nCMD server', 'FROM x\nRUN a \\'])(
    'refuses %j',
    async (text) => {
      await expect(parseDockerfile(text)).rejects.toThrow('line');
    },
  );
});

describe('deploy/Dockerfile', () => {
  it('starts the server with the flags of the engine that every server has', () => {
    expect(image.entrypoint).toEqual(['node', ...ENGINE_FLAGS, '/opt/gearmesh/gearmesh.mjs']);
  });

  it('copies nothing but the bundle and an empty volume into the image', () => {
    expect(image.steps.map((step) => step.text)).toEqual([
      '/src/build/bundle /opt/gearmesh',
      '/src/data /data',
      '/data',
    ]);
    expect(image.user).toBe('10001:10001');
    expect(image.volumes).toEqual(['/data']);
  });

  it('names what exists, and installs without scripts', () => {
    const build = stages[0]!;
    const copied = build.steps
      .filter((step) => step.name === 'COPY')
      .flatMap((s) => s.text.split(' ').slice(0, -1));
    expect(copied).toContain('package-lock.json');
    expect(copied.filter((path) => path !== 'README.md' && !existsSync(join(ROOT, path)))).toEqual([]);
    expect(build.steps.map((step) => step.text)).toContain('npm ci --ignore-scripts');
  });

  it('presets only settings that exist, and opens itself to others only when told to', () => {
    const load = (insecure: boolean) =>
      loadServerConfig({ flags: { insecure }, environment: image.env }, 'host');
    expect(() => load(false)).toThrow('--insecure');
    const { warnings, advertise, values } = load(true);
    expect(warnings).toEqual([]);
    expect(advertise.grpc).toEqual({ host: '127.0.0.1', port: 7730 });
    expect(values['data-dir'].startsWith('/data/')).toBe(true);
  });
});

interface Compose {
  readonly services: Readonly<
    Record<
      string,
      {
        command: string[];
        hostname?: string;
        stop_grace_period?: string;
        read_only?: boolean;
        volumes: string[];
        ports: string[];
      }
    >
  >;
  readonly volumes: Readonly<Record<string, unknown>>;
}

describe('deploy/compose.yaml', () => {
  const compose = parse(textOf('deploy/compose.yaml'), { merge: true }) as Compose;
  const nodes = Object.entries(compose.services).filter(([, one]) => one.hostname !== undefined);

  it('starts three nodes whose settings load and name each other', () => {
    expect(nodes.map(([name]) => name)).toEqual(['n0', 'n1', 'n2']);
    for (const [name, { command, hostname, stop_grace_period, read_only }] of nodes) {
      expect(hostname).toBe(name);
      expect(command[0]).toBe('server');
      const flags = Object.fromEntries(
        command.slice(1).map((word) => {
          const [, key, value] = /^--([\w-]+)(?:=(.*))?$/.exec(word)!;
          return [key!, value ?? true];
        }),
      );
      expect(Object.keys(flags).filter((key) => !(key in OPTIONS))).toEqual([]);
      const config = loadServerConfig({ flags, environment: image.env }, name);
      expect(config.id).toBe(name);
      expect(config.peers).toEqual(['n0', 'n1', 'n2'].map((host) => ({ name: host, host, port: 7731 })));
      expect(config.advertise.grpc).toEqual({ host: name, port: 7730 });
      expect(Number.parseInt(stop_grace_period!, 10) * 1_000).toBeGreaterThan(
        config.values['drain-timeout-ms'],
      );
      expect(read_only).toBe(true);
    }
  });

  it('publishes on loopback alone and mounts what exists', () => {
    for (const [name, { ports, volumes }] of Object.entries(compose.services)) {
      expect(
        ports.filter((port) => !port.startsWith('127.0.0.1:')),
        name,
      ).toEqual([]);
      for (const [source = ''] of volumes.map((volume) => volume.split(':'))) {
        const known = source.startsWith('.')
          ? existsSync(join(ROOT, 'deploy', source))
          : source in compose.volumes;
        expect(known, `${name}: ${source}`).toBe(true);
      }
    }
    const ports = Object.values(compose.services).flatMap((one) =>
      one.ports.map((port) => port.split(':')[1]),
    );
    expect(new Set(ports).size).toBe(ports.length);
  });

  it('is scraped whole', () => {
    const prometheus = parse(textOf('deploy/prometheus.yml')) as {
      scrape_configs: { job_name: string; honor_labels?: boolean; static_configs: { targets: string[] }[] }[];
    };
    const job = prometheus.scrape_configs.find((one) => one.job_name === 'gearmesh')!;
    expect(job.static_configs.flatMap((one) => one.targets)).toEqual(nodes.map(([name]) => `${name}:7732`));
    expect(job.honor_labels).toBe(true);
  });

  it('gives Grafana the data source and the folder that it is told of', () => {
    const sources = parse(textOf('deploy/grafana/provisioning/datasources/prometheus.yaml')) as {
      datasources: { url: string }[];
    };
    expect(sources.datasources.map((one) => one.url)).toEqual(['http://prometheus:9090']);
    const { providers } = parse(textOf('deploy/grafana/provisioning/dashboards/gearmesh.yaml')) as {
      providers: { options: { path: string } }[];
    };
    const mounted = compose.services.grafana!.volumes.map((volume) => volume.split(':')[1]);
    for (const { options } of providers) expect(mounted).toContain(options.path);
  });
});
