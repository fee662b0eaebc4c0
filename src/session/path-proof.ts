/**
 * The proof of the path in the meetings over one channel: what came through of the present one, and what an error means
 * because of it. A deadline that ends the channel during a proof says so as well.
 *
 * Invariant: an error of a meeting without a proof is what it was.
 */
import type { RdmaError } from '../verbs/errors.js';
import type { ControlChannel } from './control-channel.js';
import type { ProofSeen, SessionAttributes } from './session-data.js';
import { type Proving, proofError } from './unreachable.js';

export class PathProof {
  readonly #channel: ControlChannel;
  #proving: Proving | undefined;

  constructor(channel: ControlChannel) {
    this.#channel = channel;
  }

  get isUnderWay(): boolean {
    return this.#proving !== undefined;
  }

  /** A proof begins; the function is told what has come through, whenever it is more. */
  begin(met: SessionAttributes): (seen: ProofSeen) => void {
    const proving: Proving = { ...met, seen: { sent: 0, arrived: 0 } };
    this.#proving = proving;
    this.#channel.meaningOfDeadline = (tooSlow) => this.meant(tooSlow);
    return (seen) => {
      proving.seen = seen;
    };
  }

  /** The meeting is over. */
  end(): void {
    this.#proving = undefined;
    this.#channel.meaningOfDeadline = null;
  }

  /** What it means that `error` ends the meeting, or the channel during it. */
  meant(error: RdmaError): RdmaError {
    return proofError(this.#channel, this.#proving, error);
  }
}
