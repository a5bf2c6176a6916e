/** Control characters have no place in names: they would break the lists of the text protocol. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\u0000-\u001f\u007f]/;

/** A name or key as text; null: it is not UTF-8, or has control characters. */
export function wireText(bytes: Buffer): string | null {
  const text = bytes.toString('utf8');
  if (CONTROL.test(text)) return null;
  // What is not UTF-8 becomes U+FFFD, and is another name then.
  return text.includes('\ufffd') && !Buffer.from(text).equals(bytes) ? null : text;
}

/** An argument that some clients end with a NUL byte. */
export function withoutNul(bytes: Buffer): Buffer {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end--;
  return bytes.subarray(0, end);
}

/** A whole number from the wire as C's `atoi` reads it: 0 for what is none. */
export function wireNumber(bytes: Buffer): number {
  const number = Number.parseInt(bytes.toString('latin1'), 10);
  return Number.isFinite(number) ? number : 0;
}
