import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Calendar,
  type CalendarFields,
  lastAt,
  nextAt,
  parseCalendar,
  showCalendar,
} from '../../../src/base/calendar.js';

/** Goal: the calendar's whole-number arithmetic names the same minutes as `Date`, in both directions. */
const MINUTE = 60_000;
const DAY = 86_400_000;
/** 29 February on a given day of the week comes after 40 years at the latest. */
const DAYS_MAX = 41 * 366;

const bits = (first: number, last: number): fc.Arbitrary<number> => {
  const all = 2 ** (last + 1) - 2 ** first;
  const one = fc.integer({ min: first, max: last }).map((bit) => 2 ** bit);
  const some = fc
    .array(one, { minLength: 1, maxLength: 4 })
    .map((ones) => ones.reduce((a, b) => a | b) >>> 0);
  return fc.oneof(fc.constant(all), some);
};

const calendars: fc.Arbitrary<Calendar> = fc.record({
  minutesLow: bits(0, 31),
  minutesHigh: fc.oneof(fc.constant(0), bits(0, 27)),
  hours: bits(0, 23),
  daysOfMonth: bits(1, 31),
  months: bits(1, 12),
  daysOfWeek: bits(0, 6),
});

/** Any time from 1970 to about 2400, often at the very edge of a minute, a day or a month. */
const walls = fc.oneof(
  fc.integer({ min: 0, max: Date.UTC(2400, 0, 1) }),
  fc
    .tuple(fc.integer({ min: 1970, max: 2400 }), fc.nat(11), fc.integer({ min: -1, max: 1 }))
    .map(([year, month, more]) => Math.max(0, Date.UTC(year, month, 1) + more)),
  fc
    .tuple(fc.nat(200_000_000), fc.integer({ min: -1, max: 1 }))
    .map(([m, more]) => Math.max(0, m * MINUTE + more)),
);

const has = (set: number, bit: number): boolean => Math.floor(set / 2 ** bit) % 2 === 1;

function matchesDay(calendar: Calendar, day: number): boolean {
  const date = new Date(day * DAY);
  return (
    has(calendar.months, date.getUTCMonth() + 1) &&
    has(calendar.daysOfMonth, date.getUTCDate()) &&
    has(calendar.daysOfWeek, (date.getUTCDay() + 6) % 7)
  );
}

/** All minutes of a day that match, ascending, as wall ms. */
function minutesOf(calendar: Calendar, day: number): number[] {
  const found: number[] = [];
  for (let minute = 0; minute < 1_440; minute++) {
    const date = new Date(day * DAY + minute * MINUTE);
    const of = date.getUTCMinutes();
    const set = of < 32 ? has(calendar.minutesLow, of) : has(calendar.minutesHigh, of - 32);
    if (set && has(calendar.hours, date.getUTCHours())) found.push(date.getTime());
  }
  return found;
}

/** The days around a time that match, looked at one by one. */
function slowNext(calendar: Calendar, wall: number): number {
  const first = Math.floor(wall / DAY);
  for (let day = first; day < first + DAYS_MAX; day++) {
    if (!matchesDay(calendar, day)) continue;
    const minute = minutesOf(calendar, day).find((at) => at > wall);
    if (minute !== undefined) return minute;
  }
  return 0;
}

function slowLast(calendar: Calendar, wall: number): number {
  const first = Math.floor(wall / DAY);
  for (let day = first; day >= 0 && day > first - DAYS_MAX; day--) {
    if (!matchesDay(calendar, day)) continue;
    const minute = minutesOf(calendar, day).findLast((at) => at <= wall);
    if (minute !== undefined) return minute;
  }
  return 0;
}

const of = (fields: Partial<CalendarFields>): CalendarFields => ({
  minute: '*',
  hour: '*',
  dayOfMonth: '*',
  month: '*',
  dayOfWeek: '*',
  ...fields,
});
const parse = (fields: Partial<CalendarFields>): Calendar => {
  return parseCalendar(of(fields), (field, why) => expect.fail(`${field} ${why}`))!;
};
const utc = (text: string): number => Date.parse(`${text}Z`);

