import type { Violation } from '../history.js';
import type { Story } from '../story.js';
import { described, quoted, told, violation } from '../text.js';

/** A job has the payload and the function that it was submitted with. */
export function altered(story: Story): Violation[] {
  const { job, makers } = story;
  if (makers.length === 0) return [];
  // Where one was told that it made the job, the others found it made.
  const created = makers.filter((one) => one.answer?.disposition === 'created');
  const possible = created.length > 0 ? created : makers;
  const payloads = new Set(possible.map((one) => one.payload));
  for (const { event, payload } of story.sightings) {
    if (!payloads.has(payload)) {
      const text = `${job} was submitted with the payload ${quoted(possible[0]!.payload)}, yet ${told(event)} has ${quoted(payload)}`;
      return [violation('altered', text, possible[0]!, event)];
    }
    if (event.type === 'lease' && !possible.some((one) => one.function === event.function)) {
      const text = `${job} was submitted for the function ${possible[0]!.function}, yet ${told(event)} is for ${event.function}`;
      return [violation('altered', text, possible[0]!, event)];
    }
  }
  return [];
}

/** At the end every node has the same of a job. */
export function replicasDiffer(story: Story): Violation[] {
  const present = story.lasts.filter((one) => one.seen !== 'absent');
  const first = present[0];
  if (first === undefined) return [];
  const text = JSON.stringify(fields(first));
  const other = present.find((one) => JSON.stringify(fields(one)) !== text);
  if (other === undefined) return [];
  return [
    violation(
      'replicas-differ',
      `${story.job} is not the same everywhere at the end: ${described(first.seen)} at ${first.node}, ${described(other.seen)} at ${other.node}${samePayload(first, other) ? '' : ', with different payloads'}`,
      first,
      other,
    ),
  ];
}

function fields({ seen }: Story['lasts'][number]): unknown[] {
  if (seen === 'absent') return [];
  return [seen.state, seen.attempt, seen.payload, seen.result, seen.errorCode];
}

function samePayload(a: Story['lasts'][number], b: Story['lasts'][number]): boolean {
  return a.seen !== 'absent' && b.seen !== 'absent' && a.seen.payload === b.seen.payload;
}
