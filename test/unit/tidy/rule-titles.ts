import { type Finding, lineAt, type Source } from './source.js';

/** Page and heading of the table that names the rules and where each is shown. */
const PAGE = 'docs/architecture.md';
const HEADING = '## Rules that are easy to get wrong\n';

/** A title as the tests of a rule carry it: `rule: <name> - <what it says>`. */
const TITLE = /(['"`])rule: (?:([a-z]+(?: [a-z]+)*) - \S)?/g;

interface Row {
  readonly rule: string;
  readonly files: readonly string[];
  readonly line: number;
}

/** Rows of the form `| **name** | what it says | files |`. */
function rows(page: Source): Row[] {
  const from = page.text.indexOf(HEADING);
  if (from < 0) return [];
  const behind = page.text.indexOf('\n## ', from + HEADING.length);
  const section = page.text.slice(from, behind < 0 ? undefined : behind);
  return [...section.matchAll(/^\| \*\*([^*]+)\*\* \|.*\| ([^|]*) \|$/gm)].map((match) => ({
    rule: match[1]!,
    files: [...match[2]!.matchAll(/`([^`]+)`/g)].map((file) => file[1]!),
    line: lineAt(page.text, from + match.index),
  }));
}

/** The table and the titles of the tests say the same: each rule is shown somewhere, and nowhere else than it says. */
export function ruleTitles(sources: readonly Source[]): Finding[] {
  const findings: Finding[] = [];
  const page = sources.find((source) => source.path === PAGE);
  const table = page === undefined ? [] : rows(page);
  if (table.length === 0) return [{ path: PAGE, line: 1, message: 'there is no table of rules' }];
  const shown = new Map<string, Set<string>>(table.map((row) => [row.rule, new Set()]));
  for (const { path, text } of sources) {
    if (!path.startsWith('test/') || !path.endsWith('.ts') || path.startsWith('test/unit/tidy/')) continue;
    for (const match of text.matchAll(TITLE)) {
      const rule = match[2];
      const files = rule === undefined ? undefined : shown.get(rule);
      files?.add(path.slice('test/'.length));
      if (files !== undefined) continue;
      const line = lineAt(text, match.index);
      const message =
        rule === undefined ? 'not "rule: <name> - <what it says>"' : `no rule "${rule}" in ${PAGE}`;
      findings.push({ path, line, message });
    }
  }
  for (const { rule, files, line } of table) {
    const found = [...shown.get(rule)!].sort().join(', ');
    if (found === '') findings.push({ path: PAGE, line, message: `no test shows the rule "${rule}"` });
    else if (found !== [...files].sort().join(', ')) {
      findings.push({ path: PAGE, line, message: `the rule "${rule}" is shown in ${found}` });
    }
  }
  return findings;
}
