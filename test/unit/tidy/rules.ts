import type { Finding, Source } from './source.js';
import { codeOf, lineAt } from './source.js';

function inRooms(source: Source): boolean {
  return /^(src|cmd)\/.*\.ts$/.test(source.path);
}

function matches(source: Source, text: string, pattern: RegExp, message: (m: string) => string): Finding[] {
  return [...text.matchAll(pattern)].map((m) => ({
    path: source.path,
    line: lineAt(text, m.index),
    message: message(m[0].trim()),
  }));
}

/** The two places that read clocks, timers and randomness for everyone, and the rooms that run in a user's process. */
const MAY_READ_CLOCKS = /^src\/(base\/(system-clock|random)\.ts|client\/|worker\/|cli\/)/;
const BANNED =
  /\b(Date\.now|Math\.random|performance\.now|process\.hrtime|(?<![.\w])(setTimeout|setInterval|setImmediate)(?=\s*\()|randomBytes|randomInt|randomUUID|randomFillSync|getRandomValues)\b|\bnew Date\(\s*\)/g;
const TIMER_MODULES = /\bfrom\s*['"](node:)?timers\b/g;

/** A simulated run is repeated by its seed only if nobody reads a clock or rolls dice behind its back. */
export function bannedCalls(sources: readonly Source[]): Finding[] {
  return sources
    .filter((s) => inRooms(s) && !MAY_READ_CLOCKS.test(s.path))
    .flatMap((s) => {
      const message = (m: string): string => `${m}: take a Clock or Random as an argument`;
      return [...matches(s, codeOf(s.text), BANNED, message), ...matches(s, s.text, TIMER_MODULES, message)];
    });
}

/** A file is one sitting. */
export function longFiles(sources: readonly Source[], most = 500): Finding[] {
  return sources
    .filter((s) => inRooms(s) && s.text.split('\n').length - 1 > most)
    .map((s) => ({
      path: s.path,
      line: most + 1,
      message: `longer than ${most} lines: which second subject moved in?`,
    }));
}

const NOT_OURS = /^(package-lock\.json|LICENSE|NOTICE|vendor\/)/;
/** Put together here, so that this file does not find itself. */
const UNFINISHED = new RegExp(
  `\\b(${['TO', 'FIX'].map((w, i) => w + ['DO', 'ME'][i]).join('|')}|X{3})\\b`,
  'g',
);

/** What is begun is finished, or not there. */
export function unfinished(sources: readonly Source[]): Finding[] {
  return sources
    .filter((s) => !NOT_OURS.test(s.path))
    .flatMap((s) => matches(s, s.text, UNFINISHED, (m) => `${m}: finish it or leave it out`));
}

const MACHINE = new RegExp(
  [
    `(?<![\\w.~-])/${'work'}/[\\w.]`,
    '\\bhttps?://[^\\s/"\']*\\b(registry|artifactory|nexus|verdaccio|mirror)\\b',
    '"resolved":\\s*"http',
  ].join('|'),
  'g',
);

/** Nothing of the machine on which it was written: no paths of its disk, no host of its package registry. */
export function machineTraces(sources: readonly Source[]): Finding[] {
  return sources
    .filter((s) => !s.path.startsWith('LICENSE'))
    .flatMap((s) => matches(s, s.text, MACHINE, (m) => `"${m}" belongs to one machine only`));
}

const KINDS = new Set(['Added', 'Changed', 'Deprecated', 'Removed', 'Fixed', 'Security']);

/** https://keepachangelog.com: Unreleased first, then releases with a date, newest first, each in the known kinds. */
export function changelogForm(changelog: Source): Finding[] {
  const findings: Finding[] = [];
  const say = (line: number, message: string): void => {
    findings.push({ path: changelog.path, line, message });
  };
  const lines = changelog.text.split('\n');
  if (lines[0] !== '# Changelog') say(1, 'begins with "# Changelog"');
  const releases: string[] = [];
  let kind = '';
  lines.forEach((line, i) => {
    if (line.startsWith('## ')) {
      kind = '';
      const release = /^## \[(Unreleased|\d+\.\d+\.\d+)\](?: - (\d{4}-\d{2}-\d{2}))?$/.exec(line);
      if (release === null || (release[1] === 'Unreleased') === (release[2] !== undefined)) {
        say(i + 1, 'a release is "## [1.2.3] - 2026-01-31", the next one "## [Unreleased]"');
        return;
      }
      releases.push(release[1]!);
    } else if (line.startsWith('### ')) {
      kind = line.slice(4);
      if (!KINDS.has(kind)) say(i + 1, `${kind} is none of ${[...KINDS].join(', ')}`);
    } else if (line.startsWith('- ') && kind === '') {
      say(i + 1, 'a change stands below its kind, e.g. "### Added"');
    }
  });
  if (releases[0] !== 'Unreleased') say(1, 'the first section is "## [Unreleased]"');
  const numbers = releases.slice(1).map((r) => r.split('.').map(Number));
  for (let i = 1; i < numbers.length; i++) {
    const [a, b] = [numbers[i - 1]!, numbers[i]!];
    const newer = a[0]! - b[0]! || a[1]! - b[1]! || a[2]! - b[2]!;
    if (!(newer > 0)) say(1, `release ${releases[i + 1]} stands below an older or equal one`);
  }
  return findings;
}
