import type { JobSpec } from '../../core/types.js';
import type { SeededRandom } from '../random.js';

/** A job as its clients know it. */
export interface Entry {
  readonly spec: JobSpec;
  /** Somebody was told that it was accepted. */
  accepted: boolean;
  /** Revision of that answer. */
  revision: number;
}

const RECENT = 40;

/** All jobs that clients tried to submit, and those that were accepted. */
export class Ledger {
  readonly tried = new Map<string, Entry>();
  readonly accepted: Entry[] = [];
  /** Newest revision that anybody was told. */
  revision = 0;

  add(spec: JobSpec): void {
    this.tried.set(spec.id, { spec, accepted: false, revision: 0 });
  }

  /** `job`: the one that the answer names. */
  accept(job: string, revision: number): void {
    this.revision = Math.max(this.revision, revision);
    const entry = this.tried.get(job);
    if (entry === undefined || entry.accepted) return;
    entry.accepted = true;
    entry.revision = revision;
    this.accepted.push(entry);
  }

  /** Mostly one of the last. Null while there is none. */
  pick(random: SeededRandom): Entry | null {
    const { length } = this.accepted;
    if (length === 0) return null;
    const back = random.chance(800) ? Math.min(length, RECENT) : length;
    return this.accepted[length - 1 - random.below(back)]!;
  }
}
