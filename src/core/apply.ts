import { ByteReader, MalformedBytesError } from '../base/bytes.js';
import { invariant } from '../base/invariant.js';
import {
  BATCH_NODE_UP,
  COMMAND,
  ENTRY_VERSION,
  readBatchKind,
  readCount,
  UnknownCommandError,
} from './codec.js';
import { acks } from './commands/acks.js';
import { cancel } from './commands/cancel.js';
import { credit } from './commands/credit.js';
import { deleteJob } from './commands/delete.js';
import { leaseExtend } from './commands/lease-extend.js';
import { leaseRequest } from './commands/lease-request.js';
import { leaseStop } from './commands/lease-stop.js';
import { nodeDown } from './commands/node-down.js';
import { nodeStalled } from './commands/node-stalled.js';
import { nodeUp } from './commands/node-up.js';
import { outcomes } from './commands/outcomes.js';
import { pause } from './commands/pause.js';
import { progress } from './commands/progress.js';
import { purge } from './commands/purge.js';
import { queueCreate } from './commands/queue-create.js';
import { queueDrop } from './commands/queue-drop.js';
import { queueLimits } from './commands/queue-limits.js';
import { retry } from './commands/retry.js';
import { scheduleCreate } from './commands/schedule-create.js';
import { scheduleDelete } from './commands/schedule-delete.js';
import { sessionAttach } from './commands/session-attach.js';
import { sessionClose } from './commands/session-close.js';
import { sessionDetach } from './commands/session-detach.js';
import { sessionFunctions } from './commands/session-functions.js';
import { sessionOpen } from './commands/session-open.js';
import { changeSettings } from './commands/settings.js';
import { startReserved } from './commands/start.js';
import { submit } from './commands/submit.js';
import { submitAll } from './commands/submit-all.js';
import { waiters } from './commands/waiters.js';
import { matchAll } from './matching/match.js';
import type { State } from './state.js';
import { runSweeps } from './sweeps.js';
import { fireDue } from './timers.js';
import type { Effects } from './types.js';

/** Assignments for new credit and sweeps in one entry, per step of `sweepSteps`. */
const MATCHES_PER_STEP = 5;

type Command = (state: State, reader: ByteReader) => void;

const COMMANDS: readonly (Command | undefined)[] = table({
  submit,
  submitAll,
  outcomes,
  credit,
  acks,
  progress,
  sessionOpen,
  sessionAttach,
  sessionDetach,
  sessionClose,
  sessionFunctions,
  leaseRequest,
  leaseStop,
  leaseExtend,
  cancel,
  retry,
  delete: deleteJob,
  pause,
  purge,
  settings: changeSettings,
  nodeDown,
  nodeStalled,
  scheduleCreate,
  scheduleDelete,
  queueLimits,
  queueCreate,
  queueDrop,
  waiters,
  start: startReserved,
});

function table(commands: Readonly<Record<keyof typeof COMMAND, Command>>): (Command | undefined)[] {
  const out: (Command | undefined)[] = [];
  for (const name of Object.keys(COMMAND) as (keyof typeof COMMAND)[]) out[COMMAND[name]] = commands[name];
  return out;
}

/** One entry: clocks, what is due, a part of the sweeps, the batches, sweeps again if steps are left. */
export function applyEntry(state: State, index: number, entry: Uint8Array, effects: Effects): void {
  const reader = new ByteReader(entry);
  const version = reader.u8();
  if (version !== ENTRY_VERSION) throw new UnknownCommandError('entry version', version);
  begin(state, index);
  state.effects = effects;
  state.elapsedUs = Math.max(state.elapsedUs, stamp(reader));
  state.wall = Math.max(state.wall, stamp(reader));
  state.steps = state.settings.sweepSteps;
  state.matches = state.settings.sweepSteps * MATCHES_PER_STEP;
  fireDue(state);
  runSweeps(state);
  for (let left = reader.u32(); left > 0; left--) {
    const length = reader.u32();
    const at = reader.position;
    if (length > reader.left) throw new MalformedBytesError('a batch is longer than its entry');
    applyBatch(state, new ByteReader(entry, at, at + length));
    reader.raw(length);
  }
  if (reader.left > 0) throw new MalformedBytesError(`${reader.left} bytes behind the last batch`);
  runSweeps(state);
}

/** Moves on to an entry of the log. */
export function begin(state: State, index: number): void {
  invariant(index > state.index, 'entries are applied in order', { index, applied: state.index });
  state.pages.begin(index, state.meta);
}

function stamp(reader: ByteReader): number {
  const value = reader.f64();
  if (!Number.isFinite(value) || value < 0) throw new MalformedBytesError(`a stamp of ${value}`);
  return value;
}

function applyBatch(state: State, reader: ByteReader): void {
  const kind = readBatchKind(reader);
  const incarnation = readCount(reader);
  const seq = readCount(reader);
  const count = reader.u32();
  if (kind === BATCH_NODE_UP) {
    nodeUp(state, reader);
    return;
  }
  const node = state.nodes.live(incarnation);
  if (node === null || seq !== node.lastBatch + 1) {
    state.effects.batchSkipped(incarnation, seq, node === null ? 0 : node.lastBatch + 1);
    return;
  }
  state.pages.touch(state.nodes);
  node.lastBatch = seq;
  state.origin = node;
  state.position = 0;
  state.wants = state.effects.batchStart(incarnation, seq);
  for (let left = count; left > 0; left--) {
    const number = reader.u8();
    const command = COMMANDS[number];
    if (command === undefined) throw new UnknownCommandError('command', number);
    command(state, reader);
    matchAll(state);
  }
  if (reader.left > 0) throw new MalformedBytesError(`${reader.left} bytes behind the last command`);
  state.effects.batchEnd(incarnation, seq);
}
