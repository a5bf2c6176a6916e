import type { Run } from '../../client/index.js';
import { TYPE } from '../../gearman/packets.js';
import type { Link } from './link.js';

/** Tells a gearmand's client what happens to its job here, to the end. Rejects when the job cannot be followed. */
export async function relayForeground(
  run: Run,
  handle: string,
  link: Pick<Link, 'send'>,
  signal: AbortSignal,
): Promise<void> {
  for await (const event of run) {
    if (signal.aborted) break;
    if (event.type === 'data') {
      link.send(TYPE.WORK_DATA, [handle, event.chunk]);
    } else if (event.type === 'progress') {
      if (event.message !== '') link.send(TYPE.WORK_WARNING, [handle, event.message]);
      link.send(TYPE.WORK_STATUS, [handle, String(event.numerator), String(event.denominator)]);
    } else if (event.type === 'ended' && event.state !== 'succeeded') {
      link.send(TYPE.WORK_FAIL, [handle]);
      return;
    }
  }
  const result = await run.result;
  link.send(TYPE.WORK_COMPLETE, [handle, await result.bytes()]);
}
