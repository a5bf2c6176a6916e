import type { RaftMessage } from './types.js';

export function messageToWire(_message: RaftMessage): unknown {
  throw new Error('not built yet');
}

export function messageFromWire(_wire: unknown): RaftMessage {
  throw new Error('not built yet');
}
