import { readSubmission } from '../blobs.js';
import type { SchedulePage, ScheduleQuery } from '../interface.js';
import type { State } from '../state.js';
import type { PriorityRank, ScheduleView } from '../types.js';
import { ulidOf } from '../views.js';
import type { Schedule } from './table.js';

const NOTHING = new Uint8Array(0);

export function scheduleView(state: State, schedule: Schedule): ScheduleView {
  const { content, payload } = schedule;
  const submission = readSubmission(payload === null ? NOTHING : state.payloads.get(payload.handle));
  const words = [content.a, content.b, content.c, content.d];
  return {
    seq: content.seq,
    id: ulidOf((word) => words[word]!),
    namespace: content.namespace,
    calendar: content.calendar,
    function: content.function,
    priority: content.priority as PriorityRank,
    payload: submission.payload,
    contentType: submission.contentType,
    metadata: submission.metadata,
    traceparent: submission.traceparent,
    uniqueKey: content.uniqueKey,
    retry: content.retry,
    runTimeoutMs: content.runTimeoutMs,
    retentionMs: content.retentionMs,
    createdWall: content.createdWall,
    nextWall: schedule.nextWall,
    lastWall: schedule.lastWall,
    fired: schedule.fired,
    coalesced: schedule.coalesced,
    skipped: schedule.skipped,
    skippedBy: schedule.skippedBy,
    revision: schedule.revision,
  };
}

export function listSchedules(state: State, query: ScheduleQuery): SchedulePage {
  const schedules: ScheduleView[] = [];
  let { after, budget } = query;
  for (;;) {
    const schedule = state.schedules.after(after);
    if (schedule === null) return { schedules, next: 0 };
    after = schedule.seq;
    if (query.namespace === null || schedule.content.namespace === query.namespace) {
      schedules.push(scheduleView(state, schedule));
    }
    if (--budget <= 0 || schedules.length >= query.pageSize) return { schedules, next: after };
  }
}
