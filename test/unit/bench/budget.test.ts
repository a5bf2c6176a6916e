import { describe, expect, it } from 'vitest';
import { leading, type Profile, rooms } from '../../bench/budget/rooms.js';

function profile(frames: readonly [name: string, url: string, parent: number, us: number][]): Profile {
  const nodes = frames.map(([functionName, url], id) => ({
    id,
    callFrame: { functionName, url },
    children: frames.flatMap(([, , parent], child) => (parent === id && child !== id ? [child] : [])),
  }));
  return { nodes, samples: frames.map((_, id) => id), timeDeltas: frames.map(([, , , us]) => us) };
}

describe('the budget of a job', () => {
  it('counts what Node and the system do for the room that called them', () => {
    const made = rooms(
      profile([
        ['(root)', '', -1, 0],
        ['(idle)', '', 0, 1_000],
        ['(program)', '', 0, 5],
        ['(garbage collector)', '', 0, 7],
        ['processImmediate', 'node:internal/timers', 0, 1],
        ['#write', 'file:///x/dist/src/storage/wal.js', 4, 10],
        ['toString', '', 5, 20],
        ['apply', 'file:///x/dist/src/core/core.js', 4, 30],
        ['purge', 'file:///x/dist/src/core/sweeps.js', 7, 99],
        ['drop', 'file:///x/dist/src/core/jobs/lifecycle.js', 8, 99],
        ['onStreamRead', 'node:internal/stream_base_commons', 0, 2],
        ['push', 'file:///x/node_modules/@grpc/grpc-js/build/src/call.js', 10, 3],
        ['decode', 'file:///x/dist/proto/gen/job.js', 11, 4],
        ['evaluate', 'node:internal/modules/esm/loader', 0, 500],
        ['set up', 'file:///x/dist/src/cli/main.js', 13, 500],
      ]),
    );
    expect(Object.fromEntries(made)).toEqual({
      'engine and system': 5,
      'garbage collector': 7,
      'event loop of Node': 3,
      'src/storage': 30,
      'src/core': 30,
      '@grpc/grpc-js': 3,
      proto: 4,
    });
  });

  it('knows the leader by what it alone does', () => {
    const desk = 'file:///x/dist/src/node/leader-desk.js';
    const made = profile([
      ['(root)', '', -1, 0],
      ['flush', desk, 0, 7],
      ['apply', 'file:///x/dist/src/core/core.js', 1, 30],
      ['accept', desk, 0, 5],
    ]);
    expect(leading(made)).toBe(12);
  });
});
