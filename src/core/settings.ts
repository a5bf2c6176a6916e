import { DEFAULT_SETTINGS, type Settings } from './types.js';

/** Order in which settings are numbered in commands and snapshots: only ever extended at the end. */
export const SETTING_KEYS = Object.keys(DEFAULT_SETTINGS) as (keyof Settings)[];

/** Settings of which 0 would stop the cluster from doing its work. */
const AT_LEAST_ONE: ReadonlySet<keyof Settings> = new Set<keyof Settings>([
  'maxAttempts',
  'dedupeWindowMs',
  'dedupeWindowMinMs',
  'dedupeEntriesMax',
  'sweepSteps',
  'ackTimeoutMs',
]);

/** True where the value may become the setting: whole, not negative, and not 0 where that makes no sense. */
export function isValidSetting(key: keyof Settings, value: number): boolean {
  return Number.isSafeInteger(value) && value >= (AT_LEAST_ONE.has(key) ? 1 : 0);
}

/** The defaults with these changes. */
export function withDefaults(changes: Partial<Settings>): Settings {
  const settings = { ...DEFAULT_SETTINGS };
  for (const key of SETTING_KEYS) {
    const value = changes[key];
    if (value !== undefined) (settings as Record<keyof Settings, number>)[key] = value;
  }
  return settings;
}
