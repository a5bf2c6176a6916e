/** What ours divided by another system's has to be, medians of one run of the benchmark. */
export interface Goal {
  readonly workload: string;
  readonly figure: 'perSecond' | 'p50';
  /** The other system's name. */
  readonly side: string;
  readonly least?: number;
  readonly most?: number;
}

const GOALS: readonly Goal[] = [
  { workload: 'W1', figure: 'perSecond', side: 'beanstalkd', least: 1 },
  { workload: 'W1', figure: 'perSecond', side: 'nats', least: 5 },
  { workload: 'W1', figure: 'perSecond', side: 'rabbitmq', least: 6 },
  { workload: 'W1b', figure: 'perSecond', side: 'gearmand', least: 1 },
  { workload: 'W2', figure: 'perSecond', side: 'gearmand', least: 1.5 },
  { workload: 'W2', figure: 'perSecond', side: 'nats', least: 5 },
  { workload: 'W2', figure: 'perSecond', side: 'rabbitmq', least: 6 },
  { workload: 'W3', figure: 'p50', side: 'nats', most: 1 },
  { workload: 'W3', figure: 'p50', side: 'rabbitmq', most: 0.6 },
  { workload: 'W3h', figure: 'p50', side: 'nats', most: 1 },
  { workload: 'W3h', figure: 'p50', side: 'rabbitmq', most: 0.6 },
  { workload: 'W6', figure: 'p50', side: 'rabbitmq', most: 0.2 },
];

export function goalOf(workload: string, figure: string, side: string): Goal | null {
  const found = GOALS.find(
    (goal) => goal.workload === workload && goal.figure === figure && goal.side === side,
  );
  return found ?? null;
}

export function reached(goal: Goal, ratio: number): boolean {
  return (goal.least === undefined || ratio >= goal.least) && (goal.most === undefined || ratio <= goal.most);
}

export function shownGoal(goal: Goal): string {
  return goal.least === undefined ? `≤ ${goal.most}` : `≥ ${goal.least}`;
}
