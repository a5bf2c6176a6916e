/**
 * A snapshot is a manifest and the packs it names. A pack (`pack-0000000000000007`) holds pages one behind the
 * other, written by the snapshot of that number and never changed. The manifest (`manifest-0000000000000007`)
 * lists every page of its snapshot with the pack, the place and the checksum, so that a page which did not change
 * is named again instead of written again.
 */
import { crc32 } from 'node:zlib';
import { ByteReader, ByteWriter } from '../base/bytes.js';
import type { Membership, SnapshotMark } from '../consensus/types.js';

const FORMAT = 1;
const MAGIC = 'gearmesh snapshot';

export interface PageRef {
  readonly key: string;
  readonly version: number;
  /** Number of the pack. */
  readonly pack: number;
  readonly offset: number;
  readonly length: number;
  readonly crc: number;
}

export interface Manifest {
  readonly number: number;
  readonly mark: SnapshotMark;
  /** In the order in which the snapshot's writer named them. */
  readonly pages: ReadonlyMap<string, PageRef>;
  /** Bytes of each pack in use. */
  readonly packs: ReadonlyMap<number, number>;
  /** Bytes of all pages. */
  readonly bytes: number;
}

const digits = (number: number): string => String(number).padStart(16, '0');
export const manifestName = (number: number): string => `manifest-${digits(number)}`;
export const packName = (number: number): string => `pack-${digits(number)}`;

/** The number in the name of a manifest or pack; null for any other name. */
export function numberOf(kind: 'manifest' | 'pack', name: string): number | null {
  const match = /^(manifest|pack)-(\d{16})$/.exec(name);
  return match !== null && match[1] === kind ? Number.parseInt(match[2]!, 10) : null;
}

export function encodeManifest(manifest: Manifest): Buffer {
  const out = new ByteWriter(64 * 1024);
  out.string(MAGIC);
  out.u32(FORMAT);
  out.f64(manifest.number);
  out.f64(manifest.mark.index);
  out.f64(manifest.mark.term);
  out.string(JSON.stringify(manifest.mark.membership));
  out.u32(manifest.packs.size);
  for (const [number, bytes] of manifest.packs) {
    out.f64(number);
    out.f64(bytes);
  }
  out.u32(manifest.pages.size);
  for (const page of manifest.pages.values()) {
    out.string(page.key);
    out.f64(page.version);
    out.f64(page.pack);
    out.f64(page.offset);
    out.u32(page.length);
    out.u32(page.crc);
  }
  out.u32(crc32(out.view()));
  return out.take();
}

/** Null when the checksum does not fit, or the format is unknown. */
export function decodeManifest(bytes: Buffer, number: number): Manifest | null {
  const end = bytes.length - 4;
  if (end < 0 || crc32(bytes.subarray(0, end)) !== bytes.readUInt32LE(end)) return null;
  const input = new ByteReader(bytes, 0, end);
  if (input.string() !== MAGIC || input.u32() !== FORMAT || input.f64() !== number) return null;
  const index = input.f64();
  const term = input.f64();
  const membership = JSON.parse(input.string()) as Membership;
  const packs = new Map<number, number>();
  for (let left = input.u32(); left > 0; left--) packs.set(input.f64(), input.f64());
  const pages = new Map<string, PageRef>();
  let total = 0;
  for (let left = input.u32(); left > 0; left--) {
    const key = input.string();
    const version = input.f64();
    const pack = input.f64();
    const offset = input.f64();
    const length = input.u32();
    const crc = input.u32();
    pages.set(key, { key, version, pack, offset, length, crc });
    total += length;
  }
  return { number, mark: { index, term, membership }, pages, packs, bytes: total };
}
