import { describe, expect, it } from 'vitest';
import { createLogger, type LoggerOptions } from '../../../src/obs/index.js';

function capture(options: Partial<LoggerOptions> = {}) {
  const lines: string[] = [];
  const log = createLogger({
    level: 'info',
    format: 'json',
    node: 'n1',
    destination: { write: (line) => lines.push(line) },
    ...options,
  });
  return { log, lines };
}

describe('json', () => {
  it('is one object a line, with time, level by name and node', () => {
    const { log, lines } = capture();
    log.warn({ peer: 'n2', reason: 'closed' }, 'lost a peer');
    expect(lines).toHaveLength(1);
    const record = JSON.parse(lines[0]!) as Record<string, unknown>;
    expect(record).toMatchObject({
      level: 'warn',
      node: 'n1',
      peer: 'n2',
      reason: 'closed',
      msg: 'lost a peer',
    });
    expect(record.time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  });

  it('carries errors with their stack', () => {
    const { log, lines } = capture();
    log.error({ err: new Error('disk gone') }, 'stopping');
    expect(JSON.parse(lines[0]!)).toMatchObject({ err: { message: 'disk gone', stack: expect.any(String) } });
  });

  it('leaves out what is below its level', () => {
    const { log, lines } = capture({ level: 'warn' });
    log.info({}, 'no');
    log.debug({}, 'no');
    expect(lines).toEqual([]);
  });
});

describe('text', () => {
  it('is one readable line', () => {
    const { log, lines } = capture({ format: 'text' });
    log.info({ peer: 'n2', text: 'two words', count: 3 }, 'connected');
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(
      /^\d\d:\d\d:\d\d\.\d{3} INFO {2}n1 connected peer=n2 text="two words" count=3\n$/,
    );
  });

  it('lets no value fake a second line', () => {
    const { log, lines } = capture({ format: 'text' });
    log.info({ name: 'x\n12:00:00.000 ERROR n1 forged' }, 'a\nb');
    expect(lines[0]!.trimEnd().split('\n')).toHaveLength(1);
  });

  it('shows an error and its stack behind the line', () => {
    const { log, lines } = capture({ format: 'text' });
    log.error({ err: new Error('disk gone') }, 'stopping');
    const [first, second] = lines[0]!.split('\n');
    expect(first).toContain('stopping err="disk gone"');
    expect(second).toBe('    Error: disk gone');
  });
});
