const FIRST_MS = 10;

/**
 * How long to wait before a try: nothing while there is an endpoint that was not tried yet, then from about 10 ms on
 * twice as long with each round, with jitter, so that a failover costs milliseconds and an outage no storm.
 *
 * @param failures tries that failed in a row
 * @param endpoints number of endpoints
 * @param maxMs upper bound
 */
export function backoffMs(failures: number, endpoints: number, maxMs = 1_000): number {
  if (failures < endpoints) return 0;
  const full = Math.min(maxMs, FIRST_MS * 2 ** Math.min(20, failures - endpoints));
  return full * (0.5 + Math.random() * 0.5);
}

/** Resolves after `ms`, or at once when the signal is aborted; never rejects. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  if (ms <= 0 || signal?.aborted) return Promise.resolve();
  const end = performance.now() + ms;
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    // A timer may come early: it is set from the time at which the turn of the event loop began, in whole milliseconds.
    const wake = (): void => {
      const left = end - performance.now();
      if (left > 0) timer = setTimeout(wake, left);
      else done();
    };
    let timer = setTimeout(wake, ms);
    signal?.addEventListener('abort', done, { once: true });
  });
}
