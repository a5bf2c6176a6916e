import { type ErrorCode, GearmeshError } from '../core/errors.js';
import { response, TYPE } from './packets.js';

/** Codes of ERROR packets, beside those that stand for errors of the cluster. */
export type WireCode =
  | 'ARGUMENT_TOO_LARGE'
  | 'INVALID_ARGUMENT'
  | 'INVALID_COMMAND'
  | 'INVALID_MAGIC'
  | 'INVALID_PACKET'
  | 'JOB_NOT_FOUND'
  | 'QUEUE_ERROR'
  | 'UNKNOWN_OPTION'
  | 'NO_LEADER'
  | 'OUTCOME_UNKNOWN'
  | 'SERVER_SHUTTING_DOWN'
  | 'UNKNOWN_ERROR';

const CODES: { readonly [code in ErrorCode]: WireCode } = {
  INVALID_FIELD: 'INVALID_ARGUMENT',
  PAYLOAD_TOO_LARGE: 'ARGUMENT_TOO_LARGE',
  LIMIT_REACHED: 'QUEUE_ERROR',
  NOT_FOUND: 'JOB_NOT_FOUND',
  ID_REUSED: 'UNKNOWN_ERROR',
  ID_TOO_OLD: 'OUTCOME_UNKNOWN',
  ID_IN_FUTURE: 'UNKNOWN_ERROR',
  LEASE_LOST: 'JOB_NOT_FOUND',
  SESSION_UNKNOWN: 'JOB_NOT_FOUND',
  WRONG_STATE: 'JOB_NOT_FOUND',
  NO_LEADER: 'NO_LEADER',
  OUTCOME_UNKNOWN: 'OUTCOME_UNKNOWN',
  SHUTTING_DOWN: 'SERVER_SHUTTING_DOWN',
  CANCELLED: 'NO_LEADER',
  UNAUTHENTICATED: 'UNKNOWN_ERROR',
  PERMISSION_DENIED: 'UNKNOWN_ERROR',
  INTERNAL: 'UNKNOWN_ERROR',
};

/** What a client is told: a code to compare, and a text for people. */
export interface WireError {
  readonly code: WireCode;
  readonly text: string;
}

export function wireError(error: unknown): WireError {
  if (error instanceof GearmeshError) return { code: CODES[error.code], text: error.message };
  return { code: 'UNKNOWN_ERROR', text: 'a defect in Gearmesh' };
}

export function errorPacket({ code, text }: WireError): Buffer {
  return response(TYPE.ERROR, [code, text]);
}
