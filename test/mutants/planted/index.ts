import type { Mutant } from '../mutant.js';
import { CONSENSUS } from './consensus.js';
import { CORE } from './core.js';
import { NODE } from './node.js';
import { STORAGE } from './storage.js';

export const MUTANTS: readonly Mutant[] = [...STORAGE, ...CONSENSUS, ...CORE, ...NODE];
