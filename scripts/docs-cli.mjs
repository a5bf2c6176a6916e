// Makes docs/cli.md from the commands' own definitions. With --check: fails when the page is out of date.
import { loadTs } from './load-ts.mjs';
import { writePage } from './page.mjs';

const { cliPage } = await loadTs('src/cli/docs.ts');
writePage('docs/cli.md', cliPage());
