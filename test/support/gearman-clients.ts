import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT } from './root.js';

const FOLDER = join(ROOT, 'test/compat/gearman');
const INSTALL_MS = 240_000;
/** Clients from npm, none of them a dependency of this project. */
const NPM = ['gearman@2.1.0', 'gearmanode@0.9.2', 'abraxas@2.1.10'];

/** A client that nobody here wrote: how its program is called, or why it is not there. */
export interface GearmanClient {
  readonly name: string;
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** '' when it is there. */
  readonly missing: string;
}

function works(program: string, ...args: string[]): boolean {
  return spawnSync(program, args, { encoding: 'utf8' }).status === 0;
}

function installed(name: string, command: readonly string[], there: boolean, why: string): GearmanClient {
  return { name, command, environment: {}, missing: there ? '' : why };
}

/** Makes a folder once and keeps it in the temporary folder. Returns its path, or why it could not be made. */
function once(what: string, make: (folder: string) => string): { folder: string } | { missing: string } {
  const key = createHash('sha256').update(`${what}${process.version}`).digest('hex').slice(0, 16);
  const folder = join(tmpdir(), `gearmesh-gearman-${key}`);
  const complete = join(folder, 'complete');
  if (existsSync(complete)) return { folder };
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const missing = make(folder);
  if (missing !== '') return { missing };
  writeFileSync(complete, '');
  return { folder };
}

function run(folder: string, program: string, ...args: string[]): string {
  const done = spawnSync(program, args, { cwd: folder, encoding: 'utf8', timeout: INSTALL_MS });
  if (done.status === 0) return '';
  return `${program} ${args[0]}: ${done.stderr?.trim().split('\n').at(-1) ?? String(done.error)}`;
}

function python(): GearmanClient {
  const requirements = readFileSync(join(FOLDER, 'requirements.txt'), 'utf8');
  const made = once(requirements, (folder) => {
    const failed = run(folder, 'python3', '-m', 'venv', 'venv');
    if (failed !== '') return failed;
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r'];
    return run(folder, join(folder, 'venv/bin/python'), ...pip, join(FOLDER, 'requirements.txt'));
  });
  const program = 'folder' in made ? join(made.folder, 'venv/bin/python') : 'python3';
  return {
    name: 'Python (pygearman)',
    command: [program, join(FOLDER, 'client.py')],
    environment: {},
    missing: 'missing' in made ? made.missing : '',
  };
}

function npm(): GearmanClient[] {
  const made = once(NPM.join(), (folder) => {
    writeFileSync(join(folder, 'package.json'), '{"private":true}');
    return run(folder, 'npm', 'install', '--ignore-scripts', '--no-audit', '--no-fund', ...NPM);
  });
  const environment: Readonly<Record<string, string>> =
    'folder' in made ? { NODE_PATH: join(made.folder, 'node_modules') } : {};
  return NPM.map((spec) => {
    const name = spec.split('@')[0]!;
    return {
      name: `npm ${name}`,
      command: [process.execPath, join(FOLDER, `${name}.cjs`)],
      environment,
      missing: 'missing' in made ? made.missing : '',
    };
  });
}

/** Languages whose package registries serve no client of Gearman's. */
const NOWHERE = [
  ['Go', 'the Go module proxy serves no Gearman client'],
  ['Java', 'Maven Central serves no Gearman client'],
  ['Ruby', 'RubyGems serves no Gearman client'],
] as const;

/** All of them, whether they are there or not. */
export function gearmanClients(): GearmanClient[] {
  return [
    installed(
      'PHP (php-gearman)',
      ['php', join(FOLDER, 'client.php')],
      works('php', '-r', 'exit(class_exists("GearmanWorker") ? 0 : 1);'),
      'php-cli and php-gearman are not installed',
    ),
    installed(
      'Perl (libgearman-client-perl)',
      ['perl', join(FOLDER, 'client.pl')],
      works('perl', '-MGearman::Client', '-MGearman::Worker', '-e', '1'),
      'libgearman-client-perl is not installed',
    ),
    python(),
    ...npm(),
    ...NOWHERE.map(([name, why]) => installed(name, [name], false, why)),
  ];
}

/** Debian's `gearman` and `gearadmin`. */
export function gearmanTools(): string {
  return works('gearman', '-H') || works('sh', '-c', 'command -v gearman && command -v gearadmin')
    ? ''
    : 'gearman-tools is not installed';
}
