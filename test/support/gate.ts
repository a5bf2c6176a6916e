/** A promise with its resolver. */
export class Gate<T = void> {
  readonly passed: Promise<T>;
  open!: (value: T) => void;

  constructor() {
    this.passed = new Promise((resolve) => {
      this.open = resolve;
    });
  }

  /** Resolves as `passed` does; rejects after so many milliseconds. */
  async within(ms: number): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`nobody opened the gate within ${ms} ms`)), ms);
    });
    try {
      return await Promise.race([this.passed, late]);
    } finally {
      clearTimeout(timer);
    }
  }
}
