// Makes build/bundle/ (or --out DIR): what is published to npm and what goes into an image.
//
// gearmesh.mjs, the command and server, holds everything that it needs, exact versions as they were tested: an image
// is that file on Node, nothing is resolved or installed, and of @coaty/consensus.raft only the Raft port comes along,
// without sqlite3, @coaty/core and rxjs that a dependency on the package would bring.
// client.mjs and worker.mjs, the SDK, hold our code only. @grpc/grpc-js stays a dependency: programs make their
// credentials with it and it checks them with instanceof, so both must use the same copy (and a fix of its security
// reaches them without a release of ours). So does what the SDK's declarations name.
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import { declarations, licences, packageFolders, packagesImported, unwanted } from './bundle-contents.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const { values } = parseArgs({ options: { out: { type: 'string', default: join(root, 'build/bundle') } } });
const out = resolve(values.out);
const about = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

const common = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  metafile: true,
  logLevel: 'warning',
  // Stack traces stay readable; nobody downloads this into a browser.
  minify: false,
  define: { GEARMESH_VERSION: JSON.stringify(about.version) },
};

/** CommonJS packages inside an ES module still ask for these. */
const COMMONJS = `import { createRequire as __createRequire } from 'node:module';
import { dirname as __dirnameOf } from 'node:path';
import { fileURLToPath as __pathOf } from 'node:url';
const require = __createRequire(import.meta.url);
const __filename = __pathOf(import.meta.url);
const __dirname = __dirnameOf(__filename);`;

/** Modules that are replaced: the first pattern is the request, the second who asks. */
const REPLACED = [
  {
    // The port takes one value from its package's controller, which pulls in all the rest.
    request: /\/non-ported\/raft-controller$/,
    from: /consensus\.raft\/ported\//,
    contents: 'exports.emptyRaftData = null;',
  },
  {
    // For the port's channel-driven Node, which nobody here makes: src/consensus drives the core itself.
    request: /\/@nodeguy\/channel\/lib$/,
    from: /consensus\.raft\/ported\//,
    contents: "module.exports = function Channel() { throw new Error('not part of the bundle'); };",
  },
  {
    // A native addon that speeds up strings; a bundle has no place for it, and msgpackr does without.
    request: /^msgpackr-extract$/,
    from: /\/msgpackr\//,
    contents: 'module.exports = undefined;',
  },
];

const replace = {
  name: 'replace',
  setup(of) {
    REPLACED.forEach(({ request, from, contents }, index) => {
      of.onResolve({ filter: request }, ({ importer }) =>
        from.test(importer) ? { path: String(index), namespace: 'replaced' } : null,
      );
      of.onLoad({ filter: new RegExp(`^${index}$`), namespace: 'replaced' }, () => ({
        contents,
        loader: 'js',
      }));
    });
  },
};

const CHANNELZ = 'proto/grpc/channelz/v1';
/** grpc-js reads the proto of channelz from its own folder; in the bundle it is beside the other protos. */
const channelz = {
  name: 'channelz',
  setup(of) {
    of.onLoad({ filter: /@grpc\/grpc-js\/build\/src\/channelz\.js$/ }, ({ path }) => {
      const text = readFileSync(path, 'utf8');
      const moved = text.replace('/../../proto`', `/${CHANNELZ}\``);
      if (moved === text) throw new Error('grpc-js reads the proto of channelz in another way now');
      return { contents: moved, loader: 'js' };
    });
  },
};

function fail(message) {
  process.stderr.write(`bundle: ${message}\n`);
  process.exit(1);
}

async function bundleServer() {
  const done = await build({
    ...common,
    entryPoints: ['cmd/gearmesh.ts'],
    outfile: join(out, 'gearmesh.mjs'),
    banner: { js: COMMONJS },
    plugins: [replace, channelz],
  });
  const [output] = Object.values(done.metafile.outputs);
  // Optional packages that are asked for in a try, e.g. those that ws can use, are not there and stay requests.
  const missing = output.imports.filter(
    ({ external, kind, path }) => external && kind !== 'require-call' && !isBuiltin(path),
  );
  if (missing.length > 0) fail(`gearmesh.mjs still imports ${missing.map((i) => i.path).join(', ')}`);
  return Object.keys(done.metafile.inputs);
}

