// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the samples are code
/** A rule is a program: what this project wants of its own sources, each rule shown to be able to fail. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { importsOf, wrongImports } from './imports.js';
import { ruleTitles } from './rule-titles.js';
import { bannedCalls, changelogForm, longFiles, machineTraces, unfinished } from './rules.js';
import type { Source } from './source.js';
import { codeOf, ROOT, repository, show } from './source.js';

const all = repository();
const file = (path: string, text: string): Source => ({ path, text });

test('the repository is read', () => {
  expect(all.map((s) => s.path)).toEqual(expect.arrayContaining(['package.json', 'src/base/invariant.ts']));
});

describe('imports follow the table of rooms', () => {
  test('in this repository', () => {
    expect(show(wrongImports(all))).toEqual([]);
  });

  test.each([
    ['src/core/a.ts', "import { b } from '../node/b.js';"],
    ['src/core/a.ts', "import { readFileSync } from 'node:fs';"],
    ['src/core/a.ts', "import '../cli/main.js';"],
    ['src/core/a.ts', "const b = await import('../node/b.js');"],
    ['src/core/a.ts', "export * from '../storage/wal.js';"],
    ['src/core/a.ts', "export { type B } from '../storage/wal.js';"],
    ['src/core/a.ts', "import {\n  b,\n  type C,\n} from '../storage/wal.js';"],
    ['src/storage/a.ts', "import { b } from '../consensus/types.js';"],
    ['src/storage/a.ts', "import type { b } from '../consensus/raft.js';"],
    ['src/api/a.ts', "import { b } from '../node/interface.js';"],
    ['src/api/a.ts', "import type { b } from '../cli/a.js';"],
    ['src/client/a.ts', "import { ERRORS } from '../core/errors.js';"],
    ['src/client/a.ts', "import { b } from '../worker/b.js';"],
    ['src/node/a.ts', "import { RawNode } from '@coaty/consensus.raft/ported/rawnode.js';"],
    ['src/node/a.ts', "import { b } from '../../test/b.js';"],
    ['src/unheard-of/a.ts', "import { b } from '../base/b.js';"],
    ['cmd/a.ts', "import { b } from '../src/node/b.js';"],
  ])('%s with %s is found', (path, text) => {
    expect(wrongImports([file(path, text)])).toHaveLength(1);
  });

  test.each([
    ['src/core/a.ts', "import { invariant } from '../base/invariant.js';"],
    ['src/core/a.ts', "import { b } from './commands/b.js';"],
    ['src/core/a.ts', "// import { b } from '../node/b.js';"],
    ['src/core/a.ts', 'const s = "import { b } from \'../node/b.js\';";'],
    ['src/storage/a.ts', "import type { LogEntry } from '../consensus/types.js';"],
    ['src/worker/a.ts', "import { b } from '../client/b.js';"],
    ['cmd/a.ts', "import { main } from '../src/cli/main.js';"],
    ['test/bench/a.ts', "import { b } from '../../src/cli/main.js';"],
  ])('%s with %s is in order', (path, text) => {
    expect(show(wrongImports([file(path, text)]))).toEqual([]);
  });

  test('every way to import is seen', () => {
    const text = [
      "import a from './a.js';",
      "import * as b from './b.js';",
      "import type { C } from './c.js';",
      "import D, { type E } from './d.js';",
      "import './e.js';",
      "export * from './f.js';",
      "export type { G } from './g.js';",
      "const h = await import('./h.js');",
      "type I = import('./i.js').I;",
    ].join('\n');
    expect(importsOf(file('x.ts', text)).map((i) => [i.specifier, i.typeOnly])).toEqual([
      ['./a.js', false],
      ['./b.js', false],
      ['./c.js', true],
      ['./d.js', false],
      ['./e.js', false],
      ['./f.js', false],
      ['./g.js', true],
      ['./h.js', false],
      ['./i.js', false],
    ]);
  });
});

describe('code is told from comments, strings and regular expressions', () => {
  test.each([
    ["a('b // c') // d", "a('      ')     "],
    ['a /* b\nc */ d', 'a     \n     d'],
    ['`a ${b(`c`)} d`', '`  ${b(` `)}  `'],
    ['a = /[\'"]/.test(b) / 2 / 1', 'a =       .test(b) / 2 / 1'],
    ['f(/[/]/g, 1)', 'f(      , 1)'],
    ["'it\\'s' + x", "'     ' + x"],
    ['`${{ a: 1 }.a}` + b', '`${{ a: 1 }.a}` + b'],
  ])('%s', (text, code) => {
    expect(codeOf(text)).toBe(code);
  });
});

describe('nobody but the adapters reads a clock, sets a timer or rolls dice', () => {
  test('in this repository', () => {
    expect(show(bannedCalls(all))).toEqual([]);
  });
  test.each([
    'const t = Date.now();',
    'const t = new Date();',
    'const r = Math.random();',
    'const t = performance.now();',
    'setTimeout(() => {}, 1);',
    'setInterval(f, 1);',
    'setImmediate(f);',
    'globalThis.process.hrtime.bigint();',
    "import { randomBytes } from 'node:crypto';",
    "import { setTimeout as sleep } from 'node:timers/promises';",
    'const s = `${Date.now()}`;',
  ])('%s is found', (text) => {
    expect(bannedCalls([file('src/node/a.ts', text)])).toHaveLength(1);
  });
  test.each([
    ['src/base/system-clock.ts', 'Date.now();'],
    ['src/worker/a.ts', 'setTimeout(f, 1);'],
    ['src/node/a.ts', 'clock.setTimer(1, f); // not setTimeout(f, 1)'],
    ['src/node/a.ts', 'new Date(clock.wallMs());'],
    ['test/unit/a.test.ts', 'Date.now();'],
  ])('%s with %s is in order', (path, text) => {
    expect(bannedCalls([file(path, text)])).toEqual([]);
  });
});

