import type { ByteReader } from '../../base/bytes.js';
import { isValidSetting, SETTING_KEYS } from '../settings.js';
import type { State } from '../state.js';
import type { Settings } from '../types.js';
import { answer, refuse } from './result.js';

/** Changes settings, all that are named or none. A key that this version does not know is refused. */
export function changeSettings(state: State, reader: ByteReader): void {
  const next: Record<keyof Settings, number> = { ...state.settings };
  let fine = true;
  for (let left = reader.u32(); left > 0; left--) {
    const key = SETTING_KEYS[reader.u32()];
    const value = reader.f64();
    if (key === undefined || !isValidSetting(key, value)) fine = false;
    else next[key] = value;
  }
  if (!fine || next.dedupeWindowMinMs > next.dedupeWindowMs) {
    refuse(state, 'INVALID_FIELD');
    return;
  }
  state.settings = next;
  answer(state, {});
}
