/**
 * The proof that a link carries packets in both directions: the first two messages of each end hold nothing, and the other
 * end's device acknowledges them. The first is small, the second fills a packet: a path may carry the one and lose the
 * other, where a tunnel on it takes less than its ends believe.
 *
 * It is no progress of the connection: one whose proof came through and nothing else would recover for ever.
 */
import type { RdmaError } from '../verbs/errors.js';

/** Of which length a message of the proof is: header only, or a whole packet. */
export type ProofSize = 'small' | 'full';

const MESSAGES = 2;

export class LinkProof {
  /** Resolve when the peer's device has the message of that length; reject with what ended it or the link. */
  readonly #sent = { small: new Sent(), full: new Sent() };
  #isProven = false;
  /** Messages of the peer that are here, as far as they are its part of the proof. */
  #arrived = 0;

  constructor() {
    // A link may end before anybody waits.
    for (const { promise } of Object.values(this.#sent)) promise.catch(() => {});
  }

  get isProven(): boolean {
    return this.#isProven;
  }

  /** A message of the peer is here; returns whether it is more than the peer's part of the proof. */
  onArrived(): boolean {
    if (this.#arrived === MESSAGES) return true;
    this.#arrived++;
    return false;
  }

  /** Our message of that length has ended. */
  onDone(size: ProofSize, error: RdmaError | undefined): void {
    if (error !== undefined) {
      this.fail(error);
      return;
    }
    if (size === 'full') this.#isProven = true;
    this.#sent[size].resolve();
  }

  /**
   * Resolves when the peer's device has the message.
   *
   * @throws RdmaError what ended the link.
   */
  until(size: ProofSize): Promise<void> {
    return this.#sent[size].promise;
  }

  fail(error: RdmaError): void {
    for (const { reject } of Object.values(this.#sent)) reject(error);
  }
}

class Sent {
  readonly promise: Promise<void>;
  resolve: () => void = () => {};
  reject: (error: RdmaError) => void = () => {};

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }
}