async function bundleSdk() {
  const done = await build({
    ...common,
    entryPoints: { client: 'src/client/index.ts', worker: 'src/worker/index.ts' },
    outdir: out,
    outExtension: { '.js': '.mjs' },
    chunkNames: 'sdk-[hash]',
    // Both use the same classes of errors, so they share them.
    splitting: true,
    packages: 'external',
  });
  const imported = Object.values(done.metafile.outputs).flatMap((o) => o.imports.map((i) => i.path));
  return packagesImported(imported.filter((path) => !isBuiltin(path) && !path.endsWith('.mjs')));
}

/** Declarations of the SDK, with all that they name. Returns the packages that they import. */
function declareSdk() {
  const directory = mkdtempSync(join(root, 'node_modules/.declarations-'));
  try {
    const project = join(directory, 'tsconfig.json');
    const options = { emitDeclarationOnly: true, sourceMap: false, outDir: 'out', rootDir: root };
    const entries = ['client', 'worker'].map((name) => `src/${name}/index`);
    const content = {
      extends: join(root, 'tsconfig.json'),
      compilerOptions: options,
      include: [],
      files: entries.map((entry) => join(root, `${entry}.ts`)),
    };
    writeFileSync(project, JSON.stringify(content));
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    const done = spawnSync(process.execPath, [tsc, '-p', project], { stdio: 'inherit' });
    if (done.status !== 0) fail('the SDK does not compile');
    const from = join(directory, 'out');
    const { files, packages } = declarations(entries.map((entry) => join(from, `${entry}.d.ts`)));
    for (const file of files) cpSync(file, join(out, 'types', relative(from, file)));
    return packages.filter((name) => !isBuiltin(name));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function copyTexts() {
  for (const name of ['LICENSE', 'NOTICE', 'README.md', 'CHANGELOG.md'])
    cpSync(join(root, name), join(out, name));
  // The generated TypeScript is ours alone; other languages make their own from the protos.
  cpSync(join(root, 'proto'), join(out, 'proto'), {
    recursive: true,
    filter: (path) => relative(root, path) !== join('proto', 'gen'),
  });
}

function manifest(dependencies) {
  const version = (name) => {
    const exact = about.dependencies[name];
    if (exact === undefined) fail(`the SDK imports ${name}, which is no dependency in package.json`);
    return `^${exact}`;
  };
  const sdk = (name) => ({ types: `./types/src/${name}/index.d.ts`, default: `./${name}.mjs` });
  return {
    name: about.name,
    version: about.version,
    description: about.description,
    license: about.license,
    type: 'module',
    bin: { gearmesh: './gearmesh.mjs' },
    exports: {
      './client': sdk('client'),
      './worker': sdk('worker'),
      './package.json': './package.json',
      './proto/*': './proto/*',
    },
    engines: about.engines,
    dependencies: Object.fromEntries(dependencies.map((name) => [name, version(name)])),
  };
}

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
const inputs = await bundleServer();
const baggage = unwanted(inputs);
if (baggage.length > 0) fail(`these must not be in the bundle:\n  ${baggage.join('\n  ')}`);
const dependencies = [...new Set([...(await bundleSdk()), ...declareSdk()])].sort();
copyTexts();
writeFileSync(join(out, 'THIRD-PARTY-LICENSES'), licences(root, packageFolders(inputs)));
writeFileSync(join(out, 'package.json'), `${JSON.stringify(manifest(dependencies), null, 2)}\n`);
chmodSync(join(out, 'gearmesh.mjs'), 0o755);
process.stdout.write(`${relative(process.cwd(), out) || '.'}: gearmesh ${about.version}\n`);
