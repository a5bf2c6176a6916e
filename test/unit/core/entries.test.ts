import { describe, expect, it } from 'vitest';
import { MalformedBytesError } from '../../../src/base/bytes.js';
import {
  type BatchBuilder,
  createBatchBuilder,
  encodeEntry,
  encodeNodeUp,
  readBatchHead,
  UnknownCommandError,
} from '../../../src/core/index.js';
import { Bed, Notes } from './bed.js';

describe('entries and batches', () => {
  it('show their head without being applied', () => {
    const builder = createBatchBuilder();
    builder.nodeDown(3);
    expect(readBatchHead(builder.finish(7, 9))).toEqual({ nodeUp: false, incarnation: 7, seq: 9 });
    const up = encodeNodeUp({ name: 'n', nonce: 1, grpc: '', http: '', version: '' });
    expect(readBatchHead(up).nodeUp).toBe(true);
    expect(() => readBatchHead(Buffer.from([9, 1]))).toThrow(UnknownCommandError);
    expect(() => readBatchHead(Buffer.from([1, 1, 0]))).toThrow(MalformedBytesError);
  });

  it('share one header between neighbouring submissions of a function', () => {
    const bed = new Bed();
    const length = (functions: readonly string[]) => {
      const builder = createBatchBuilder();
      for (const fn of functions) builder.submit('default', bed.spec({ function: fn }));
      return builder.finish(1, 1).length;
    };
    const same = length(['long-function-name', 'long-function-name', 'long-function-name']);
    const mixed = length(['long-function-name', 'some-other-names-x', 'long-function-name']);
    expect(mixed - same).toBe(2 * (1 + 4 + 'default'.length + 4 + 'long-function-name'.length + 4));
  });

  it('are as if nothing was said after a way back, in the middle of a group or of a command', () => {
    const bed = new Bed();
    const [first, second, other] = [bed.spec(), bed.spec(), bed.spec({ function: 'other', uniqueKey: 'u' })];
    const said = (mistake: (builder: BatchBuilder) => void): Buffer => {
      const builder = createBatchBuilder();
      builder.submit('default', first);
      builder.mark();
      try {
        mistake(builder);
      } catch {
        builder.rewind();
      }
      expect(builder.positions).toBe(1);
      builder.submit('default', second);
      builder.submit('default', other);
      return builder.finish(1, 1);
    };
    const plain = said(() => {});
    const mistakes: ((builder: BatchBuilder) => void)[] = [
      (builder) => builder.submit('default', { ...second, id: 'no id' }),
      (builder) => builder.submit('default', { ...other, id: 'no id' }),
      (builder) => builder.submitAll('default', [second, { ...second, id: 'no id' }]),
      (builder) => {
        builder.submit('default', second);
        builder.submit('else', { ...other, uniqueKey: 'v' });
        throw new Error('too late');
      },
      (builder) => builder.sessionAttach(1, Buffer.alloc(3), [1]),
    ];
    for (const mistake of mistakes) expect(said(mistake)).toEqual(plain);
  });

  it('rule: replicated inputs - unknown versions, batches and commands are refused, and so is what is cut or too long', () => {
    const bed = new Bed();
    const builder = createBatchBuilder();
    builder.submit('default', bed.spec());
    const batch = builder.finish(1, 1);
    const entry = encodeEntry(1, 1, [batch]);
    const apply = (bytes: Uint8Array) => () => {
      const fresh = new Bed();
      fresh.core.apply(fresh.core.appliedIndex + 1, bytes, new Notes());
    };
    expect(apply(entry)).not.toThrow();
    for (let cut = 1; cut < entry.length; cut++) {
      expect(apply(entry.subarray(0, cut)), `cut at ${cut}`).toThrow(MalformedBytesError);
    }
    expect(apply(Buffer.concat([entry, Buffer.from([0])]))).toThrow(MalformedBytesError);
    const version = Buffer.from(entry);
    version[0] = 2;
    expect(apply(version)).toThrow(UnknownCommandError);
    const command = Buffer.from(batch);
    command[22] = 200;
    expect(apply(encodeEntry(1, 1, [command]))).toThrow(UnknownCommandError);
  });

  it('must come in the order of the log', () => {
    const bed = new Bed();
    const tick = encodeEntry(1, 1, []);
    expect(() => bed.core.apply(bed.core.appliedIndex, tick, new Notes())).toThrow('in order');
    bed.core.skip(10);
    expect(bed.core.appliedIndex).toBe(10);
    bed.core.setMembers(11, Buffer.from('members'));
    expect(Buffer.from(bed.core.members).toString()).toBe('members');
    bed.core.apply(12, tick, new Notes());
    expect(bed.core.appliedIndex).toBe(12);
  });

  it('never move a clock back', () => {
    const bed = new Bed();
    const { elapsedUs, wall } = bed;
    bed.elapsedUs -= 500;
    bed.wall -= 500;
    bed.apply([]);
    expect([bed.core.elapsedUs, bed.core.wall]).toEqual([elapsedUs, wall]);
  });

  it('keep nothing of the bytes that they came in', () => {
    const bed = new Bed();
    const builder = createBatchBuilder();
    const spec = bed.spec({ payload: Buffer.from('precious'), uniqueKey: 'key' });
    builder.submit('default', spec);
    const entry = encodeEntry(bed.elapsedUs, bed.wall, [builder.finish(1, 1)]);
    bed.core.apply(bed.core.appliedIndex + 1, entry, new Notes());
    entry.fill(0);
    const job = bed.core.findJob('default', spec.id)!;
    expect(Buffer.from(job.payload).toString()).toBe('precious');
    expect(job.uniqueKey).toBe('key');
  });
});
