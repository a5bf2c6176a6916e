// What may be in a bundle, judged by esbuild's metafile, and the licences of what is in it.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const RAFT = 'node_modules/@coaty/consensus.raft/';
const BAGGAGE = /(^|\/)(@coaty\/core|rxjs|sqlite3)(\/|$)|(^|\/)vendor\//;
/** By the name of its last folder in node_modules, so that nested copies are seen as well. */
const PACKAGE = /.*node_modules\/((?:@[^/]+\/)?[^/]+)/;

/** Inputs (paths from the repository) that must not be published: of the Raft package only `ported/` may. */
export function unwanted(inputs) {
  return inputs.filter(
    (path) => BAGGAGE.test(path) || (path.includes(RAFT) && !path.includes(`${RAFT}ported/`)),
  );
}

/** Folders of the packages (paths from the repository) that these inputs come from, sorted. */
export function packageFolders(inputs) {
  const folders = inputs.flatMap((path) => PACKAGE.exec(path)?.[0] ?? []);
  return [...new Set(folders)].sort();
}

/** One text with name, version and licence of every package. Throws for one that names no licence. */
export function licences(root, folders) {
  const parts = folders.map((folder) => {
    const about = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'));
    if (typeof about.license !== 'string') throw new Error(`${folder} names no licence`);
    const files = readdirSync(join(root, folder))
      .filter((name) => /^(licen[cs]e|notice|copying)/i.test(name))
      .sort();
    const texts = files.map((name) => readFileSync(join(root, folder, name), 'utf8').trim());
    return [`${about.name} ${about.version} (${about.license})`, ...texts].join('\n\n');
  });
  const head = 'gearmesh.mjs contains these packages.';
  return `${[head, ...parts].join(`\n\n${'-'.repeat(80)}\n\n`)}\n`;
}

/** Names of the packages that a module's text or declarations import, node's own left out. */
export function packagesImported(specifiers) {
  const names = specifiers
    .filter((specifier) => !specifier.startsWith('.') && !specifier.startsWith('node:'))
    .map((specifier) => /^(?:@[^/]+\/)?[^/]+/.exec(specifier)[0]);
  return [...new Set(names)].sort();
}

/** The declaration files reachable from `entries` by relative imports, and the packages that they import. */
export function declarations(entries) {
  const files = new Set();
  const specifiers = [];
  const visit = (file) => {
    if (files.has(file)) return;
    files.add(file);
    const code = readFileSync(file, 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
    for (const [, specifier] of code.matchAll(/\b(?:from|import)\s*\(?\s*['"]([^'"]+)['"]/g)) {
      if (specifier.startsWith('.')) visit(join(file, '..', specifier.replace(/\.js$/, '.d.ts')));
      else specifiers.push(specifier);
    }
  };
  for (const entry of entries) visit(entry);
  for (const file of files) if (!existsSync(file)) throw new Error(`${file} is missing`);
  return { files: [...files].sort(), packages: packagesImported(specifiers) };
}
