import type { EndpointOrder } from '../../src/client/index.js';

/** Whether all clients and workers are at the leader, as the SDK does by `order: 'leader'`, or spread over the nodes. */
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
