/**
 * Walks over MessagePack bytes without building anything, before they are unpacked. A list's head may promise four
 * thousand million elements in five bytes, and an unpacker that believes it reserves the memory at once.
 * Accepted: nil, booleans, numbers, texts, bytes, lists, maps, and the extension that stands for `undefined`.
 *
 * Returns null where `bytes` is exactly one value within the limits, otherwise what is wrong with it.
 */
export function checkMsgpack(bytes: Uint8Array, valuesMax: number, depthMax: number): string | null {
  const end = bytes.length;
  const open: number[] = [];
  let at = 0;
  let left = 1;
  let values = 0;
  for (;;) {
    while (left === 0) {
      const outer = open.pop();
      if (outer === undefined) return at === end ? null : `${end - at} bytes follow the value`;
      left = outer;
    }
    left--;
    if (at >= end) return 'it ends in the middle of a value';
    if (++values > valuesMax) return `it holds more than ${valuesMax} values`;
    const head = bytes[at++]!;

    let inside = 0;
    if (head <= 0x7f || head >= 0xe0) continue;
    if (head <= 0x8f) inside = (head & 0x0f) * 2;
    else if (head <= 0x9f) inside = head & 0x0f;
    else if (head <= 0xbf) at += head & 0x1f;
    else {
      const lengthBytes = LENGTH_BYTES[head - 0xc0]!;
      if (lengthBytes > 0) {
        if (at + lengthBytes > end) return 'it ends in the middle of a length';
        const length = readLength(bytes, at, lengthBytes);
        at += lengthBytes;
        if (head >= 0xde) inside = length * 2;
        else if (head >= 0xdc) inside = length;
        else at += length;
      } else if (head === 0xd4) {
        if (bytes[at] !== 0) return 'it holds an extension type';
        at += 2;
      } else {
        const fixed = FIXED_BYTES[head - 0xc0]!;
        if (fixed < 0) return `it holds a value of the unknown kind 0x${head.toString(16)}`;
        at += fixed;
      }
    }
    if (at > end) return 'a value is longer than the frame';
    if (inside > 0) {
      if (inside > end - at) return 'a list promises more values than there are bytes';
      if (open.length >= depthMax) return `lists lie more than ${depthMax} deep`;
      open.push(left);
      left = inside;
    }
  }
}

function readLength(bytes: Uint8Array, at: number, count: number): number {
  let value = 0;
  for (let i = 0; i < count; i++) value = value * 256 + bytes[at + i]!;
  return value;
}

/** For heads 0xc0 to 0xdf: bytes of the length that follows (bin, str, array, map); 0 where none does. */
const LENGTH_BYTES = [
  0, 0, 0, 0, 1, 2, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 4, 2, 4, 2, 4,
];
/** For heads 0xc0 to 0xdf without a length: bytes of the value itself; -1 is not accepted. */
const FIXED_BYTES = [
  0, -1, 0, 0, 0, 0, 0, -1, -1, -1, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0,
];
