import type { Violation } from '../history.js';
import type { Stories, Story } from '../story.js';
import { violation } from '../text.js';

/** A schedule makes one job for a minute at most. */
export function schedule({ jobs }: Stories): Violation[] {
  const made = new Map<string, Story>();
  const found: Violation[] = [];
  for (const story of jobs.values()) {
    if (story.madeBy === '') continue;
    const other = made.get(story.madeBy);
    if (other === undefined) {
      made.set(story.madeBy, story);
      continue;
    }
    const text = `the schedule and minute ${story.madeBy} have two jobs: ${other.job} and ${story.job}`;
    found.push(violation('schedule', text, lastOf(other), lastOf(story)));
  }
  return found;
}

function lastOf(story: Story) {
  return story.lasts.find((one) => one.madeBy !== '')!;
}
