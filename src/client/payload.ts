/** What may be a payload or a result: bytes and text as they are, everything else as JSON. */
export type PayloadInput = Uint8Array | string | JsonValue;

/**
 * Bytes or text that come in pieces, as a `Readable` gives them, or a function that opens them: such a payload can be
 * sent again when the first node is lost, one that is read already cannot.
 */
export type PayloadStream = AsyncIterable<Uint8Array | string> | (() => AsyncIterable<Uint8Array | string>);

/** What `JSON.stringify` writes and `JSON.parse` reads. */
export type JsonValue =
  | string
  | number
  | boolean
  | null
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue | undefined };

const BYTES_TYPE = 'application/octet-stream';
const TEXT_TYPE = 'text/plain; charset=utf-8';
const JSON_TYPE = 'application/json';

const encoder = new TextEncoder();
const EMPTY = new Uint8Array(0);

/** Bytes with their media type. */
export interface EncodedPayload {
  readonly bytes: Uint8Array;
  readonly contentType: string;
}

/**
 * Turns a value into bytes and names their media type: `Uint8Array` is `application/octet-stream`, a string is
 * `text/plain; charset=utf-8`, `undefined` is no bytes without a type, any other value is `application/json`.
 * `contentType` replaces the type, not the encoding.
 */
export function encodePayload(value: PayloadInput | undefined, contentType?: string): EncodedPayload {
  if (value === undefined) return { bytes: EMPTY, contentType: contentType ?? '' };
  if (typeof value === 'string') {
    return { bytes: encoder.encode(value), contentType: contentType ?? TEXT_TYPE };
  }
  if (value instanceof Uint8Array) return { bytes: value, contentType: contentType ?? BYTES_TYPE };
  const json = JSON.stringify(value) as string | undefined;
  if (json === undefined) throw new TypeError(`a ${typeof value} cannot be a payload`);
  return { bytes: encoder.encode(json), contentType: contentType ?? JSON_TYPE };
}

export function isStream(value: unknown): value is PayloadStream {
  if (typeof value === 'function') return true;
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}

/** Media type of a stream's bytes. */
export const STREAM_TYPE = BYTES_TYPE;

/** The bytes as UTF-8 text. */
export function decodeText(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

/** The bytes as JSON. Throws SyntaxError. The type is the caller's promise: nothing checks it. */
export function decodeJson<T = unknown>(bytes: Uint8Array): T {
  return JSON.parse(decodeText(bytes)) as T;
}

/** The opposite of `encodePayload`: text for `text/*`, a value for JSON types, otherwise the bytes. */
export function decodePayload(bytes: Uint8Array, contentType: string): unknown {
  const type = contentType.split(';', 1)[0]!.trim().toLowerCase();
  if (type === JSON_TYPE || type.endsWith('+json')) return decodeJson(bytes);
  if (type.startsWith('text/')) return decodeText(bytes);
  return bytes;
}