describe('files are of one sitting', () => {
  test('in this repository', () => {
    expect(show(longFiles(all))).toEqual([]);
  });
  test('a longer one is found', () => {
    expect(longFiles([file('src/node/a.ts', 'a\n'.repeat(501))])).toHaveLength(1);
    expect(longFiles([file('src/node/a.ts', 'a\n'.repeat(500))])).toEqual([]);
  });
});

describe('the rules that are easy to get wrong are shown by tests that name them', () => {
  const table = (...rows: string[]): Source =>
    file(
      'docs/architecture.md',
      [
        '## Rules that are easy to get wrong',
        '',
        '| rule | what it says | shown in |',
        ...rows,
        '',
        '## Next',
      ].join('\n'),
    );
  const shown = file('test/unit/a.test.ts', "it('rule: first thing - it holds', () => {});");
  const row = '| **first thing** | It holds | `unit/a.test.ts` |';

  test('in this repository', () => {
    expect(show(ruleTitles(all))).toEqual([]);
  });
  test('a good table is in order', () => {
    expect(ruleTitles([table(row), shown])).toEqual([]);
  });
  test.each([
    ['no table', [shown]],
    ['a rule that no test shows', [table(row, '| **second** | It holds | `unit/b.test.ts` |'), shown]],
    ['a test of a rule that is not there', [table(row), shown, file('test/b.ts', "it('rule: other - x')")]],
    ['a title of another form', [table(row), shown, file('test/b.ts', "it('rule: first thing, it holds')")]],
    ['a file that is not listed', [table(row), shown, file('test/b.ts', "it('rule: first thing - again')")]],
    ['a file that shows nothing', [table(row.replace('` |', '`, `unit/c.test.ts` |')), shown]],
  ])('%s is found', (_, sources) => {
    expect(ruleTitles(sources)).toHaveLength(1);
  });
});

describe('nothing is left unfinished', () => {
  test('in this repository', () => {
    expect(show(unfinished(all))).toEqual([]);
  });
  test.each([`// ${'TO'}DO: later`, `# ${'FIX'}ME`, `${'XX'}X`])('%s is found', (text) => {
    expect(unfinished([file('docs/a.md', text)])).toHaveLength(1);
  });
});

describe('nothing belongs to one machine only', () => {
  test('in this repository', () => {
    expect(show(machineTraces(all))).toEqual([]);
  });
  test.each([
    `cd /${'work'}/main`,
    `https://${'registry'}.example.org/gearmesh`,
    `"resolved": "${'http'}://10.0.0.1/a.tgz"`,
  ])('%s is found', (text) => {
    expect(machineTraces([file('docs/a.md', text)])).toHaveLength(1);
  });
  test('paths that only look alike are in order', () => {
    expect(machineTraces([file('docs/a.md', `docs/${'work'}/a.md and ./${'work'}/b`)])).toEqual([]);
  });
});

describe('the changelog keeps its form', () => {
  test('in this repository', () => {
    const changelog = all.find((s) => s.path === 'CHANGELOG.md');
    expect(changelog).toBeDefined();
    expect(show(changelogForm(changelog!))).toEqual([]);
  });
  const good =
    '# Changelog\n\n## [Unreleased]\n\n### Added\n\n- a\n\n## [0.2.0] - 2026-01-31\n\n## [0.1.0] - 2026-01-01\n';
  test('a good one is in order', () => {
    expect(show(changelogForm(file('CHANGELOG.md', good)))).toEqual([]);
  });
  test.each([
    ['no title', good.replace('# Changelog', '# History')],
    ['no Unreleased', good.replace('## [Unreleased]\n', '')],
    ['an unknown kind', good.replace('### Added', '### New')],
    ['a change without its kind', good.replace('### Added\n', '')],
    ['a release without its date', good.replace(' - 2026-01-31', '')],
    ['Unreleased with a date', good.replace('[Unreleased]', '[Unreleased] - 2026-01-31')],
    ['releases out of order', good.replace('0.2.0', '0.0.9')],
  ])('%s is found', (_, text) => {
    expect(changelogForm(file('CHANGELOG.md', text))).not.toEqual([]);
  });
});

describe('what is generated is up to date', () => {
  const scripts = readdirSync(join(ROOT, 'scripts')).filter((name) => /^(docs-.*|proto)\.mjs$/.test(name));
  const check = (script: string, cwd = ROOT) =>
    spawnSync(process.execPath, [join(ROOT, 'scripts', script), '--check'], { cwd, encoding: 'utf8' });

  test('there are such scripts', () => {
    expect(scripts).toEqual(expect.arrayContaining(['docs-config.mjs', 'docs-cli.mjs', 'proto.mjs']));
    expect(existsSync(join(ROOT, 'docs/configuration.md'))).toBe(true);
  });
  test.each(scripts)(
    '%s --check',
    (script) => {
      const done = check(script);
      expect(done.stderr).toBe('');
      expect(done.status).toBe(0);
    },
    30_000,
  );
  test('a stale page is found', () => {
    const code =
      "process.argv.push('--check'); const { writePage } = await import('./scripts/page.mjs'); writePage('docs/configuration.md', 'old')";
    const done = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
      cwd: ROOT,
      encoding: 'utf8',
    });
    expect(done.status).toBe(1);
    expect(done.stderr).toContain('docs/configuration.md is out of date');
  });
});
