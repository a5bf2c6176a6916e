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
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done, { once: true });
  });
}
