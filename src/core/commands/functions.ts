import type { ByteReader } from '../../base/bytes.js';
import { readCount } from '../codec.js';
import type { FunctionSpec } from '../types.js';

/** The functions that a session names. */
export function readFunctions(reader: ByteReader): FunctionSpec[] {
  const functions: FunctionSpec[] = [];
  for (let left = reader.u32(); left > 0; left--) {
    functions.push({ name: reader.string(), concurrency: reader.u32(), runTimeoutMs: readCount(reader) });
  }
  return functions;
}
