/** What a node with the probe says. Bytes, and milliseconds. */
export interface Probed {
  readonly memory: NodeJS.MemoryUsage;
  /** The collector's longest pause, and all of them together. */
  readonly gcLongest: number;
  readonly gcTotal: number;
  readonly gcCount: number;
}
