/** A handle is at most 63 bytes: `H:`, the name, `:`, and up to 16 digits. */
const NAME_MAX = 44;

/** The name by which Gearman clients know a job, the same at every node: `H:<cluster>:<number>`. ASCII. */
export function gearmanHandle(cluster: string, seq: number): string {
  return `H:${cluster.slice(0, NAME_MAX)}:${seq}`;
}

/** The job's number in a handle; 0: this cluster gave no such handle. */
export function seqOfHandle(cluster: string, handle: string): number {
  const seq = Number(handle.slice(handle.lastIndexOf(':') + 1));
  return Number.isSafeInteger(seq) && seq > 0 && handle === gearmanHandle(cluster, seq) ? seq : 0;
}
