import type { BlobRef } from '../core/types.js';
import type { LargeBody } from './decoder.js';
import type { Deps } from './deps.js';
import { type WireError, wireError } from './errors.js';
import type { Place } from './gathered.js';
import type { Held } from './held.js';
import { WARNING_BYTES_MAX } from './limits.js';
import { argumentsOf, TYPE } from './packets.js';
import { argumentCount, FORMS, type Form, jobSpec } from './submissions.js';
import type { Upload } from './upload.js';
import type { GearmanWorker } from './worker.js';

/** The side of a connection that large packets see. */
export interface LargePort {
  readonly deps: Deps;
  readonly worker: GearmanWorker;
  /** An error in the place of an answer. */
  refuse(error: WireError): void;
  place(): Place;
  /** Of a body that is `size` bytes long. */
  upload(size: number): Upload;
}

const NOTHING = Buffer.alloc(0);
const DROPPED: LargeBody = { chunk() {}, end() {} };

/** Packets whose last argument may be as long as a payload outside the log. */
export function isStored(type: number): boolean {
  return FORMS.has(type) || type === TYPE.WORK_COMPLETE;
}

/** Takes a packet that is too large to be kept until it is whole; null: nobody does, or it is over the limit. */
export function largeBody(port: LargePort, type: number, size: number, head: Buffer): LargeBody | null {
  const form = FORMS.get(type);
  if (form !== undefined) return submission(port, form, size, head);
  switch (type) {
    case TYPE.WORK_COMPLETE:
      return work(port, head, (handle, first) => complete(port, handle, size - head.length + first.length));
    case TYPE.WORK_DATA:
      return work(port, head, (handle) => data(port.worker, handle));
    case TYPE.WORK_WARNING:
      return work(port, head, (handle) =>
        beginning(WARNING_BYTES_MAX, (text) => port.worker.warning(handle, text)),
      );
    case TYPE.WORK_EXCEPTION:
      return work(port, head, (handle) =>
        beginning(port.deps.api.settings().payloadBytesMax, (details) =>
          port.worker.exception(handle, details),
        ),
      );
    default:
      return null;
  }
}

/** The same for a packet that came whole, if what it carries is over the limit for that which stays in the log. */
export function isLarge(type: number, body: Buffer, inlineBytesMax: number): boolean {
  if (body.length <= inlineBytesMax) return false;
  const form = FORMS.get(type);
  if (form === undefined && !WITH_DATA.has(type)) return false;
  const args = argumentsOf(body, form === undefined ? 2 : argumentCount(form));
  return args !== null && args.at(-1)!.length > inlineBytesMax;
}

const WITH_DATA: ReadonlySet<number> = new Set([
  TYPE.WORK_COMPLETE,
  TYPE.WORK_DATA,
  TYPE.WORK_WARNING,
  TYPE.WORK_EXCEPTION,
]);

function submission(port: LargePort, form: Form, size: number, head: Buffer): LargeBody | null {
  const args = argumentsOf(head, argumentCount(form));
  if (args === null) {
    port.refuse({ code: 'INVALID_PACKET', text: `no arguments in the first ${head.length} bytes` });
    return DROPPED;
  }
  const first = args.at(-1)!;
  const payloadBytes = size - head.length + first.length;
  if (payloadBytes > port.deps.api.settings().blobBytesMax) return null;
  // What is wrong with it is said before its payload is stored.
  const checked = jobSpec(port.deps, form, args, null);
  if ('code' in checked) {
    port.refuse(checked);
    return DROPPED;
  }
  const place = port.place();
  return uploading(
    port.upload(payloadBytes),
    first,
    (blob, upload) => {
      const spec = jobSpec(port.deps, form, args, blob);
      if ('code' in spec) {
        upload.discard();
        place.refuse(spec);
      } else {
        place.fill(spec, upload);
      }
    },
    (error) => place.refuse(error),
  );
}

/** A packet about a job that this connection's worker holds, with its data behind the handle. */
function work(
  port: LargePort,
  head: Buffer,
  receiver: (handle: string, first: Buffer) => LargeBody | null,
): LargeBody | null {
  const args = argumentsOf(head, 2);
  if (args === null) {
    port.refuse({ code: 'INVALID_PACKET', text: `no handle in the first ${head.length} bytes` });
    return DROPPED;
  }
  const [handle, first] = args as [Buffer, Buffer];
  const shown = handle.toString('latin1');
  if (!port.worker.holds(shown)) return DROPPED;
  const body = receiver(shown, first);
  if (first.length > 0) body?.chunk(first);
  return body;
}

/** Clients put the pieces together anyway. */
function data(worker: GearmanWorker, handle: string): LargeBody {
  let held = true;
  return {
    chunk(bytes) {
      if (held) held = worker.data(handle, bytes);
    },
    end() {},
  };
}

function complete(port: LargePort, handle: string, size: number): LargeBody | null {
  if (size > port.deps.api.settings().blobBytesMax) return null;
  const { worker } = port;
  let held: Held | null = null;
  const body = uploading(
    port.upload(size),
    NOTHING,
    (blob, upload) => worker.completeLarge(held, blob, upload),
    (error) => worker.notStored(held, error),
  );
  return {
    chunk: body.chunk,
    end() {
      held = worker.completing(handle);
      body.end();
    },
  };
}

function uploading(
  upload: Upload,
  first: Buffer,
  stored: (blob: BlobRef, upload: Upload) => void,
  failed: (error: WireError) => void,
): LargeBody {
  upload.write(first);
  return {
    chunk: (bytes) => upload.write(bytes),
    end() {
      upload.end().then(
        (blob) => stored(blob, upload),
        (error: unknown) => failed(wireError(error)),
      );
    },
  };
}

/** Keeps the first bytes, and hands them over at the end. */
function beginning(bytesMax: number, done: (bytes: Buffer) => void): LargeBody {
  const parts: Buffer[] = [];
  let room = bytesMax;
  return {
    chunk(bytes) {
      if (room === 0) return;
      const part = bytes.subarray(0, room);
      parts.push(Buffer.from(part));
      room -= part.length;
    },
    end: () => done(Buffer.concat(parts)),
  };
}
