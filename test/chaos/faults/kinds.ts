/** Every fault by the name that `--faults` and the summary use; docs/reliability.md describes each. */
export const ALL_FAULTS = [
  'kill',
  'kill-two',
  'kill-all',
  'pause',
  'restart',
  'transfer',
  'cut-one',
  'cut-one-way',
  'cut-halves',
  'cut-leader',
  'delay',
  'loss',
  'clock',
  'slow-disk',
  'full-disk',
  'bit-flip',
  'wipe',
] as const;
export type FaultKind = (typeof ALL_FAULTS)[number];

/** Several kinds by one word. A kind's own name means that kind alone, where it is not a group too. */
export const GROUPS: Readonly<Record<string, readonly FaultKind[]>> = {
  kill: ['kill', 'kill-two', 'kill-all'],
  partition: ['cut-one', 'cut-one-way', 'cut-halves', 'cut-leader'],
  network: ['cut-one', 'cut-one-way', 'cut-halves', 'cut-leader', 'delay', 'loss'],
  disk: ['slow-disk', 'full-disk', 'bit-flip', 'wipe'],
  membership: ['wipe', 'transfer'],
};

/** The kinds that the words mean, in the order of `ALL_FAULTS`; a text: what is wrong with them. */
export function faultsOf(words: readonly string[]): FaultKind[] | string {
  const wanted = new Set<FaultKind>();
  for (const word of words) {
    const kind = ALL_FAULTS.find((one) => one === word);
    const kinds = GROUPS[word] ?? (kind === undefined ? [] : [kind]);
    if (kinds.length === 0) {
      return `--faults ${word}: expected some of ${[...ALL_FAULTS, 'partition', 'network', 'disk', 'membership'].join(', ')}`;
    }
    for (const one of kinds) wanted.add(one);
  }
  return ALL_FAULTS.filter((kind) => wanted.has(kind));
}
