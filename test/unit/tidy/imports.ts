import { posix } from 'node:path';
import type { Finding, Source } from './source.js';
import { codeOf, lineAt } from './source.js';

/**
 * Who may import whom. A room may import itself and what is listed: a room, or one file of it; `type …` stands for
 * an import that leaves nothing at run time. Rooms are the folders of `src`, and `cmd` and `proto`.
 */
const ROOMS: Readonly<Record<string, readonly string[] | 'everything'>> = {
  base: [],
  core: ['base'],
  consensus: ['base'],
  storage: ['base', 'type consensus/types', 'type core/types'],
  peer: ['base', 'consensus'],
  node: ['base', 'core', 'consensus', 'storage', 'peer'],
  proto: [],
  config: ['base', 'core/types'],
  obs: ['base', 'core/types', 'type node/interface', 'type node/options'],
  api: [
    'base',
    'obs',
    'proto',
    'core/errors',
    'core/limits',
    'core/types',
    'type core/interface',
    'type node/interface',
    'type config',
  ],
  gearman: ['base', 'core/errors', 'core/types', 'type node/interface'],
  http: ['base', 'obs', 'core/errors', 'core/types', 'type node/interface'],
  client: ['proto'],
  worker: ['proto', 'client'],
  checker: ['base'],
  sim: ['base', 'core', 'consensus', 'storage', 'peer', 'node', 'obs', 'checker'],
  cli: 'everything',
  cmd: ['cli'],
};

/** Packages that only some rooms may know, so that each can be replaced. Rooms that are not listed take none at all. */
const PACKAGES: Readonly<Record<string, readonly RegExp[]>> = {
  base: [/^node:crypto$/],
  core: [/^node:(buffer|crypto|zlib)$/],
  consensus: [/^node:(buffer|crypto|zlib)$/, /^@coaty\/consensus\.raft(\/|$)/],
  storage: [/^node:/],
  peer: [/^node:/, /^ws$/, /^msgpackr(\/|$)/],
  node: [/^node:/],
  proto: [/^@bufbuild\/protobuf(\/|$)/, /^@grpc\/grpc-js$/, /^node:/],
  config: [/^node:/, /^yaml$/],
  obs: [/^node:/, /^pino$/, /^prom-client$/],
  api: [/^node:/, /^@grpc\/grpc-js(\/|$)/, /^@bufbuild\/protobuf(\/|$)/],
  gearman: [/^node:/],
  http: [/^node:/],
  client: [/^node:/, /^@grpc\/grpc-js$/, /^@bufbuild\/protobuf(\/|$)/],
  worker: [/^node:/, /^@grpc\/grpc-js$/, /^@bufbuild\/protobuf(\/|$)/],
  checker: [],
  sim: [/^node:/],
  cli: [/^node:/, /^commander$/],
  cmd: [/^node:/],
};

interface Import {
  readonly specifier: string;
  readonly typeOnly: boolean;
  readonly index: number;
}

const FROM = /\b(import|export)\s+(type\s+)?(?:[\w$*{}\s,]|\btype\b)*?\bfrom\s*(['"])/g;
const BARE = /\bimport\s*(\(?)\s*(['"])/g;

/** Every import, re-export, dynamic import and `import('…')` type of a file. */
export function importsOf(source: Source): Import[] {
  const code = codeOf(source.text);
  const found: Import[] = [];
  const specifierAt = (quote: number): string =>
    source.text.slice(quote + 1, source.text.indexOf(source.text[quote]!, quote + 1));
  for (const match of code.matchAll(FROM)) {
    const quote = match.index + match[0].length - 1;
    found.push({ specifier: specifierAt(quote), typeOnly: match[2] !== undefined, index: match.index });
  }
  for (const match of code.matchAll(BARE)) {
    const quote = match.index + match[0].length - 1;
    found.push({ specifier: specifierAt(quote), typeOnly: false, index: match.index });
  }
  return found.sort((a, b) => a.index - b.index);
}

/** `src/core/types.ts` → `core/types`; undefined outside the rooms. */
function place(path: string): string | undefined {
  const match = /^(?:src\/(?<inner>[^/]+\/.+)|(?<outer>(?:cmd|proto)\/.+))$/.exec(path);
  const found = match?.groups?.inner ?? match?.groups?.outer;
  return found?.replace(/\.(js|ts)$/, '');
}

/** Imports that go against the table of rooms. */
export function wrongImports(sources: readonly Source[]): Finding[] {
  const findings: Finding[] = [];
  for (const source of sources) {
    const here = place(source.path);
    if (here === undefined || !source.path.endsWith('.ts')) continue;
    const room = here.split('/')[0]!;
    for (const found of importsOf(source)) {
      const wrong = found.specifier.startsWith('.')
        ? wrongRoom(room, posix.join(posix.dirname(source.path), found.specifier), found.typeOnly)
        : wrongPackage(room, found.specifier);
      if (wrong === null) continue;
      findings.push({ path: source.path, line: lineAt(source.text, found.index), message: wrong });
    }
  }
  return findings;
}

function wrongRoom(room: string, path: string, typeOnly: boolean): string | null {
  const target = place(path);
  if (target === undefined) return `imports ${path}, which is in no room`;
  const targetRoom = target.split('/')[0]!;
  if (targetRoom === room) return null;
  const allowed = ROOMS[room];
  if (allowed === undefined) return `${room} is no room that the table of imports knows`;
  if (allowed === 'everything') return null;
  const targets = [targetRoom, target];
  if (targets.some((t) => allowed.includes(t))) return null;
  if (targets.some((t) => allowed.includes(`type ${t}`))) {
    return typeOnly ? null : `${room} may import ${target} only with "import type"`;
  }
  return `${room} may not import ${target} (it may import: ${allowed.join(', ') || 'nothing'})`;
}

function wrongPackage(room: string, specifier: string): string | null {
  return PACKAGES[room]?.some((p) => p.test(specifier))
    ? null
    : `${room} may not import the package ${specifier}`;
}
