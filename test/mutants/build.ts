import { readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { build, type Plugin } from 'esbuild';
import { ROOT } from '../support/root.js';
import { type Mutant, mutated } from './mutant.js';

const ENTRY = 'test/simulation/cli/child.ts';
/** Of the packages only the Raft port is bundled: it is the one in which bugs are planted. */
const PORT_PACKAGE = /^@coaty\/consensus\.raft(\/|$)/;

/** CommonJS packages inside an ES module still ask for it. */
const REQUIRE = `import { createRequire as __createRequire } from 'node:module';
const require = __createRequire(import.meta.url);`;

/** Where the bundle of a mutant is. */
function bundleOf(name: string): string {
  return join(ROOT, 'build/mutants', `${name.replaceAll(/[^A-Za-z0-9]+/g, '-')}.mjs`);
}

/** Bundles the simulator with the bug planted, or as it is. Returns the path. */
export async function bundle(mutant: Mutant | null): Promise<string> {
  const outfile = bundleOf(mutant?.name ?? 'as it is');
  await build({
    absWorkingDir: ROOT,
    entryPoints: [ENTRY],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'warning',
    sourcemap: 'inline',
    banner: { js: REQUIRE },
    plugins: mutant === null ? [packages] : [packages, plant(mutant)],
  });
  return outfile;
}

/** Everything from npm stays where it is, but the port. */
const packages: Plugin = {
  name: 'packages',
  setup(of) {
    of.onResolve({ filter: /^[^./]/ }, ({ path, importer }) => {
      if (path.startsWith('node:') || importer === '') return null;
      // The port's own requests, also those of the packages around it, are answered as ever.
      if (PORT_PACKAGE.test(path) || importer.includes('/@coaty/')) return null;
      return { path, external: true };
    });
  },
};

function plant(mutant: Mutant): Plugin {
  const files = new Set(mutant.edits.map(({ file }) => file));
  return {
    name: 'plant',
    setup(of) {
      const planted = new Set<string>();
      of.onLoad({ filter: /\.(ts|js)$/ }, ({ path }) => {
        const file = relative(ROOT, path);
        if (!files.has(file)) return null;
        planted.add(file);
        return {
          contents: mutated(mutant, file, readFileSync(path, 'utf8')),
          loader: file.endsWith('.ts') ? 'ts' : 'js',
        };
      });
      of.onEnd(() => {
        const missing = [...files].filter((file) => !planted.has(file));
        if (missing.length === 0) return null;
        return { errors: [{ text: `mutant ${mutant.name}: ${missing.join(', ')} is not in the simulator` }] };
      });
    },
  };
}
