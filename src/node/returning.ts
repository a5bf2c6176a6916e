import type { DataDirectory } from '../storage/index.js';
import type { Asking } from './asking.js';
import type { Booted } from './boot.js';
import type { NodeOptions } from './options.js';

/** Between two tries. */
const AGAIN_MS = 1_000;
/** The other side answers once this node has caught up and votes. */
const ANSWER_MS = 600_000;
/** Note under which the data directory keeps that it took the place of a disk whose state had gone astray. */
const NOTE = 'return';

interface Note {
  readonly clusterId: string;
  /** It votes again: what is left of the note says that this happened here once. */
  readonly done: boolean;
}

export interface ReturningParts {
  readonly options: NodeOptions;
  readonly directory: DataDirectory;
  readonly asking: Asking;
  readonly booted: () => Booted | null;
  readonly isOver: () => boolean;
}

/**
 * The way back of a node whose state differs from what a majority has. Nobody should act on that state, and where it
 * went astray the log may be wrong as well: all of it is set aside for whoever looks for the reason, and the node comes
 * back as a new disk, through a learner, as with `gearmesh cluster replace`; it asks for that itself.
 */
export class Returning {
  readonly #parts: ReturningParts;
  #asking = false;

  constructor(parts: ReturningParts) {
    this.#parts = parts;
  }

  /** Makes a new disk of the directory, which nobody uses any more. Rejects where that was done before: once is enough. */
  async setAside(index: number): Promise<void> {
    const { directory, options } = this.#parts;
    const what = `the state of this node differs from the majority's at index ${index}`;
    if ((await this.#note())?.done === true) {
      throw new Error(
        `${what}, again after it had been taken from the others: it stops; empty its data directory, start it and ` +
          'bring it back with gearmesh cluster replace',
      );
    }
    const clusterId = directory.identity.cluster!.id;
    const aside = await directory.setAside();
    await this.#write({ clusterId, done: false });
    options.log.error(
      { aside },
      `${what}: it is set aside for inspection, and taken anew from the other nodes`,
    );
  }

  /** Starts to ask the others to take this disk in the old one's place, where that is still to be done. */
  async goOn(): Promise<void> {
    const note = await this.#note();
    if (note === null || note.done || this.#asking) return;
    this.#asking = true;
    this.#ask(note)
      .catch((error: unknown) => {
        if (!this.#parts.isOver()) this.#parts.options.onFatal(error as Error);
      })
      .finally(() => {
        this.#asking = false;
      });
  }

  async #ask(note: Note): Promise<void> {
    const { options, asking, isOver } = this.#parts;
    for (let attempt = 0; !isOver(); attempt++) {
      const peers = this.#peers(note.clusterId);
      const peer = peers[attempt % Math.max(1, peers.length)];
      if (peer !== undefined) {
        await asking.ask(peer, 'replace', { name: options.name }, ANSWER_MS).catch((error: unknown) => {
          options.log.debug({ peer, reason: (error as Error).message }, 'not taken back yet');
        });
      }
      if (isOver()) return;
      if (this.#votes()) return this.#write({ ...note, done: true });
      await new Promise<void>((resolve) => {
        options.clock.setTimer(AGAIN_MS, resolve);
      });
    }
  }

  /** Connected nodes of the cluster to which this one belonged. */
  #peers(clusterId: string): string[] {
    const { peers, transport } = this.#parts.options;
    return peers
      .map((peer) => peer.name)
      .filter((name) => transport.isConnected(name) && transport.hello(name)?.clusterId === clusterId);
  }

  #votes(): boolean {
    const booted = this.#parts.booted();
    return booted?.consensus.status().membership.voters.includes(booted.raftId) === true;
  }

  async #note(): Promise<Note | null> {
    const value = await this.#parts.directory.readNote(NOTE);
    if (typeof value !== 'object' || value === null) return null;
    const { clusterId, done } = value as Record<string, unknown>;
    return typeof clusterId === 'string' && typeof done === 'boolean' ? { clusterId, done } : null;
  }

  #write(note: Note): Promise<void> {
    return this.#parts.directory.writeNote(NOTE, note);
  }
}
