import type { EndpointOrder } from '../../src/client/index.js';

/**
 * Whether all clients and workers are at the leader, of ours as the SDK does by `order: 'leader'`, or spread over the nodes.
 */
export type Places = 'leader' | 'spread';

/** Where number `i` of many clients or workers goes. */
export function placed(
  endpoints: readonly string[],
  i: number,
  places: Places,
): { endpoints: readonly string[]; order: EndpointOrder } {
  if (places === 'leader') return { endpoints, order: 'leader' };
  const first = endpoints[i % endpoints.length]!;
  return { endpoints: [first, ...endpoints.filter((one) => one !== first)], order: 'listed' };
}

/** The servers that clients and workers go to, of all, the leader first. */
export function used<T>(servers: readonly T[], places: Places): readonly T[] {
  return places === 'leader' ? servers.slice(0, 1) : servers;
}
