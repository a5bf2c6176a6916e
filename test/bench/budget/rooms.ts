/** The parts of a `.cpuprofile` that are read here (Chrome DevTools Protocol, Profiler.Profile). */
export interface Profile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string };
    readonly children?: readonly number[];
  }[];
  readonly samples: readonly number[];
  /** Microseconds before each sample. */
  readonly timeDeltas: readonly number[];
}

const IDLE = '(idle)';
/** What the engine does on the main thread besides running code that has a place. */
const OWN_NAMES = new Map([
  ['(garbage collector)', 'garbage collector'],
  ['(program)', 'engine and system'],
]);
/** Only who leads has anything to do here, apart from a look whether it does. */
const OF_LEADERS = '/src/node/leader-desk.js';
const NOWHERE = 'event loop of Node';
/** Frames whose time is no part of a load: the start of the process, and queues that are emptied between loads. */
const BESIDE = [
  (url: string): boolean =>
    url.startsWith('node:internal/modules/') || url.startsWith('node:internal/bootstrap/'),
  (url: string, name: string): boolean => url.endsWith('/src/core/sweeps.js') && name === 'purge',
];

/**
 * Microseconds of the main thread by room: a folder of `src`, or a package. Time inside Node and the system counts for the
 * room that called them; what no room called (sockets that are read) for the package or the event loop.
 */
export function rooms(profile: Profile): Map<string, number> {
  const byId = new Map(profile.nodes.map((node) => [node.id, node]));
  const parents = new Map<number, number>();
  for (const { id, children = [] } of profile.nodes) for (const child of children) parents.set(child, id);
  const known = new Map<number, string | null>();
  const place = (id: number): string | null => {
    const before = known.get(id);
    if (before !== undefined) return before;
    const { functionName, url } = byId.get(id)!.callFrame;
    const parent = parents.get(id);
    const above = parent === undefined ? NOWHERE : place(parent);
    let room: string | null;
    if (functionName === IDLE || above === null || BESIDE.some((is) => is(url, functionName))) room = null;
    else room = OWN_NAMES.get(functionName) ?? roomOf(url) ?? above;
    known.set(id, room);
    return room;
  };
  const out = new Map<string, number>();
  for (const [i, id] of profile.samples.entries()) {
    const room = place(id);
    if (room !== null) out.set(room, (out.get(room) ?? 0) + profile.timeDeltas[i]!);
  }
  return out;
}

/** Microseconds in what a leader alone does: of the profiles of one cluster, the leader's has the most. */
export function leading(profile: Profile): number {
  const desk = new Set<number>();
  for (const { id, callFrame } of profile.nodes) if (callFrame.url.endsWith(OF_LEADERS)) desk.add(id);
  return profile.samples.reduce((sum, id, i) => sum + (desk.has(id) ? profile.timeDeltas[i]! : 0), 0);
}

/** Null for code of Node itself and of the system. */
function roomOf(url: string): string | null {
  const own = /\/dist\/src\/([^/]+)\//.exec(url);
  if (own !== null) return `src/${own[1]}`;
  if (/\/dist\/proto\//.test(url)) return 'proto';
  const packaged = /\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url);
  return packaged === null ? null : packaged[1]!;
}
