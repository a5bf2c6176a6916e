/**
 * Which minutes a schedule names, in UTC: one set of bits for each field, all of which must match. Days are counted by
 * whole numbers alone, so that every machine finds the same minute.
 */
export interface Calendar {
  /** Minutes 0 to 31. */
  readonly minutesLow: number;
  /** Minutes 32 to 59, from bit 0 on. */
  readonly minutesHigh: number;
  /** Bits 0 to 23. */
  readonly hours: number;
  /** Bits 1 to 31. */
  readonly daysOfMonth: number;
  /** Bits 1 to 12. */
  readonly months: number;
  /** Bits 0 (Monday) to 6 (Sunday). */
  readonly daysOfWeek: number;
}

/** A calendar as people write it: each field a number, or `*` or nothing for any. */
export interface CalendarFields {
  readonly minute: string;
  readonly hour: string;
  readonly dayOfMonth: string;
  readonly month: string;
  readonly dayOfWeek: string;
}

const MINUTE_MS = 60_000;
const MINUTES_PER_DAY = 1_440;
/** Dates and their days of the week repeat after 400 years: what is not in them never comes. */
const MONTHS_MAX = 400 * 12 + 1;
const RANGES: { readonly [field in keyof CalendarFields]: readonly [min: number, max: number] } = {
  minute: [0, 59],
  hour: [0, 23],
  dayOfMonth: [1, 31],
  month: [1, 12],
  dayOfWeek: [0, 6],
};

/** Null: `refuse` was told what is wrong with which field. */
export function parseCalendar(
  fields: CalendarFields,
  refuse: (field: keyof CalendarFields, why: string) => void,
): Calendar | null {
  let fine = true;
  const set = (field: keyof CalendarFields): Set<number> => {
    const [min, max] = RANGES[field];
    const text = fields[field].trim();
    const found = new Set<number>();
    if (text === '' || text === '*') {
      for (let value = min; value <= max; value++) found.add(value);
    } else if (/^\d{1,2}$/.test(text) && Number(text) >= min && Number(text) <= max) {
      found.add(Number(text));
    } else {
      fine = false;
      refuse(field, `must be a whole number from ${min} to ${max}, or * for any`);
    }
    return found;
  };
  const minutes = set('minute');
  const calendar = {
    minutesLow: bits(minutes, 0, 31),
    minutesHigh: bits(minutes, 32, 59),
    hours: bits(set('hour')),
    daysOfMonth: bits(set('dayOfMonth')),
    months: bits(set('month')),
    daysOfWeek: bits(set('dayOfWeek')),
  };
  if (!fine) return null;
  if (nextAt(calendar, 0) !== 0) return calendar;
  refuse('dayOfMonth', 'never comes in this month');
  return null;
}

function bits(values: ReadonlySet<number>, first = 0, last = 31): number {
  let found = 0;
  for (const value of values) if (value >= first && value <= last) found |= 1 << (value - first);
  return found >>> 0;
}

/** The opposite of `parseCalendar`. */
export function showCalendar(calendar: Calendar): CalendarFields {
  const show = (field: keyof CalendarFields, has: (value: number) => boolean): string => {
    const [min, max] = RANGES[field];
    const found: number[] = [];
    for (let value = min; value <= max; value++) if (has(value)) found.push(value);
    return found.length === max - min + 1 ? '*' : found.join(',');
  };
  const { hours, daysOfMonth, months, daysOfWeek } = calendar;
  return {
    minute: show('minute', (value) => hasMinute(calendar, value)),
    hour: show('hour', (value) => hasBit(hours, value)),
    dayOfMonth: show('dayOfMonth', (value) => hasBit(daysOfMonth, value)),
    month: show('month', (value) => hasBit(months, value)),
    dayOfWeek: show('dayOfWeek', (value) => hasBit(daysOfWeek, value)),
  };
}

/** The first minute of the calendar that begins after `wall`: milliseconds since 1970-01-01 UTC; 0: none ever comes. */
export function nextAt(calendar: Calendar, wall: number): number {
  const from = Math.floor(wall / MINUTE_MS) + 1;
  const day = Math.floor(from / MINUTES_PER_DAY);
  if (dayFrom(calendar, day, 1) === day) {
    const minute = minuteFrom(calendar, from - day * MINUTES_PER_DAY);
    if (minute >= 0) return (day * MINUTES_PER_DAY + minute) * MINUTE_MS;
  }
  const next = dayFrom(calendar, day + 1, MONTHS_MAX);
  const first = minuteFrom(calendar, 0);
  return next < 0 || first < 0 ? 0 : (next * MINUTES_PER_DAY + first) * MINUTE_MS;
}

