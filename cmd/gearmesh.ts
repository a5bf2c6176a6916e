#!/usr/bin/env node
import { fileURLToPath } from 'node:url';
import { main } from '../src/cli/main.js';

await main(fileURLToPath(import.meta.url));
