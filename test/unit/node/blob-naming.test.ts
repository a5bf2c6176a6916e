import { describe, expect, it } from 'vitest';
import { type BlobRef, GearmeshError } from '../../../src/core/index.js';
import { BlobClaims } from '../../../src/node/blobs/claims.js';
import { withBlobs } from '../../../src/node/blobs/naming.js';
import { World } from '../../../src/sim/world.js';

interface Answer {
  readonly said: string;
  readonly error: GearmeshError | null;
}

function blob(n: number): BlobRef {
  return { id: `${n}`.padStart(32, '0'), size: n, digest: Buffer.alloc(32, n) };
}

/** A node of which the test says what jobs refer to and who has a majority. */
class Bed {
  readonly core = { blob: (_: string): BlobRef | null => null, configuration: 1, wall: 1_000 };
  readonly claims = new BlobClaims({ clock: new World(1, () => {}).clock(0), core: this.core as never });
  readonly proposed: number[][] = [];
  readonly dropped: string[] = [];
  /** Of those that are counted anew, by id. */
  readonly counts = new Map<string, (error?: GearmeshError) => void>();
  fails: GearmeshError | null = null;
  readonly #naming = {
    claims: this.claims,
    recount: (ref: BlobRef) =>
      new Promise<void>((resolve, reject) => {
        this.counts.set(ref.id, (error) => {
          if (error !== undefined) {
            reject(error);
            return;
          }
          this.counted(ref);
          resolve();
        });
      }),
    drop: (id: string) => void this.dropped.push(id),
  };

  counted(ref: BlobRef): void {
    this.claims.counted(ref, { configuration: 1, wall: 1_000 });
  }

  name(refs: readonly (BlobRef | null)[], together = false): Promise<Answer[]> {
    return withBlobs<Answer>(this.#naming, {
      refs,
      field: 'payload_blob',
      propose: async (positions) => {
        this.proposed.push([...positions]);
        const { fails } = this;
        this.fails = null;
        if (fails !== null) throw fails;
        return positions.map((position) => ({ said: `${position}`, error: null }));
      },
      refused: (position, error) => ({ said: `refused ${position}`, error }),
      together,
    });
  }
}

const rest = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const said = (answers: readonly Answer[]) => answers.map((one) => [one.said, one.error?.code ?? '']);

describe('a call that names blobs', () => {
  it('proposes at once what needs no majority anew, and each other one as it has it', async () => {
    const bed = new Bed();
    bed.counted(blob(1));
    const told = bed.name([blob(2), null, blob(1), blob(3)]);
    await rest();
    expect(bed.proposed).toEqual([[1, 2]]);
    bed.counts.get(blob(3).id)!();
    await rest();
    expect(bed.proposed).toEqual([[1, 2], [3]]);
    bed.counts.get(blob(2).id)!();
    expect(said(await told)).toEqual([
      ['0', ''],
      ['1', ''],
      ['2', ''],
      ['3', ''],
    ]);
    expect(bed.proposed).toEqual([[1, 2], [3], [0]]);
  });

  it('waits for all of them where they go together', async () => {
    const bed = new Bed();
    const told = bed.name([blob(1), null], true);
    await rest();
    expect(bed.proposed).toEqual([]);
    bed.counts.get(blob(1).id)!();
    await told;
    expect(bed.proposed).toEqual([[0, 1]]);
  });

  it('tells each its own where one was proposed and another was not, and fails where none was', async () => {
    const bed = new Bed();
    bed.fails = new GearmeshError('NO_LEADER');
    const told = bed.name([null, blob(1)]);
    await rest();
    bed.counts.get(blob(1).id)!();
    expect(said(await told)).toEqual([
      ['refused 0', 'NO_LEADER'],
      ['1', ''],
    ]);
    bed.fails = new GearmeshError('NO_LEADER');
    await expect(bed.name([null, null])).rejects.toMatchObject({ code: 'NO_LEADER' });
  });

  it('rule: blobs - what is named with another size or SHA-256 is not proposed, and takes nothing from its owner', async () => {
    const bed = new Bed();
    bed.counted(blob(1));
    for (const wrong of [
      { ...blob(1), size: 9 },
      { ...blob(1), digest: Buffer.alloc(32, 9) },
    ]) {
      expect(said(await bed.name([wrong, null]))).toEqual([
        ['refused 0', 'INVALID_FIELD'],
        ['1', ''],
      ]);
      expect(bed.claims.countOf(wrong)).toBeNull();
    }
    expect(bed.proposed).toEqual([[1], [1]]);
    // Its owner comes to this node while another names it wrongly.
    const wrong = bed.name([{ ...blob(2), size: 9 }]);
    await rest();
    bed.counted(blob(2));
    bed.counts.get(blob(2).id)!(new GearmeshError('NOT_FOUND'));
    await wrong;
    expect(bed.dropped).toEqual([]);
    expect(bed.claims.countOf(blob(1))).not.toBeNull();
    expect(bed.claims.countOf(blob(2))).not.toBeNull();
  });
});
