import type { Client } from '../../client/index.js';
import { sameJobPart } from './assigned.js';

/**
 * Jobs here that an earlier import may have brought without completing them there. Only jobs that lost a worker there can
 * be such; without any, nothing is read but that the cluster answers.
 */
export async function broughtBefore(
  client: Client,
  functions: readonly string[],
  lost: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<Map<string, string>> {
  const here = new Map<string, string>();
  if (lost.size === 0) {
    await client.cluster.get({ signal });
    return here;
  }
  for (const name of functions) {
    for await (const { id } of client.list({ function: name, pageSize: 1_000, signal })) {
      here.set(sameJobPart(id), id);
    }
  }
  return here;
}
