/** A membership change that must not be proposed; the message says why, for the operator. */
export class MembershipError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'MembershipError';
  }
}
