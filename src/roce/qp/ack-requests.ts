/**
 * Decides which packets of a requester ask for an acknowledgement (AckReq).
 *
 * The last packet of a request asks when its completion is awaited, and in flows that pause: somebody waits, and an answer
 * costs nothing. In a flow that goes on, the answer to a later packet says the same; an unsignaled request keeps its memory
 * with the queue pair until then. The last of such a flow is acknowledged by the peer of its own accord, as ours does
 * (owed-acknowledgement.ts). A peer that does not is asked by a probe, and with every request for a while after it.
 *
 * Invariant: no more than `MAX_DISTANCE` packets, and half of the window, leave between two that ask, so that what has
 * arrived and is not acknowledged never fills the window.
 */
import { psnAdd, psnDiff } from '../psn.js';

const MAX_DISTANCE = 30;
/** And where packets were lost lately: what an answer tells is wanted soon. */
const WARY_DISTANCE = 4;
/** A flow whose last packet left longer ago than this has paused. */
const PAUSE_MICROS = 1000;
/** Requests that ask after a probe had to: so probes are one packet of as many at most. */
const REQUESTS_PER_PROBE = 4096;

export class AckRequests {
  /** PSN of the newest packet that asked. */
  #newestPsn = 0;
  #distance = 0;
  #leftAt = Number.NEGATIVE_INFINITY;
  #insistent = 0;

  /** Nothing from `psn` on has asked. */
  startAt(psn: number): void {
    this.#newestPsn = psnAdd(psn, -1);
    this.#distance = 0;
  }

  /**
   * Whether the packet that leaves next has to ask; `isLast` of its request, which is `isAwaited` or not, while `window`
   * packets may be in flight; `isLossNear`: an answer must not take its time. Call it once a packet.
   */
  mustAsk(isLast: boolean, isAwaited: boolean, isLossNear: boolean, window: number, now: number): boolean {
    const hasPaused = now - this.#leftAt > PAUSE_MICROS;
    this.#leftAt = now;
    this.#distance++;
    if (this.#distance >= (isLossNear ? WARY_DISTANCE : MAX_DISTANCE) || this.#distance >= window >> 1)
      return true;
    if (!isLast) return false;
    if (isAwaited || isLossNear || hasPaused) return true;
    if (this.#insistent === 0) return false;
    this.#insistent--;
    return true;
  }

  /** How many of the packets that leave next need not ask, if none is the last of its request. */
  quietPackets(isLossNear: boolean, window: number): number {
    const limit = isLossNear ? WARY_DISTANCE : MAX_DISTANCE;
    return Math.min(limit, window >> 1) - 1 - this.#distance;
  }

  /** So many of those leave. */
  onRun(packets: number, now: number): void {
    this.#distance += packets;
    this.#leftAt = now;
  }

  /** `psn` leaves and asks. */
  onAsked(psn: number): void {
    this.#newestPsn = psn;
    this.#distance = 0;
  }

  /** The packet `psn` leaves again and asks, out of turn. */
  onProbe(psn: number, unackedPsn: number): void {
    if (!this.isAnswerDue(unackedPsn)) this.#insistent = REQUESTS_PER_PROBE;
    if (psnDiff(psn, this.#newestPsn) > 0) this.#newestPsn = psn;
  }

  /** Whether a packet that is not acknowledged asked. */
  isAnswerDue(unackedPsn: number): boolean {
    return psnDiff(this.#newestPsn, unackedPsn) >= 0;
  }
}
