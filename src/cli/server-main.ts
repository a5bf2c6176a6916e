import { systemRandom } from '../base/random.js';
import { systemClock } from '../base/system-clock.js';
import type { ServerConfig } from '../config/index.js';
import { createLogger } from '../obs/index.js';
import { realDisk } from '../storage/index.js';
import { paceCollector } from './collector.js';
import type { CliContext } from './context.js';
import { aborted } from './context.js';
import { EXIT_CODES } from './exit-codes.js';
import { version } from './version.js';
import { startServer } from './wiring.js';

/**
 * The process of one node: runs until a signal, the end of the process that started it for `dev`, or a failure it
 * cannot go on after. Returns the exit code.
 */
export async function runServer(config: ServerConfig, context: CliContext): Promise<number> {
  const log = createLogger({
    level: config.values['log-level'],
    format: config.values['log-format'],
    node: config.id,
  });
  paceCollector();
  for (const warning of config.warnings) log.warn({}, warning);
  // Nothing can be trusted after an exception that nobody caught: out, and let the cluster go on without this node.
  process.on('uncaughtException', (error) => {
    log.error({ err: error }, 'a defect: the node ends at once');
    process.exit(EXIT_CODES.DEFECT.code);
  });

  let fail: (error: Error) => void = () => {};
  const failed = new Promise<Error>((resolve) => {
    fail = resolve;
  });
  let shutDown: () => void = () => {};
  const asked = new Promise<void>((resolve) => {
    shutDown = resolve;
  });
  const deps = {
    clock: systemClock,
    random: systemRandom,
    disk: realDisk(),
    log,
    version: version(),
    onFatal: (error: Error) => fail(error),
    onShutdown: () => shutDown(),
  };
  try {
    const server = await startServer(config, deps);
    const end = await Promise.race([aborted(context.signal), parentGone(context), asked, failed]);
    if (end instanceof Error) {
      log.error({ err: end }, 'the node cannot go on and ends at once');
      return EXIT_CODES.FAILED.code;
    }
    const begin = systemClock.monotonicMs();
    log.info({ drainMs: config.values['drain-timeout-ms'] }, 'the node stops');
    await server.stop();
    log.info({ ms: Math.round(systemClock.monotonicMs() - begin) }, 'the node has stopped');
    return EXIT_CODES.OK.code;
  } catch (error) {
    log.error({ err: error }, 'the node could not start');
    return EXIT_CODES.FAILED.code;
  }
}

/** Resolves when the process that started this one as part of a dev cluster is gone, however it went. */
function parentGone(context: CliContext): Promise<void> {
  return new Promise((resolve) => {
    if (context.environment.GEARMESH_STOP_WITH_PARENT !== 'true') return;
    if (process.connected) process.once('disconnect', () => resolve());
    else if (process.send !== undefined) resolve();
  });
}
