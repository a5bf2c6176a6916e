import { InvalidArgumentError } from 'commander';
import { parseMs } from '../config/index.js';

/** Parsers for the values of flags; a wrong one ends the command with exit code 2 and says what was expected. */

export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d{1,15}$/.test(text) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Expected a whole number from ${min} to ${max}.`);
  };
}

/** Milliseconds. */
export function time(text: string): number {
  const value = parseMs(text);
  if (value !== undefined) return value;
  throw new InvalidArgumentError('Expected a time: milliseconds, or a number with ms, s, m, h or d.');
}

export function moment(text: string): Date {
  const value = new Date(text);
  if (!Number.isNaN(value.getTime())) return value;
  throw new InvalidArgumentError('Expected a date and time, e.g. 2030-01-31T12:00:00Z.');
}

export function oneOf<const C extends string>(...choices: readonly C[]): (text: string) => C {
  return (text) => {
    const found = choices.find((c) => c === text);
    if (found !== undefined) return found;
    throw new InvalidArgumentError(`Expected one of ${choices.join(', ')}.`);
  };
}

/** Several, separated by commas or given one by one. */
export function someOf<const C extends string>(
  ...choices: readonly C[]
): (text: string, before: readonly C[] | undefined) => readonly C[] {
  const one = oneOf(...choices);
  return (text, before = []) => [...before, ...text.split(',').map((part) => one(part.trim()))];
}

export function metadataEntry(
  text: string,
  before: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('Expected KEY=VALUE.');
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

export function address(text: string): string {
  const port = Number(/^.+:(\d{1,5})$/.exec(text)?.[1] ?? 0);
  if (port >= 1 && port <= 65_535) return text;
  throw new InvalidArgumentError('Expected HOST:PORT.');
}
