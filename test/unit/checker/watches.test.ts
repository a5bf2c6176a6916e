import { describe, expect, it } from 'vitest';
import type { HistoryEvent } from '../../../src/checker/index.js';
import {
  accepts,
  change,
  complete,
  fail,
  last,
  lease,
  rejects,
  seen,
  submit,
  succeeded,
  watched,
} from './bed.js';

const life = [submit('a', [0, 10]), lease('a', 20, 1), complete('a', [30, 40], 1)];
const accepted = watched('x', 'a', 12, 'accepted', seen('a', 'queued'));
const started = watched('x', 'a', 21, 'started', seen('a', 'running', 1));
const ended = watched('x', 'a', 41, 'ended', succeeded('a'));
const broken = watched('x', 'a', 50, 'broken', null);

describe('watch', () => {
  it('accepts the life of a job as it is told, and one that breaks', () => {
    accepts([...life, accepted, started, ended, last('a', 99, succeeded('a'))]);
    accepts([...life, accepted, started, broken, last('a', 99, succeeded('a'))]);
    accepts([...life, broken]);
    accepts([...life, watched('x', 'a', 45, 'accepted', succeeded('a')), { ...ended, at: 46 }]);
  });

  it('rejects a watch that does not begin with the job as it stands, or does so twice', () => {
    const [text] = rejects('watch', [...life, started, ended]);
    expect(text).toContain('the first it told was');
    rejects('watch', [...life, accepted, started, { ...accepted, at: 22 }, ended]);
  });

  it('rejects anything after the end, and a second end', () => {
    rejects('watch', [...life, accepted, started, ended, { ...ended, at: 45 }]);
    rejects('watch', [...life, accepted, started, ended, { ...started, at: 45 }]);
    rejects('watch', [...life, accepted, broken, ended]);
  });

  it('rejects an event that shows a state in which it cannot be', () => {
    rejects('watch', [...life, accepted, { ...started, seen: seen('a', 'queued') }]);
    rejects('watch', [...life, accepted, { ...ended, seen: seen('a', 'running', 1) }]);
    rejects('watch', [...life, accepted, { ...ended, seen: null }]);
  });

  it('rejects attempts that go back, but not after a retry', () => {
    const two: HistoryEvent[] = [
      submit('a', [0, 10]),
      accepted,
      watched('x', 'a', 21, 'started', seen('a', 'running', 2)),
      watched('x', 'a', 31, 'started', seen('a', 'running', 1)),
    ];
    rejects('watch', two);
    accepts([...two, change('retry', 'a', [25, null])]);
  });

  it('accepts an attempt that comes again after it was handed back', () => {
    accepts([
      submit('a', [0, 10]),
      accepted,
      started,
      watched('x', 'a', 25, 'queued', seen('a', 'queued')),
      watched('x', 'a', 31, 'started', seen('a', 'running', 1)),
    ]);
  });

  it('accepts a failed attempt and what follows', () => {
    accepts([
      submit('a', [0, 10]),
      accepted,
      started,
      lease('a', 22, 1),
      fail('a', [23, 24], 1),
      watched('x', 'a', 25, 'attempt-failed', seen('a', 'scheduled', 1, { errorCode: 'E' })),
      watched('x', 'a', 27, 'queued', seen('a', 'queued', 1, { errorCode: 'E' })),
      watched('x', 'a', 31, 'started', seen('a', 'running', 2, { errorCode: 'E' })),
    ]);
  });

  it('rejects a watch that neither ended nor broke although its job has ended', () => {
    rejects('watch', [...life, accepted, started, last('a', 99, succeeded('a'))]);
    rejects('watch', [...life, accepted, started, last('a', 15_000, 'absent')]);
    accepts([...life, accepted, started]);
  });
});