describe('the next and the last minute', () => {
  it('are those that Date.UTC finds', () => {
    fc.assert(
      fc.property(calendars, walls, (calendar, wall) => {
        expect(nextAt(calendar, wall)).toBe(slowNext(calendar, wall));
        expect(lastAt(calendar, wall)).toBe(slowLast(calendar, wall));
      }),
      { numRuns: 300 },
    );
  });

  it('lie next to each other: nothing of the calendar is between them', () => {
    fc.assert(
      fc.property(calendars, walls, (calendar, wall) => {
        const next = nextAt(calendar, wall);
        if (next === 0) return;
        expect(next).toBeGreaterThan(wall);
        expect(next % MINUTE).toBe(0);
        expect(lastAt(calendar, next)).toBe(next);
        expect(lastAt(calendar, next - 1)).toBe(lastAt(calendar, wall));
        expect(nextAt(calendar, next - 1)).toBe(next);
      }),
      { numRuns: 1_000 },
    );
  });

  it('on dates that people know', () => {
    expect(nextAt(parse({}), utc('2026-11-25T13:15:00'))).toBe(utc('2026-11-25T13:16:00'));
    expect(nextAt(parse({ minute: '30', hour: '6' }), utc('2026-12-31T06:30:00'))).toBe(
      utc('2027-01-01T06:30:00'),
    );
    const leap = parse({ minute: '0', hour: '0', dayOfMonth: '29', month: '2' });
    expect(nextAt(leap, utc('2096-02-29T00:00:00'))).toBe(utc('2104-02-29T00:00:00'));
    // 0 is Monday, 6 is Sunday: 25 November 2026 is a Wednesday.
    const at = (dayOfWeek: string): number =>
      nextAt(parse({ minute: '0', hour: '0', dayOfWeek }), utc('2026-11-25T12:00:00'));
    expect(at('0')).toBe(utc('2026-11-30T00:00:00'));
    expect(at('6')).toBe(utc('2026-11-29T00:00:00'));
    // Day of month and day of week: both must match. The next Friday the 13th.
    const friday = parse({ minute: '0', hour: '0', dayOfMonth: '13', dayOfWeek: '4' });
    expect(nextAt(friday, utc('2026-11-25T00:00:00'))).toBe(utc('2027-08-13T00:00:00'));
    expect(lastAt(friday, utc('2026-11-25T00:00:00'))).toBe(utc('2026-11-13T00:00:00'));
  });
});

describe('fields as people write them', () => {
  it('are a number, or nothing or * for any', () => {
    const fields = { minute: '05', hour: ' 7 ', dayOfMonth: '31', month: '12', dayOfWeek: '6' };
    const calendar = parse(fields);
    expect(showCalendar(calendar)).toEqual({ ...fields, minute: '5', hour: '7' });
    expect(showCalendar(parse({ minute: '', hour: '*' }))).toEqual(of({}));
    for (let minute = 0; minute < 60; minute++) {
      expect(showCalendar(parse({ minute: String(minute) })).minute).toBe(String(minute));
    }
    expect(showCalendar({ ...calendar, hours: 5, minutesHigh: 1 })).toMatchObject({
      hour: '0,2',
      minute: '5,32',
    });
  });

  it.each([
    [{ minute: '60' }, 'minute must be a whole number from 0 to 59, or * for any'],
    [{ minute: '-1' }, 'minute must be a whole number from 0 to 59, or * for any'],
    [{ hour: '24' }, 'hour must be a whole number from 0 to 23, or * for any'],
    [{ hour: '1.5' }, 'hour must be a whole number from 0 to 23, or * for any'],
    [{ dayOfMonth: '0' }, 'dayOfMonth must be a whole number from 1 to 31, or * for any'],
    [{ month: '13' }, 'month must be a whole number from 1 to 12, or * for any'],
    [{ dayOfWeek: '7' }, 'dayOfWeek must be a whole number from 0 to 6, or * for any'],
    [{ dayOfWeek: 'Mon' }, 'dayOfWeek must be a whole number from 0 to 6, or * for any'],
    [{ dayOfMonth: '31', month: '2' }, 'dayOfMonth never comes in this month'],
    [{ dayOfMonth: '30', month: '02', dayOfWeek: '1' }, 'dayOfMonth never comes in this month'],
    [{ dayOfMonth: '31', month: '11' }, 'dayOfMonth never comes in this month'],
  ])('%o is refused by the name of the field', (fields, expected) => {
    const told: string[] = [];
    expect(parseCalendar(of(fields), (field, why) => told.push(`${field} ${why}`))).toBeNull();
    expect(told).toEqual([expected]);
  });

  it('name every field that is wrong', () => {
    const told: string[] = [];
    parseCalendar({ minute: 'a', hour: 'b', dayOfMonth: 'c', month: 'd', dayOfWeek: 'e' }, (field) =>
      told.push(field),
    );
    expect(told).toEqual(['minute', 'hour', 'dayOfMonth', 'month', 'dayOfWeek']);
  });
});