/** The last minute of the calendar that has begun at `wall`, in the same form; 0: none since 1970. */
export function lastAt(calendar: Calendar, wall: number): number {
  const upTo = Math.floor(wall / MINUTE_MS);
  const day = Math.floor(upTo / MINUTES_PER_DAY);
  if (dayFrom(calendar, day, 1) === day) {
    const minute = minuteUpTo(calendar, upTo - day * MINUTES_PER_DAY);
    if (minute >= 0) return (day * MINUTES_PER_DAY + minute) * MINUTE_MS;
  }
  const last = dayUpTo(calendar, day - 1);
  const latest = minuteUpTo(calendar, MINUTES_PER_DAY - 1);
  return last < 0 || latest < 0 ? 0 : (last * MINUTES_PER_DAY + latest) * MINUTE_MS;
}

/** First matching day from `day` on, as days since 1970-01-01, within so many months; -1: none. */
function dayFrom(calendar: Calendar, day: number, months: number): number {
  let { year, month, dayOfMonth } = dateOf(day);
  let first = day - dayOfMonth + 1;
  for (let left = months; left > 0; left--) {
    // Bits below the day where the search begins are of no use.
    const days = daysIn(calendar, year, month, first) & (-1 << dayOfMonth);
    if (days !== 0) return first + lowest(days) - 1;
    first += lengthOf(year, month);
    dayOfMonth = 1;
    month = month === 12 ? 1 : month + 1;
    if (month === 1) year++;
  }
  return -1;
}

/** Last matching day up to `day`, not before 1970-01-01; -1: none. */
function dayUpTo(calendar: Calendar, day: number): number {
  let { year, month, dayOfMonth } = dateOf(day);
  let first = day - dayOfMonth + 1;
  for (let left = MONTHS_MAX; left > 0 && first >= 0; left--) {
    const days = daysIn(calendar, year, month, first) & (2 ** (dayOfMonth + 1) - 1);
    if (days !== 0) return first + highest(days) - 1;
    month = month === 1 ? 12 : month - 1;
    if (month === 12) year--;
    dayOfMonth = lengthOf(year, month);
    first -= dayOfMonth;
  }
  return -1;
}

/** Days of a month that match, bits 1 to 31. `first`: its first day, as days since 1970-01-01. */
function daysIn(calendar: Calendar, year: number, month: number, first: number): number {
  if (!hasBit(calendar.months, month)) return 0;
  // 1970-01-01 was a Thursday. The week as it begins on the month's first day, then five times in a row.
  const weekday = (((first + 3) % 7) + 7) % 7;
  const week = ((calendar.daysOfWeek >>> weekday) | (calendar.daysOfWeek << (7 - weekday))) & 127;
  return calendar.daysOfMonth & (Math.imul(week, 0x10204081) << 1) & (2 ** (lengthOf(year, month) + 1) - 2);
}

function minuteFrom(calendar: Calendar, from: number): number {
  let minute = from % 60;
  for (let hour = Math.floor(from / 60); hour < 24; hour++) {
    for (; minute < 60 && hasBit(calendar.hours, hour); minute++) {
      if (hasMinute(calendar, minute)) return hour * 60 + minute;
    }
    minute = 0;
  }
  return -1;
}

function minuteUpTo(calendar: Calendar, upTo: number): number {
  let minute = upTo % 60;
  for (let hour = Math.floor(upTo / 60); hour >= 0; hour--) {
    for (; minute >= 0 && hasBit(calendar.hours, hour); minute--) {
      if (hasMinute(calendar, minute)) return hour * 60 + minute;
    }
    minute = 59;
  }
  return -1;
}

function hasMinute(calendar: Calendar, minute: number): boolean {
  return minute < 32 ? hasBit(calendar.minutesLow, minute) : hasBit(calendar.minutesHigh, minute - 32);
}

function hasBit(set: number, bit: number): boolean {
  return ((set >>> bit) & 1) === 1;
}

function lowest(set: number): number {
  return 31 - Math.clz32(set & -set);
}

function highest(set: number): number {
  return 31 - Math.clz32(set);
}

function lengthOf(year: number, month: number): number {
  if (month === 2) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

/** The date of a day, counted from 1970-01-01 in the Gregorian calendar. Years are taken to begin in March. */
function dateOf(day: number): { year: number; month: number; dayOfMonth: number } {
  const days = day + 719_468; // since 0000-03-01
  const era = Math.floor(days / 146_097);
  const ofEra = days - era * 146_097;
  const yearOfEra = Math.floor(
    (ofEra - Math.floor(ofEra / 1_460) + Math.floor(ofEra / 36_524) - Math.floor(ofEra / 146_096)) / 365,
  );
  const ofYear = ofEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const fromMarch = Math.floor((5 * ofYear + 2) / 153);
  const month = fromMarch < 10 ? fromMarch + 3 : fromMarch - 9;
  return {
    year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0),
    month,
    dayOfMonth: ofYear - Math.floor((153 * fromMarch + 2) / 5) + 1,
  };
}
