import type { Duration } from '../../proto/gen/google/protobuf/duration.js';
import type { Timestamp } from '../../proto/gen/google/protobuf/timestamp.js';
import { isUlid } from '../base/ulid.js';
import { type FieldViolation, GearmeshError } from '../core/errors.js';
import { NAME_BYTES_MAX } from './limits.js';

const SECONDS_MAX = 253_402_300_799; // 9999-12-31T23:59:59Z
const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

/** The allowed values, for messages. */
function span(min: number, max: number, unit: string): string {
  return `must be from ${min} to ${max}${unit}`;
}

export function utf8Length(text: string): number {
  return Buffer.byteLength(text, 'utf8');
}

/** True when the text takes at most `max` bytes of UTF-8; seldom has to count them. */
function fits(text: string, max: number): boolean {
  return text.length * 3 <= max || (text.length <= max && utf8Length(text) <= max);
}

function hasControl(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x20 || (code >= 0x7f && code <= 0x9f)) return true;
  }
  return false;
}

/**
 * Checks fields of a request and gathers every violation with the field's path as in the proto. Each method
 * returns the value in the inner rooms' form; after a violation the value means nothing.
 */
export class Checker {
  #violations: FieldViolation[] = [];
  #prefix = '';
  #index = -1;

  /** Fields named from now on lie in `prefix`, or in its element `index`. Builds no text until something is wrong. */
  within(prefix: string, index = -1): void {
    this.#prefix = prefix;
    this.#index = index;
  }

  get ok(): boolean {
    return this.#violations.length === 0;
  }

  add(field: string, description: string): void {
    let path = this.#prefix;
    if (this.#index >= 0) path += `[${this.#index}]`;
    if (path !== '' && field !== '') path += '.';
    this.#violations.push({ field: path + field, description });
  }

  /** The violations as an error, and a fresh start; null when there is none. */
  take(): GearmeshError | null {
    if (this.ok) return null;
    const violations = this.#violations;
    this.#violations = [];
    const first = violations[0]!;
    const more = violations.length > 1 ? ` (and ${violations.length - 1} more)` : '';
    return new GearmeshError('INVALID_FIELD', {
      message: `${first.field}: ${first.description}${more}`,
      violations,
    });
  }

  /** Throws what has been gathered. */
  done(): void {
    const error = this.take();
    if (error !== null) throw error;
  }

  /** 1 to 255 bytes without control characters. */
  name(field: string, value: string): string {
    if (value === '') this.add(field, 'is required');
    else this.optionalName(field, value);
    return value;
  }

  optionalName(field: string, value: string): string {
    if (!fits(value, NAME_BYTES_MAX)) this.add(field, `is longer than ${NAME_BYTES_MAX} bytes`);
    else if (hasControl(value)) this.add(field, 'contains control characters');
    return value;
  }

  namespace(field: string, value: string): string {
    return value === '' ? 'default' : this.optionalName(field, value);
  }

  /** Up to `max` bytes. */
  text(field: string, value: string, max: number): string {
    if (!fits(value, max)) this.add(field, `is longer than ${max} bytes`);
    return value;
  }

  jobId(field: string, value: string): string {
    if (value === '') this.add(field, 'is required');
    else if (!isUlid(value)) this.add(field, 'is not a ULID of 26 characters');
    return value;
  }

  token(field: string, value: number): number {
    if (value === 0) this.add(field, 'is required');
    return value;
  }

  traceparent(field: string, value: string): string {
    if (value !== '' && !TRACEPARENT.test(value)) this.add(field, 'is not in the form of W3C trace context');
    return value;
  }

  /** A whole number in a range. */
  count(field: string, value: number, min: number, max: number): number {
    if (value < min || value > max) this.add(field, span(min, max, ''));
    return value;
  }

  /** A number with three decimals, as per mille. */
  permille(field: string, value: number, min: number, max: number): number {
    if (!(value >= min && value <= max)) this.add(field, span(min, max, ''));
    return Math.round(value * 1000);
  }

  /** Milliseconds, rounded up; `absent` when there is none. */
  duration(field: string, value: Duration | undefined, min: number, max: number, absent: number): number {
    if (value === undefined) return absent;
    const { seconds, nanos } = value;
    if (Math.abs(nanos) > 999_999_999 || (seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0)) {
      this.add(field, 'is not a valid duration');
      return absent;
    }
    const ms = seconds * 1000 + Math.ceil(nanos / 1e6);
    if (seconds < 0 || nanos < 0 || ms < min || ms > max) this.add(field, span(min, max, ' milliseconds'));
    return ms;
  }

  /** Wall milliseconds, at least 1 when set; 0 when absent. */
  timestamp(field: string, value: Timestamp | undefined): number {
    if (value === undefined) return 0;
    const { seconds, nanos } = value;
    if (nanos < 0 || nanos > 999_999_999 || seconds > SECONDS_MAX || seconds < -62_135_596_800) {
      this.add(field, 'is not a valid time');
      return 0;
    }
    return Math.max(1, seconds * 1000 + Math.floor(nanos / 1e6));
  }
}
