import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = join(fileURLToPath(import.meta.url), '../../../..');

/** One text file; `path` is relative to the repository, with `/`. */
export interface Source {
  readonly path: string;
  readonly text: string;
}

/** What a rule found wrong. */
export interface Finding {
  readonly path: string;
  readonly line: number;
  readonly message: string;
}

export function show(findings: readonly Finding[]): string[] {
  return findings.map((f) => `${f.path}:${f.line}: ${f.message}`);
}

const SKIPPED_WITHOUT_GIT = new Set(['node_modules', 'dist', 'coverage', '.git', '.gearmesh']);

function walk(directory: string): string[] {
  return readdirSync(join(ROOT, directory), { withFileTypes: true }).flatMap((entry) => {
    if (SKIPPED_WITHOUT_GIT.has(entry.name)) return [];
    const path = directory === '' ? entry.name : `${directory}/${entry.name}`;
    return entry.isDirectory() ? walk(path) : [path];
  });
}

/** Paths of all files that are, or would be, in the repository. In an unpacked archive: all but what is built. */
function paths(): string[] {
  if (!existsSync(join(ROOT, '.git'))) return walk('');
  const list = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: ROOT,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  return list.split('\0').filter((path) => path !== '' && existsSync(join(ROOT, path)));
}

/** All text files of the repository. A file with a zero byte is no text. */
export function repository(): Source[] {
  const sources: Source[] = [];
  for (const path of paths()) {
    const bytes = readFileSync(join(ROOT, path));
    if (!bytes.includes(0)) sources.push({ path, text: bytes.toString('utf8') });
  }
  return sources;
}

export function lineAt(text: string, index: number): number {
  let line = 1;
  for (let at = text.indexOf('\n'); at !== -1 && at < index; at = text.indexOf('\n', at + 1)) line++;
  return line;
}

/** Before one of these (or at the start) a slash begins a regular expression. */
const BEFORE_REGEXP =
  /(^|[(,=:[!&|?{};+\-*%<>~^]|\b(return|typeof|case|in|of|do|else|void|delete|throw|await|yield))$/;

/**
 * TypeScript with the content of comments, strings and regular expressions blanked out, so that what remains is
 * code. Lines and columns stay. Expressions inside template strings stay code.
 */
export function codeOf(text: string): string {
  let out = '';
  let at = 0;
  /** Depth of braces for each template string that is open. */
  const templates: number[] = [];
  const blank = (end: number): void => {
    out += text.slice(at, end).replaceAll(/[^\n]/g, ' ');
    at = end;
  };
  const keep = (count: number): void => {
    out += text.slice(at, at + count);
    at += count;
  };
  const endOf = (pattern: RegExp): number => {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    return match === null ? text.length : match.index + match[0].length;
  };
  const templateText = (): void => {
    blank(endOf(/(?:[^`\\$]|\\[\s\S]|\$(?!\{))*/y));
    if (text[at] === '`') keep(1);
    else if (text[at] === '$') {
      keep(2);
      templates.push(0);
    }
  };
  while (at < text.length) {
    const two = text.slice(at, at + 2);
    const one = two[0]!;
    if (two === '//') blank(endOf(/.*/y));
    else if (two === '/*') blank(endOf(/\/\*[\s\S]*?\*\//y));
    else if (one === "'" || one === '"') {
      const end = endOf(one === "'" ? /'(?:[^'\\\n]|\\[\s\S])*'?/y : /"(?:[^"\\\n]|\\[\s\S])*"?/y);
      keep(1);
      if (end - 1 > at) blank(end - 1);
      if (at < end) keep(end - at);
    } else if (one === '`') {
      keep(1);
      templateText();
    } else if (one === '/' && BEFORE_REGEXP.test(out.slice(-200).trimEnd())) {
      blank(endOf(/\/(?:[^\\/[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/y));
    } else if (templates.length > 0 && one === '{') {
      templates[templates.length - 1]!++;
      keep(1);
    } else if (templates.length > 0 && one === '}') {
      keep(1);
      if (templates.at(-1) === 0) {
        templates.pop();
        templateText();
      } else templates[templates.length - 1]!--;
    } else keep(1);
  }
  return out;
}
