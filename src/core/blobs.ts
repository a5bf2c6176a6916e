import { ByteReader, type ByteWriter, MalformedBytesError } from '../base/bytes.js';
import type { JobSpec } from './types.js';

/*
 * What a job carries is kept outside the heap as one blob, in the form in which it came through the log:
 *
 *     submission  u32 length of meta, meta (content type, traceparent, count, pairs), payload
 *     result      u32 length of meta, meta (content type), result
 *
 * An empty meta means that all of it is ''. Where it would be one of the usual content types and nothing else, it is left
 * out, and a number from `KNOWN` on stands for it in the place of its length.
 */
const KNOWN = 0x8000_0000;
/** A type keeps its place for ever. */
const KNOWN_TYPES: readonly string[] = [
  'application/octet-stream',
  'text/plain; charset=utf-8',
  'application/json',
  'text/plain',
];

/** What stands before a body for a meta of this content type alone; null: it has to be written out. */
function shortHead(contentType: string): number | null {
  if (contentType === '') return 0;
  const at = KNOWN_TYPES.indexOf(contentType);
  return at < 0 ? null : KNOWN + at;
}

function headOf(blob: Uint8Array): number {
  return (blob[0]! | (blob[1]! << 8) | (blob[2]! << 16) | (blob[3]! << 24)) >>> 0;
}

/** Content type of a blob that begins with such a number, as nearly all do; null for others. Throws MalformedBytesError. */
function shortType(blob: Uint8Array): string | null {
  if (blob.length < 4) return null;
  const head = headOf(blob);
  if (head < KNOWN) return head === 0 ? '' : null;
  const type = KNOWN_TYPES[head - KNOWN];
  if (type === undefined) throw new MalformedBytesError(`content type ${head - KNOWN} is not known`);
  return type;
}

/** Appends the blob of a submission, without a length before it. */
export function writeSubmission(writer: ByteWriter, spec: JobSpec): void {
  const start = writer.length;
  const isTypeAlone = spec.traceparent === '' && spec.metadata.length === 0;
  const head = isTypeAlone ? shortHead(spec.contentType) : null;
  writer.u32(head ?? 0);
  if (head === null) {
    writer.string(spec.contentType);
    writer.string(spec.traceparent);
    writer.u32(spec.metadata.length);
    for (const pair of spec.metadata) {
      writer.string(pair[0]);
      writer.string(pair[1]);
    }
    writer.u32At(start, writer.length - start - 4);
  }
  writer.raw(spec.payload);
}

/** Appends the blob of a result, without a length before it. */
export function writeResult(writer: ByteWriter, contentType: string, result: Uint8Array): void {
  const start = writer.length;
  const head = shortHead(contentType);
  writer.u32(head ?? 0);
  if (head === null) {
    writer.string(contentType);
    writer.u32At(start, writer.length - start - 4);
  }
  writer.raw(result);
}

/** Checks the lengths inside; throws MalformedBytesError. Returns the bytes of payload or result. */
export function blobBodyLength(blob: Uint8Array): number {
  const { length } = blob;
  if (shortType(blob) !== null) return length - 4;
  const meta = length < 4 ? length : headOf(blob);
  if (meta > length - 4) throw new MalformedBytesError(`a blob of ${length} bytes with ${meta} of meta`);
  return length - 4 - meta;
}

/** False for a blob that says nothing, which need not be kept. */
export function saysAnything(blob: Uint8Array): boolean {
  return blob.length > 4 || (blob.length === 4 && headOf(blob) !== 0);
}

export interface Submission {
  readonly contentType: string;
  readonly traceparent: string;
  readonly metadata: readonly (readonly [string, string])[];
  /** A view on the blob. */
  readonly payload: Uint8Array;
}

const NOTHING = Buffer.alloc(0);
const NO_METADATA: readonly (readonly [string, string])[] = [];
const EMPTY: Submission = { contentType: '', traceparent: '', metadata: NO_METADATA, payload: NOTHING };

export function readSubmission(blob: Uint8Array): Submission {
  if (blob.length === 0) return EMPTY;
  const short = shortType(blob);
  if (short !== null) {
    return { contentType: short, traceparent: '', metadata: NO_METADATA, payload: blob.subarray(4) };
  }
  const reader = new ByteReader(blob);
  reader.u32();
  const contentType = reader.string();
  const traceparent = reader.string();
  const metadata: [string, string][] = [];
  for (let count = reader.u32(); count > 0; count--) metadata.push([reader.string(), reader.string()]);
  return { contentType, traceparent, metadata, payload: reader.raw(reader.left) };
}

export function readResult(blob: Uint8Array): { readonly contentType: string; readonly result: Uint8Array } {
  if (blob.length === 0) return { contentType: '', result: NOTHING };
  const short = shortType(blob);
  if (short !== null) return { contentType: short, result: blob.subarray(4) };
  const reader = new ByteReader(blob);
  reader.u32();
  const contentType = reader.string();
  return { contentType, result: reader.raw(reader.left) };
}
