import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROOT } from '../../support/root.js';
import { script } from './scripts.js';

const { unwanted, packageFolders, packagesImported } = await script<{
  unwanted(inputs: readonly string[]): string[];
  packageFolders(inputs: readonly string[]): string[];
  packagesImported(specifiers: readonly string[]): string[];
}>('bundle-contents.mjs');

describe('the contents of a bundle', () => {
  it('are refused when more than the Raft port comes along', () => {
    const raft = 'node_modules/@coaty/consensus.raft';
    const fine = ['src/cli/main.ts', `${raft}/ported/raft.js`, 'replaced:0', 'node_modules/ws/index.js'];
    const not = [
      `${raft}/index.js`,
      `${raft}/non-ported/raft-controller.js`,
      `${raft}/@nodeguy/channel/lib/index.js`,
      'node_modules/rxjs/index.js',
      'node_modules/x/node_modules/sqlite3/lib/sqlite3.js',
      'node_modules/@coaty/core/db/index.js',
      'vendor/stubs/rxjs/index.js',
    ];
    expect(unwanted([...fine, ...not])).toEqual(not);
  });

  it('are traced to their packages', () => {
    const inputs = [
      'src/a.ts',
      'node_modules/ws/a.js',
      'node_modules/ws/b.js',
      'node_modules/a/node_modules/@b/c/d.js',
    ];
    expect(packageFolders(inputs)).toEqual(['node_modules/a/node_modules/@b/c', 'node_modules/ws']);
    expect(packagesImported(['node:fs', './x.js', '@a/b/c', 'd', '@a/b'])).toEqual(['@a/b', 'd']);
  });
});

describe('the bundle', () => {
  // Inside the checkout, where the SDK's dependencies are found.
  const parent = join(ROOT, 'build');
  mkdirSync(parent, { recursive: true });
  const out = mkdtempSync(join(parent, 'test-'));
  afterAll(() => rmSync(out, { recursive: true, force: true }));
  const node = (...args: string[]) => spawnSync(process.execPath, args, { encoding: 'utf8', cwd: parent });

  beforeAll(() => {
    const made = node(join(ROOT, 'scripts/bundle.mjs'), '--out', out);
    expect(made.stderr).toBe('');
    expect(made.status).toBe(0);
  }, 60_000);

  it('runs, and knows its version', () => {
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    expect(node(join(out, 'gearmesh.mjs'), '--help').stdout).toContain('Usage: gearmesh');
    expect(node(join(out, 'gearmesh.mjs'), 'version').stdout).toContain(version);
    const check = node(join(out, 'gearmesh.mjs'), 'server', '--check');
    expect(check.stdout).toContain('in order');
  });

  it('brings the licences of what it contains, the Raft port among them', () => {
    const text = readFileSync(join(out, 'THIRD-PARTY-LICENSES'), 'utf8');
    for (const name of ['@coaty/consensus.raft', '@grpc/grpc-js', 'commander', 'ws', 'yaml']) {
      expect(text).toContain(`\n${name} `);
    }
    expect(text).toContain('The etcd Authors');
    expect(text).not.toMatch(/\n(rxjs|sqlite3|@coaty\/core) /);
  });

  it('is a package whose exports exist and whose dependencies are those of the SDK', () => {
    const about = JSON.parse(readFileSync(join(out, 'package.json'), 'utf8')) as {
      dependencies: Record<string, string>;
      exports: Record<string, { types: string; default: string } | string>;
    };
    expect(Object.keys(about.dependencies)).toEqual(['@bufbuild/protobuf', '@grpc/grpc-js']);
    for (const name of ['./client', './worker']) {
      const entry = about.exports[name] as { types: string; default: string };
      expect(readFileSync(join(out, entry.types), 'utf8')).toContain('export');
      expect(readFileSync(join(out, entry.default), 'utf8')).toContain('export');
    }
  });

  it('is what npm would publish: our files, the protos and the texts, and nothing that runs at an installation', () => {
    const about = JSON.parse(readFileSync(join(out, 'package.json'), 'utf8')) as Record<string, unknown>;
    expect(about.private).toBeUndefined();
    expect(about.scripts).toBeUndefined();
    const packed = spawnSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
      encoding: 'utf8',
      cwd: out,
    });
    expect(packed.status, packed.stderr).toBe(0);
    const [{ files }] = JSON.parse(packed.stdout) as [{ files: { path: string }[] }];
    const tops = new Set(files.map(({ path }) => path.split('/')[0]!.replace(/^sdk-\w+/, 'sdk')));
    expect([...tops].sort()).toEqual([
      ...['CHANGELOG.md', 'LICENSE', 'NOTICE', 'README.md', 'THIRD-PARTY-LICENSES', 'client.mjs'],
      ...['gearmesh.mjs', 'package.json', 'proto', 'sdk.mjs', 'types', 'worker.mjs'],
    ]);
    expect(readFileSync(join(out, 'NOTICE'), 'utf8')).toContain('etcd');
    for (const { path } of files) expect(path).not.toMatch(/node_modules|vendor\/|\.map$/);
  });

  it('shares the classes of errors between client and worker', async () => {
    const load = async (name: string) =>
      (await import(/* @vite-ignore */ pathToFileURL(join(out, name)).href)) as Record<string, unknown>;
    const [client, worker] = [await load('client.mjs'), await load('worker.mjs')];
    expect(client.Client).toBeTypeOf('function');
    expect(worker.Worker).toBeTypeOf('function');
    expect(client.GearmeshError).toBe(worker.GearmeshError);
  });

  it('serves a program in TypeScript', () => {
    const project = join(out, 'program');
    mkdirSync(project);
    const config = {
      compilerOptions: {
        module: 'NodeNext',
        strict: true,
        noEmit: true,
        types: ['node'],
        paths: {
          'gearmesh/client': [join(out, 'types/src/client/index.d.ts')],
          'gearmesh/worker': [join(out, 'types/src/worker/index.d.ts')],
        },
      },
      files: ['program.ts'],
    };
    const program = [
      "import { Client } from 'gearmesh/client';",
      "import { Worker } from 'gearmesh/worker';",
      "const client = new Client({ endpoints: ['a:1'] });",
      "const { jobId }: { jobId: string } = await client.submit('reverse', 'x');",
      '// @ts-expect-error a job id is text',
      'const wrong: number = jobId;',
      "new Worker({ endpoints: ['a:1'] }).handle('reverse', (job) => job.text());",
      'export { wrong };',
    ];
    writeFileSync(join(project, 'tsconfig.json'), JSON.stringify(config));
    writeFileSync(join(project, 'package.json'), '{"type":"module"}');
    writeFileSync(join(project, 'program.ts'), program.join('\n'));
    const done = node(join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', project);
    expect(done.stdout + done.stderr).toBe('');
  }, 30_000);
});
