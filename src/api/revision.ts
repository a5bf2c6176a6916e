import { createHash } from 'node:crypto';

/** Partition of the log; there is one. */
const PARTITION = 0;
const FORM = /^0-([0-9a-z]{1,11})$/;

let lastIndex = -1;
let lastText = '';

/** A log index as callers see it. Neighbouring answers share one index, so the last text is kept. */
export function toRevision(index: number): string {
  if (index !== lastIndex) {
    lastIndex = index;
    lastText = `${PARTITION}-${index.toString(36)}`;
  }
  return lastText;
}

/** The log index, 0 for ''; null when the text never came from a server. */
export function parseRevision(text: string): number | null {
  if (text === '') return 0;
  const match = FORM.exec(text);
  if (match === null) return null;
  const index = Number.parseInt(match[1]!, 36);
  return Number.isSafeInteger(index) && index.toString(36) === match[1] ? index : null;
}

const TOKEN_VERSION = 1;
const DIGEST_BYTES = 12;

function digest(query: readonly unknown[]): Buffer {
  return createHash('sha256').update(JSON.stringify(query)).digest().subarray(0, DIGEST_BYTES);
}

/** A page token: where to go on, bound to the query it belongs to. `query` holds all filters; '' when there is no more. */
export function toPageToken(query: readonly unknown[], position: string): string {
  if (position === '') return '';
  return Buffer.concat([Buffer.of(TOKEN_VERSION), digest(query), Buffer.from(position, 'utf8')]).toString(
    'base64url',
  );
}

/** Where to go on, '' for ''; null for a token of another query or no token at all. */
export function parsePageToken(query: readonly unknown[], token: string): string | null {
  if (token === '') return '';
  const bytes = Buffer.from(token, 'base64url');
  const head = 1 + DIGEST_BYTES;
  if (bytes.length <= head || bytes[0] !== TOKEN_VERSION) return null;
  if (!bytes.subarray(1, head).equals(digest(query))) return null;
  return bytes.toString('utf8', head);
}
