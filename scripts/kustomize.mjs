// Finds what can render k8s/: kubectl or kustomize of this machine, and releases built from the Go module proxy.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';

/** Each major release that is in use: kubectl 1.22 to 1.26 contain the one, 1.27 and newer the other. */
const WANTED = [
  { major: 4, module: 'sigs.k8s.io/kustomize/kustomize/v4', version: 'v4.5.7' },
  { major: 5, module: 'sigs.k8s.io/kustomize/kustomize/v5', version: 'v5.5.0' },
];
const BUILD_MS = 300_000;

function output(program, args, options = {}) {
  const done = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 64 << 20, ...options });
  if (done.error !== undefined) return { ok: false, text: done.error.code ?? done.error.message };
  return { ok: done.status === 0, text: done.status === 0 ? done.stdout : done.stderr || done.stdout };
}

function onPath() {
  const found = [];
  const kubectl = output('kubectl', ['version', '--client', '--output', 'json']);
  if (kubectl.ok) {
    const { clientVersion, kustomizeVersion: version = 'unknown' } = JSON.parse(kubectl.text);
    const name = `kubectl ${clientVersion.gitVersion} (kustomize ${version})`;
    // Before 1.21 it knew neither components nor a base among the resources.
    const baseOnly = Number.parseInt(clientVersion.minor, 10) < 21;
    found.push({ name, version, baseOnly, command: ['kubectl', 'kustomize'] });
  }
  const kustomize = output('kustomize', ['version']);
  if (kustomize.ok) {
    const [version = 'unknown'] = /v\d+\.\d+\.\d+/.exec(kustomize.text) ?? [];
    found.push({ name: `kustomize ${version}`, version, command: ['kustomize', 'build'] });
  }
  return found;
}

/** A release built by the Go tools, kept for the next time. */
function built({ module, version }, root) {
  const folder = join(root, 'node_modules/.cache', `kustomize-${version}`);
  const program = join(folder, 'kustomize');
  if (!existsSync(program)) {
    mkdirSync(folder, { recursive: true });
    const env = { ...process.env, GOBIN: folder };
    const done = output('go', ['install', `${module}@${version}`], { env, timeout: BUILD_MS });
    if (done.text === 'ENOENT') return { why: 'there is no Go to build it', possible: false };
    if (!done.ok) return { why: done.text.trim(), possible: true };
  }
  return { name: `kustomize ${version} (built)`, version, command: [program, 'build'] };
}

/**
 * Programs that render (those with `baseOnly` no overlays), and the releases that could not be had with the reason, and
 * whether it is `possible` to have them here.
 */
export function renderers(root) {
  const found = onPath();
  const missing = [];
  for (const wanted of WANTED) {
    if (found.some(({ version }) => version.startsWith(`v${wanted.major}.`))) continue;
    const made = built(wanted, root);
    if (made.why === undefined) found.push(made);
    else missing.push({ name: `kustomize ${wanted.version}`, ...made });
  }
  return { found, missing };
}

/** The rendered text of a folder. Throws with what the program said. */
export function render({ command, name }, folder) {
  const [program, ...args] = command;
  const done = output(program, [...args, folder]);
  if (!done.ok) throw new Error(`${name} does not render ${folder}: ${done.text.trim()}`);
  return done.text;
}

/**
 * Why what was found does not do: a check in which nothing rendered has checked nothing. `strict`, in CI: each release
 * that can be had here has to be had.
 */
export function shortcomings({ found, missing }, strict) {
  const faults = [];
  if (!found.some(({ baseOnly }) => baseOnly !== true)) {
    faults.push('nothing here can render the overlays: install kubectl 1.21 or newer, kustomize, or Go');
  }
  if (!strict) return faults;
  const lost = missing.filter(({ possible }) => possible);
  return [...faults, ...lost.map(({ name, why }) => `${name} could not be built: ${why}`)];
}
