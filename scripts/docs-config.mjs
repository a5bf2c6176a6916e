// Makes docs/configuration.md from the table of settings. With --check: fails when the page is out of date.
import { loadTs } from './load-ts.mjs';
import { writePage } from './page.mjs';

const { configurationPage } = await loadTs('src/config/docs.ts');
writePage('docs/configuration.md', configurationPage());
