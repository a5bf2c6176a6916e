import type { ByteReader } from '../../base/bytes.js';
import type { FunctionState } from '../functions.js';
import type { State } from '../state.js';
import { answer, refuseLimit } from './result.js';
import { functionsFull } from './submit.js';

/** A function exists before its first job or worker. One that exists stays as it is. */
export function queueCreate(state: State, reader: ByteReader): void {
  const namespace = reader.string();
  const name = reader.string();
  if (findOrCreate(state, namespace, name) !== null) answer(state, {});
}

/** Null: there are too many, and the command has been answered. */
export function findOrCreate(state: State, namespace: string, name: string): FunctionState | null {
  const known = state.functions.find(namespace, name);
  if (known !== null) return known;
  if (!functionsFull(state, 0)) return state.functions.create(namespace, name);
  refuseLimit(state, 'functionsMax');
  return null;
}
