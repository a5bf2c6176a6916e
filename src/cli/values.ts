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
