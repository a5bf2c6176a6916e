/** One metric in a query, with the names of the labels that are matched on it. */
export interface Selected {
  readonly metric: string;
  readonly labels: readonly string[];
}

export interface Query {
  readonly selected: readonly Selected[];
  /** Labels by which series are grouped or joined. */
  readonly grouping: readonly string[];
}

const TOKEN =
  /\s+|"(?:[^"\\]|\\.)*"|\[[^\]]*\]|\d[\w.]*|\$\w+|[A-Za-z_:][\w:]*|[=!]~|[=!<>]=|[-+*/%^=<>(){},]/y;
const NAME = /^[A-Za-z_:]/;
const GROUPING = new Set(['by', 'without', 'on', 'ignoring', 'group_left', 'group_right']);
const OPERATORS = new Set(['and', 'or', 'unless', 'bool', 'offset', 'inf', 'nan']);

/** Reads what a query names. Throws for text that is no PromQL as far as this reader knows it. */
export function readQuery(text: string): Query {
  const tokens = tokensOf(text);
  const selected: Selected[] = [];
  const grouping: string[] = [];
  for (let at = 0; at < tokens.length; at++) {
    const token = tokens[at]!;
    const next = tokens[at + 1];
    if (token === '{') throw new Error(`a selector without a metric's name: ${text}`);
    if (!NAME.test(token)) continue;
    if (GROUPING.has(token)) {
      const end = tokens.indexOf(')', at);
      if (next === '(') {
        grouping.push(...tokens.slice(at + 2, end).filter((t) => NAME.test(t)));
        at = end;
      }
    } else if (OPERATORS.has(token.toLowerCase()) || next === '(') {
      // A function or an aggregation, unless its labels come first: `sum by (le) (…)`.
    } else if (next !== undefined && GROUPING.has(next)) {
      if (tokens[tokens.indexOf(')', at) + 1] !== '(') throw new Error(`${token} ${next} what? ${text}`);
    } else {
      const labels: string[] = [];
      if (next === '{') {
        const end = tokens.indexOf('}', at);
        labels.push(...tokens.slice(at + 2, end).filter((t) => NAME.test(t)));
        at = end;
      }
      selected.push({ metric: token, labels });
    }
  }
  return { selected, grouping };
}

function tokensOf(text: string): string[] {
  const tokens: string[] = [];
  const depth: string[] = [];
  const closes: Readonly<Record<string, string>> = { '(': ')', '{': '}' };
  for (let at = 0; at < text.length; ) {
    TOKEN.lastIndex = at;
    const token = TOKEN.exec(text)?.[0];
    if (token === undefined) throw new Error(`not understood at "${text.slice(at, at + 20)}": ${text}`);
    at += token.length;
    if (closes[token] !== undefined) depth.push(closes[token]);
    else if ((token === ')' || token === '}') && depth.pop() !== token) {
      throw new Error(`an unexpected ${token}: ${text}`);
    }
    if (!/^\s/.test(token)) tokens.push(token);
  }
  if (depth.length > 0) throw new Error(`${depth.at(-1)} is missing: ${text}`);
  return tokens;
}
