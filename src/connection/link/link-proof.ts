/**
 * The proof that a link carries packets in both directions: the first two messages of each end hold nothing, and the other
 * end's device acknowledges them. The first is small, the second fills a packet: a path may carry the one and lose the
 * other, where a tunnel on it takes less than its ends believe. What came through of either end's two says which direction
 * works, and for which size.
 *
 * It is no progress of the connection: one whose proof came through and nothing else would recover for ever.
 */
import { PROOF_MESSAGES, type ProofSeen } from '../../session/session-data.js';
import type { RdmaError } from '../../verbs/errors.js';

const nobody = (): void => {};

export class LinkProof {
  #failure: RdmaError | null = null;
  /** Whoever waits for the outcome. */
  #resolve: (() => void) | null = null;
  #reject: ((error: RdmaError) => void) | null = null;
  #onSeen: (seen: ProofSeen) => void = nobody;
  /** Messages of ours that the peer's device has: requests are answered in their order. */
  #sent = 0;
  /** Messages of the peer that are here, as far as they are its part of the proof. */
  #arrived = 0;

  get isProven(): boolean {
    return this.#sent === PROOF_MESSAGES;
  }

  /** The peer's messages are here as well. */
  get isComplete(): boolean {
    return this.isProven && this.#arrived === PROOF_MESSAGES;
  }

  /** A message of the peer is here; returns whether it is more than the peer's part of the proof. */
  onArrived(): boolean {
    if (this.#arrived === PROOF_MESSAGES) return true;
    this.#arrived++;
    this.#tell();
    return false;
  }

  /** The next one of our messages has ended. */
  onDone(error: RdmaError | undefined): void {
    if (error !== undefined) {
      this.fail(error);
      return;
    }
    this.#sent++;
    this.#tell();
    if (this.isProven) {
      this.#resolve?.();
      this.#forget();
    }
  }

  /**
   * Resolves when the peer's device has both messages. `onSeen` is told what has come through, now and whenever it is more.
   *
   * @throws RdmaError what ended the link.
   */
  done(onSeen: (seen: ProofSeen) => void): Promise<void> {
    this.#onSeen = onSeen;
    this.#tell();
    if (this.#failure !== null) return Promise.reject(this.#failure);
    if (this.isProven) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** Idempotent; nothing is changed for one that is proven. */
  fail(error: RdmaError): void {
    if (this.isProven || this.#failure !== null) return;
    this.#failure = error;
    this.#reject?.(error);
    this.#forget();
  }

  /** It lasts as long as its link. */
  #forget(): void {
    this.#resolve = null;
    this.#reject = null;
  }

  #tell(): void {
    this.#onSeen({ sent: this.#sent, arrived: this.#arrived });
    // Nothing more will come of it, and it lasts as long as its link.
    if (this.isComplete) this.#onSeen = nobody;
  }
}

function completeProof(): LinkProof {
  const proof = new LinkProof();
  for (let i = 0; i < PROOF_MESSAGES; i++) {
    proof.onArrived();
    proof.onDone(undefined);
  }
  return proof;
}

/** What nothing changes any more: one for all links that are proven. */
export const COMPLETE = completeProof();
