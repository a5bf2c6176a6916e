import type { Change, HistoryEvent, Read, Rule, Seen, Settle, Submit, Violation } from './history.js';

const LONGEST = 40;

/** A payload or result as a reader may see it. */
export function quoted(text: string): string {
  return text.length <= LONGEST ? `"${text}"` : `"${text.slice(0, LONGEST)}…" (${text.length} characters)`;
}

export function ms(time: number): string {
  return `${Math.round(time * 1000) / 1000} ms`;
}

/** What a reader saw. */
export function described(seen: Seen | 'absent'): string {
  if (seen === 'absent') return 'absent';
  const parts: string[] = [`${seen.state}`];
  if (seen.attempt > 0) parts.push(`attempt ${seen.attempt}`);
  if (seen.result !== '' || seen.state === 'succeeded') parts.push(`result ${quoted(seen.result)}`);
  if (seen.errorCode !== '') parts.push(`error ${seen.errorCode}`);
  return parts.join(', ');
}

/** When a call was under way. */
export function span(call: Submit | Read | Change | Settle): string {
  return call.end === null
    ? `from ${ms(call.begin)} on, without an answer`
    : `from ${ms(call.begin)} to ${ms(call.end)}`;
}

function at(node: string): string {
  return node === '' ? '' : ` at ${node}`;
}

/** An event in a few words, with its time and place. */
export function told(event: HistoryEvent): string {
  switch (event.type) {
    case 'submit': {
      const { answer } = event;
      const said = answer === null ? event.fate : `${answer.disposition} ${answer.job}`;
      return `the submission of ${event.job} by ${event.by}${at(event.node)} ${span(event)} (${said})`;
    }
    case 'read': {
      const said = event.answer === null ? event.fate : described(event.answer);
      return `the ${event.consistency} read of ${event.job} by ${event.by}${at(event.node)} ${span(event)} (${said})`;
    }
    case 'settle': {
      const what = event.outcome === 'complete' ? `complete with ${quoted(event.result)}` : event.outcome;
      return `"${what}" of ${event.job} under token ${event.token} by ${event.by} ${span(event)} (${event.fate})`;
    }
    case 'lease':
      return `the lease of ${event.job} with token ${event.token}, attempt ${event.attempt}, that ${event.worker} got${at(event.node)} at ${ms(event.at)}`;
    case 'lease-lost':
      return `the word to ${event.worker} at ${ms(event.at)} that its lease ${event.token} is over`;
    case 'interrupted':
      return `the end of ${event.worker}'s connection${at(event.node)} at ${ms(event.at)}`;
    case 'watched': {
      const seen = event.seen === null ? '' : ` (${described(event.seen)})`;
      return `the event "${event.event}"${seen} of the watch ${event.watch} of ${event.job}${at(event.node)} at ${ms(event.at)}`;
    }
    case 'last':
      return `what ${event.node} has of ${event.job} at the end, ${ms(event.at)} (${described(event.seen)})`;
    default:
      return `the ${event.type} of ${event.job} by ${event.by}${at(event.node)} ${span(event)} (${event.fate})`;
  }
}

/** A promise that was broken. `text` names the job and says what was promised. */
export function violation(rule: Rule, text: string, ...events: readonly HistoryEvent[]): Violation {
  return { rule, text, events };
}
