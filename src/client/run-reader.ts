import { JobState } from '../../proto/gen/gearmesh/v1/common.js';
import { Disposition, type JobEvent, JobEventKind } from '../../proto/gen/gearmesh/v1/job.js';
import { fromDisposition, fromJobError, fromState, fromTimestamp } from './convert.js';
import type { RunEvent } from './run-events.js';

const NO_ERROR = { code: '', message: '', details: new Uint8Array(0) };

/**
 * Makes one story out of the events of several streams about one job: a stream that goes on after another one begins
 * with what is known already, which is left out, and chunks that nobody brought become a gap.
 */
export class EventReader {
  #accepted = false;
  /** Attempt whose chunks are counted, and the next number. */
  #attempt = 0;
  #nextChunk = 0;
  #started = 0;
  #failed = 0;
  #cancelling = -1;
  #progress = '';
  #running: JobEvent | null = null;

  read(event: JobEvent, show: (event: RunEvent) => void): void {
    const { attempt } = event;
    if (event.kind !== JobEventKind.ATTEMPT_FAILED) this.#now(show);
    if (attempt > this.#attempt) {
      this.#attempt = attempt;
      this.#nextChunk = 0;
      this.#progress = '';
    }
    switch (event.kind) {
      case JobEventKind.ACCEPTED:
        this.#accept(event, show);
        break;
      case JobEventKind.QUEUED:
        this.#handedBack();
        show({ type: 'queued', attempt });
        break;
      case JobEventKind.STARTED:
        this.#start(attempt, event.worker, show);
        break;
      case JobEventKind.PROGRESS:
        this.#report(event, show);
        break;
      case JobEventKind.DATA:
        this.#data(event, show);
        break;
      case JobEventKind.DATA_GAP:
        if (attempt === this.#attempt) this.#gapBefore(event.gapTo + 1, show);
        break;
      case JobEventKind.ATTEMPT_FAILED:
        if (attempt <= this.#failed) break;
        this.#failed = attempt;
        show({
          type: 'attempt-failed',
          attempt,
          worker: event.worker,
          error: fromJobError(event.error) ?? NO_ERROR,
          retryAt: fromTimestamp(event.retryAt),
        });
        break;
      case JobEventKind.CANCELLING:
        if (this.#cancelling === attempt) break;
        this.#cancelling = attempt;
        show({ type: 'cancelling', attempt });
        break;
      case JobEventKind.ENDED:
        if (attempt === this.#attempt) this.#gapBefore(event.dataCount, show);
        show({
          type: 'ended',
          attempt,
          state: fromState(event.state),
          error: fromJobError(event.error),
          dataCount: event.dataCount,
        });
        break;
      default: // an event that this SDK does not know yet
    }
  }

  /** What a running job's ACCEPTED said of its attempt: after the failures of earlier ones, which follow it. */
  #now(show: (event: RunEvent) => void): void {
    const event = this.#running;
    if (event === null) return;
    this.#running = null;
    this.#start(event.attempt, event.worker, show);
    if (event.progress !== undefined) this.#report(event, show);
  }

  #accept(event: JobEvent, show: (event: RunEvent) => void): void {
    const { attempt } = event;
    if (this.#accepted) {
      // What the lost stream would have said.
      if (event.state === JobState.QUEUED || event.state === JobState.SCHEDULED) this.#handedBack();
      if (event.worker !== '') this.#running = event;
      else if (event.progress !== undefined) this.#report(event, show);
      return;
    }
    this.#accepted = true;
    show({
      type: 'accepted',
      jobId: event.jobId,
      state: fromState(event.state),
      attempt,
      disposition:
        event.disposition === Disposition.UNSPECIFIED ? undefined : fromDisposition(event.disposition),
      progress: event.progress,
    });
    // Its progress was told with the acceptance.
    if (event.worker !== '') this.#running = { ...event, progress: undefined };
  }

  /** An attempt that neither failed nor ended was released, and its number and its chunks' may come again. */
  #handedBack(): void {
    if (this.#started <= this.#failed) return;
    this.#started = this.#failed;
    this.#attempt = this.#failed;
    this.#nextChunk = 0;
    this.#progress = '';
  }

  #start(attempt: number, worker: string, show: (event: RunEvent) => void): void {
    if (attempt <= this.#started) return;
    this.#started = attempt;
    show({ type: 'started', attempt, worker });
  }

  #report(event: JobEvent, show: (event: RunEvent) => void): void {
    const { progress, attempt } = event;
    if (progress === undefined || attempt < this.#attempt) return;
    const { numerator, denominator, message } = progress;
    const said = `${numerator}/${denominator} ${message}`;
    if (said === this.#progress) return;
    this.#progress = said;
    show({ type: 'progress', attempt, numerator, denominator, message });
  }

  #data(event: JobEvent, show: (event: RunEvent) => void): void {
    if (event.attempt < this.#attempt) return;
    let number = event.dataFirst;
    for (const chunk of event.data) {
      if (number >= this.#nextChunk) {
        this.#gapBefore(number, show);
        show({ type: 'data', attempt: event.attempt, number, chunk });
        this.#nextChunk = number + 1;
      }
      number++;
    }
  }

  #gapBefore(next: number, show: (event: RunEvent) => void): void {
    if (next <= this.#nextChunk) return;
    show({ type: 'gap', attempt: this.#attempt, from: this.#nextChunk, to: next - 1 });
    this.#nextChunk = next;
  }
}
