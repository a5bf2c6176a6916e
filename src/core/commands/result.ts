import type { State } from '../state.js';
import type { CommandResult, Refusal, Settings } from '../types.js';

const NOTHING: CommandResult = { refusal: null, limit: '', limitValue: 0, value: 0, epoch: 0, seq: 0 };

/** Answers a command that owes one position. */
export function answer(state: State, result: Partial<CommandResult>): void {
  const position = state.position++;
  if (state.wants) state.effects.command(position, { ...NOTHING, ...result });
}

export function refuse(state: State, refusal: Refusal): void {
  answer(state, { refusal });
}

export function refuseLimit(state: State, limit: keyof Settings): void {
  answer(state, { refusal: 'LIMIT_REACHED', limit, limitValue: state.settings[limit] });
}
