import type { ByteReader } from '../../base/bytes.js';
import { Dedupe } from '../dedupe.js';
import type { State } from '../state.js';
import { answer, refuse } from './result.js';
import { digestWith, remember } from './schedule-create.js';

/** The schedule fires no more; jobs that it made are not touched. */
export function scheduleDelete(state: State, reader: ByteReader): void {
  const namespace = reader.string();
  const schedule = state.schedules.byId({
    a: reader.u32(),
    b: reader.u32(),
    c: reader.u32(),
    d: reader.u32(),
  });
  if (schedule === null || schedule.content.namespace !== namespace) {
    refuse(state, 'NOT_FOUND');
    return;
  }
  const { content, seq } = schedule;
  state.wallTimers.remove(schedule.timer);
  state.schedules.remove(schedule);
  // A late repetition of its creation must not bring it back; an older id is refused for its age.
  if (Dedupe.time(content.a, content.b) >= state.dedupe.horizon(state.wall, state.settings)) {
    remember(state, content, seq, digestWith(content.digest, content.calendar));
  }
  answer(state, { seq, value: 1 });
}
