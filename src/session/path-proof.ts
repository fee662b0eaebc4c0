/**
 * The proof of the path in the meetings over one channel: what came through of the present one, and what an error means
 * because of it. A deadline that ends the channel during a proof says so as well.
 *
 * An end that hears nothing cannot know whether it was heard. So a proof that takes its time has both ends tell each other over TLS what has
 * arrived (`arrived`), and either can name the direction that is closed. Where packets come through, that is never sent.
 *
 * Invariants: an error of a meeting without a proof is what it was; nothing is told after `proven`.
 */
import type { RdmaError } from '../verbs/errors.js';
import type { ControlChannel } from './control-channel.js';
import { PROOF_MESSAGES, type ProofSeen, type SessionAttributes } from './session-data.js';
import { type Proving, proofError } from './unreachable.js';

/** More than most round trips, and less than any queue pair waits before it gives up that is not told to hurry. */
const PATIENCE_MILLIS = 100;

export class PathProof {
  readonly #channel: ControlChannel;
  #proving: Proving | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(channel: ControlChannel) {
    this.#channel = channel;
  }

  get isUnderWay(): boolean {
    return this.#proving !== undefined;
  }

  /** A proof begins; the function is told what has come through, whenever it is more. */
  begin(met: SessionAttributes): (seen: ProofSeen) => void {
    const proving: Proving = { ...met, seen: { sent: 0, arrived: 0 }, peerHas: undefined };
    this.#proving = proving;
    this.#channel.meaningOfDeadline = (tooSlow) => this.meant(tooSlow);
    let told: number | undefined;
    const tell = (): void => {
      const { arrived } = proving.seen;
      if (arrived === told || proving !== this.#proving) return;
      if (this.#channel.end !== undefined) return;
      told = arrived;
      this.#channel.send({ type: 'arrived', messages: arrived });
    };
    clearTimeout(this.#timer);
    this.#timer = setTimeout(tell, PATIENCE_MILLIS).unref();
    return (seen) => {
      proving.seen = seen;
      if (seen.sent === PROOF_MESSAGES) clearTimeout(this.#timer);
      else if (told !== undefined) tell();
    };
  }

  /** So many of this end's messages are there, says the peer. */
  peerHas(messages: number): void {
    if (this.#proving !== undefined) this.#proving.peerHas = messages;
  }

  /** The meeting is over. */
  end(): void {
    clearTimeout(this.#timer);
    this.#proving = undefined;
    this.#channel.meaningOfDeadline = null;
  }

  /** What it means that `error` ends the meeting, or the channel during it. */
  meant(error: RdmaError): RdmaError {
    return proofError(this.#channel, this.#proving, error);
  }
}
