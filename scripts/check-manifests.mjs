// Checks k8s/: renders every folder that can be applied with an old and a new kustomize, and looks at what comes out.
// Fails where nothing can render; with --strict, as CI says it, also where a release cannot be had that could be.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, parseAllDocuments } from 'yaml';
import { parseDockerfile } from './dockerfile.mjs';
import { render, renderers, shortcomings } from './kustomize.mjs';
import { loadTs, root } from './load-ts.mjs';
import { manifestFaults } from './manifest-rules.mjs';

const say = (line) => process.stdout.write(`${line}\n`);
let failed = false;

function report(what, faults) {
  say(`${faults.length === 0 ? 'ok' : 'WRONG'}: ${what}`);
  for (const fault of faults) say(`  ${fault}`);
  failed ||= faults.length > 0;
}

function objectsOf(text) {
  return parseAllDocuments(text).map((document) => {
    if (document.errors.length > 0) throw document.errors[0];
    return document.toJS();
  });
}

/** Comparable: releases put objects and keys in different orders. */
function contentOf(objects) {
  const sorted = (_, value) =>
    value !== null && typeof value === 'object' && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value;
  return objects
    .map((one) => JSON.stringify(one, sorted))
    .sort()
    .join('\n');
}

/** The files that a kustomization names, without rendering. */
function plain(folder) {
  const { resources } = parse(readFileSync(join(folder, 'kustomization.yaml'), 'utf8'));
  const forgotten = readdirSync(folder).filter(
    (name) => name !== 'kustomization.yaml' && !resources.includes(name),
  );
  if (forgotten.length > 0)
    throw new Error(`k8s/base/kustomization.yaml does not name ${forgotten.join(', ')}`);
  return resources.flatMap((name) => objectsOf(readFileSync(join(folder, name), 'utf8')));
}

/** Which of these paths a node answers at all, asked of its real HTTP listener. */
async function servedPaths(paths) {
  const { createHttpServer } = await loadTs('src/http/index.ts');
  const { systemClock } = await loadTs('src/base/system-clock.ts');
  const log = { info() {}, warn() {}, error() {} };
  const server = createHttpServer({
    api: { name: 'n', phase: 'starting' },
    metrics: { contentType: 'text/plain', text: async () => '' },
    clock: systemClock,
    listen: { host: '127.0.0.1', port: 0 },
    log,
  });
  await server.listen();
  const served = new Set();
  for (const path of paths) {
    const { status } = await fetch(`http://127.0.0.1:${server.port}${path}`);
    if (status !== 404) served.add(path);
  }
  await server.close();
  return served;
}

const paths = ['/metrics', '/livez', '/readyz', '/startupz'];
const facts = {
  config: await loadTs('src/config/index.ts'),
  paths: await servedPaths([...paths, '/nothing']),
  image: parseDockerfile(readFileSync(join(root, 'deploy/Dockerfile'), 'utf8')).at(-1),
};
if (facts.paths.size !== paths.length)
  report(`the node serves ${paths.join(' ')}`, [[...facts.paths].join(' ')]);

const base = join(root, 'k8s/base');
report('k8s/base as it stands', manifestFaults(plain(base), facts));

const overlays = join(root, 'k8s/overlays');
const folders = [base, ...readdirSync(overlays).map((name) => join(overlays, name))];
const { found, missing } = renderers(root);
const contents = new Map();
for (const renderer of found) {
  for (const folder of folders) {
    const name = folder.slice(root.length + 1);
    if (renderer.baseOnly && folder !== base) {
      say(`skipped: ${name} rendered by ${renderer.name}: it is too old for overlays of this kind`);
      continue;
    }
    try {
      const objects = objectsOf(render(renderer, folder));
      const faults = manifestFaults(objects, facts);
      const content = contentOf(objects);
      if (content !== (contents.get(folder) ?? content))
        faults.push('it comes out otherwise than from the others');
      contents.set(folder, content);
      report(`${name} rendered by ${renderer.name}`, faults);
    } catch (error) {
      report(`${name} rendered by ${renderer.name}`, [error.message]);
    }
  }
}
for (const { name, why } of missing) say(`skipped: rendering by ${name}: ${why}`);
const strict = process.argv.includes('--strict');
report('old and new releases render', shortcomings({ found, missing }, strict));
process.exitCode = failed ? 1 : 0;
