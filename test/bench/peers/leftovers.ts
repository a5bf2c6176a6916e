/** What must not outlive this process: servers, load processes, folders. */
const undone = new Set<() => void>();
let watched = false;

const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

function watch(): void {
  watched = true;
  process.on('exit', () => {
    // What came last goes first: servers before their folders.
    for (const undo of [...undone].reverse()) {
      try {
        undo();
      } catch (error) {
        process.stderr.write(`${String(error)}\n`);
      }
    }
  });
  for (const [signal, code] of Object.entries(SIGNALS)) process.once(signal, () => process.exit(code));
}

/** Calls `undo` should this process end, by a signal that it can see as well. Returns what takes that back. */
export function untilEnd(undo: () => void): () => void {
  if (!watched) watch();
  undone.add(undo);
  return () => undone.delete(undo);
}
