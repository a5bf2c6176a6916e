import type { PeerFrame } from '../peer/types.js';
import type { Blobs } from './blobs/blobs.js';
import type { LiveData } from './live-data.js';
import type { Post } from './post.js';
import type { Snapshotting } from './snapshotting.js';

export interface Receivers {
  step(messages: Extract<PeerFrame, { type: 'raft' }>['messages']): void;
  readonly post: Post;
  readonly liveData: LiveData;
  readonly snapshotting: Snapshotting;
  readonly blobs: Blobs;
}

/** Hands a member's frame to whom it is for. Throws MalformedBytesError. */
export function receive(to: Receivers, from: string, frame: PeerFrame): void {
  switch (frame.type) {
    case 'raft':
      to.step(frame.messages);
      return;
    case 'batch':
      to.post.batch(from, frame);
      return;
    case 'batch-refused':
      to.post.refused(from, frame);
      return;
    case 'events':
      to.liveData.frame(from, frame.bytes);
      return;
    case 'piece':
      to.snapshotting.piece(from, frame);
      return;
    case 'piece-taken':
      to.snapshotting.pieceTaken(from, frame);
      return;
    default:
      to.blobs.frame(from, frame);
  }
}
