import type { Mutant } from '../mutant.js';

const DESK = 'src/node/leader-desk.ts';
const SUPERVISOR = 'src/node/supervisor.ts';

/** What a node does around log and state machine: time, reads, other nodes. */
export const NODE: readonly Mutant[] = [
  {
    name: 'session expiry on the wall clock of whoever leads',
    breaks: 'graces, run timeouts and backoff are counted by a monotonic clock',
    faults: ['clock-jump', 'transfer'],
    edits: [
      {
        file: DESK,
        text: 'this.#baseMs = this.#parts.clock.monotonicMs();',
        replacement: 'this.#baseMs = this.#parts.clock.wallMs();',
      },
      {
        file: DESK,
        text: '(this.#parts.clock.monotonicMs() - this.#baseMs) * 1000',
        replacement: '(this.#parts.clock.wallMs() - this.#baseMs) * 1000',
      },
    ],
  },
  {
    name: 'a Tick that goes backwards',
    breaks: 'time of the log never runs backward',
    edits: [
      {
        file: DESK,
        text: 'this.#baseElapsedUs = this.#parts.core.elapsedUs;',
        replacement: 'this.#baseElapsedUs = 0;',
      },
      {
        file: DESK,
        text: 'return Math.max(this.#parts.core.elapsedUs, this.#baseElapsedUs + Math.max(0, passed));',
        replacement: 'return this.#baseElapsedUs + Math.max(0, passed);',
      },
      {
        file: 'src/core/apply.ts',
        text: 'state.elapsedUs = Math.max(state.elapsedUs, stamp(reader));',
        replacement: 'state.elapsedUs = stamp(reader);',
      },
    ],
  },
  {
    name: 'a read does not wait for the log',
    breaks: 'a read is answered when this node has applied all that was committed before',
    edits: [
      {
        file: 'src/node/reads.ts',
        text: '        reader.index = index;\n',
        replacement: '        reader.index = 0;\n',
      },
    ],
  },
  {
    name: 'NodeDown forgotten on leader change',
    breaks: 'a new leader declares down also those that were silent before it came into office',
    faults: ['silent-node', 'transfer'],
    edits: [
      {
        file: SUPERVISOR,
        text: '  readonly #watched = new Map<number, Watch>();\n',
        replacement: '  readonly #watched = new Map<number, Watch>();\n  #sinceMs = 0;\n',
      },
      {
        file: SUPERVISOR,
        text: '    this.#watched.clear();\n',
        replacement: '    this.#watched.clear();\n    this.#sinceMs = this.#parts.clock.monotonicMs();\n',
      },
      {
        file: SUPERVISOR,
        text: 'watch = { heardMs: now, markIndex',
        replacement: 'watch = { heardMs: 0, markIndex',
      },
      {
        file: SUPERVISOR,
        text: '      if (now - watch.heardMs > timings.nodeDownMs) {\n',
        replacement:
          '      if (watch.heardMs <= this.#sinceMs) continue;\n      if (now - watch.heardMs > timings.nodeDownMs) {\n',
      },
    ],
  },
  {
    name: 'calls survive skipped log',
    breaks: 'a node that installed a snapshot behaves as if it had been started again',
    faults: ['snapshot'],
    hidden: 'a node that finds its own batches out of order stops before it tells anybody',
    edits: [
      {
        file: 'src/node/engine.ts',
        text: "    this.#reborn('unknown');\n",
        replacement: '',
      },
    ],
  },
];
