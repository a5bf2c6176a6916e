import type { Raft } from '@coaty/consensus.raft/ported/raft.js';
import { StateType } from '@coaty/consensus.raft/ported/raft.js';
import { ProgressStateType } from '@coaty/consensus.raft/ported/tracker/state.js';
import { idOf } from './ids.js';
import type { PeerProgress, Role } from './types.js';

export function roleOf(raft: Raft): Role {
  switch (raft.state) {
    case StateType.StateLeader:
      return 'leader';
    case StateType.StateFollower:
      return raft.isLearner ? 'learner' : 'follower';
    default:
      return 'candidate';
  }
}

/** How far each member is, by id; only a leader knows. */
export function peerProgress(raft: Raft): PeerProgress[] {
  const all: PeerProgress[] = [];
  for (const [id, progress] of raft.prs.progress) {
    const own = id === raft.id;
    all.push({
      id: idOf(id),
      match: progress.match,
      next: progress.next,
      state: stateOf(progress.state),
      active: own || progress.recentActive,
      learner: progress.isLearner,
    });
  }
  return all.sort((a, b) => a.id - b.id);
}

function stateOf(state: ProgressStateType): PeerProgress['state'] {
  switch (state) {
    case ProgressStateType.StateProbe:
      return 'probe';
    case ProgressStateType.StateReplicate:
      return 'replicate';
    case ProgressStateType.StateSnapshot:
      return 'snapshot';
  }
}
