import { runPlan } from '../../src/sim/run.js';
import { type Flags, flagsOf, HELP, planWith, UsageError } from './cli/flags.js';
import { failureText, Session } from './cli/session.js';

// Who reads the beginning of a trace has closed the pipe before its end.
process.stdout.on('error', () => process.exit(0));
/** A frame between two nodes: of a hundred lines all but a few. */
const FRAME = /^[\d.]+ \S+>\S+ (control|data|bulk) /;
process.exitCode = await main();

async function main(): Promise<number> {
  let flags: Flags;
  try {
    flags = flagsOf(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`sim: ${error.message}\nnpm run sim -- --help tells more\n`);
    return 2;
  }
  if (flags.help) {
    process.stdout.write(HELP);
    return 0;
  }
  return flags.trace ? trace(flags) : new Session(flags).run();
}

/** One run in this process, told as it happens. */
async function trace({ first, overrides, frames }: Flags): Promise<number> {
  const plan = planWith(first, overrides);
  const report = await runPlan(plan, {
    lines: (line) => {
      if (frames || !FRAME.test(line)) process.stdout.write(`${line}\n`);
    },
  });
  const { violations, traceHash, virtualMs, events } = report;
  process.stdout.write(
    `\nseed ${plan.seed}: trace ${traceHash}, ${Math.round(virtualMs)} virtual ms, ${events} events\n`,
  );
  if (violations.length === 0) process.stdout.write('all promises were kept\n');
  else process.stdout.write(failureText(report));
  return violations.length === 0 ? 0 : 1;
}
