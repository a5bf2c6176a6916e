import { describe, expect, it } from 'vitest';
import { Hashes } from '../../../src/node/hashes.js';
import { status } from './parts.js';

describe('state hashes', () => {
  it('rule: replicated inputs - hashes are compared at equal indexes only', () => {
    const hashes = new Hashes(() => 'aa');
    hashes.quiet(10);
    expect(hashes.heard('n2', status({ hashIndex: 11, hash: 'bb' }))).toBeNull();
    expect(hashes.compared).toBe(0);
    expect(hashes.heard('n2', status({ hashIndex: 10, hash: 'aa' }))).toBeNull();
    expect(hashes.compared).toBe(1);
  });

  it('that differ name everyone who spoke of that index', () => {
    const hashes = new Hashes(() => 'aa');
    hashes.quiet(10);
    hashes.heard('n2', status({ hashIndex: 10, hash: 'aa' }));
    const found = hashes.heard('n3', status({ hashIndex: 10, hash: 'bb' }));
    expect(found?.own).toBe('aa');
    expect([...found!.others]).toEqual([
      ['n2', 'aa'],
      ['n3', 'bb'],
    ]);
    expect(hashes.disagreement).toBe(found);
  });

  it('that agree later clear the disagreement', () => {
    const hashes = new Hashes(() => 'aa');
    hashes.quiet(10);
    hashes.heard('n2', status({ hashIndex: 10, hash: 'bb' }));
    hashes.quiet(20);
    hashes.heard('n2', status({ hashIndex: 20, hash: 'aa' }));
    expect(hashes.disagreement).toBeNull();
  });

  it('rule: replicated inputs - hashes are taken at fixed indexes', () => {
    let taken = 0;
    const hashes = new Hashes(() => String(++taken));
    for (let index = 1; index <= 40_000; index++) hashes.applied(index);
    expect(taken).toBe(2);
    expect(hashes.newest.index).toBe(32_768);
  });
});
