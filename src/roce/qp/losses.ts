/**
 * What a requester does about packets that have not got through: those that the peer asks for again (sequence NAK) or has
 * no receive for (RNR NAK), answers that are missing, and silence. Counts the retries (docs/rocev2.md, "Requester").
 *
 * Invariants: each loss is acted on once, however often the peer tells of it; a retry is spent by a sequence NAK and by a
 * timeout, never by a probe; progress gives all retries back.
 */
import { WcStatus } from '../../verbs/work-completion.js';
import { psnDiff } from '../psn.js';
import type { Congestion } from './congestion.js';
import type { QpHost } from './qp-host.js';
import type { RequestTimers } from './request-timers.js';
import type { Retransmissions } from './retransmissions.js';

/** What this needs of the requester. */
export interface Sending {
  readonly idle: boolean;
  readonly unackedPsn: number;
  readonly nextPsn: number;
  /** The last PSN that a plain acknowledgement may reach. */
  readonly acknowledgeLimit: number;
  /** Sends from `psn` on again. */
  goBack(psn: number, now: number): void;
  /** The next packet to leave is a probe. */
  oweProbe(): void;
  /** The request that `psn` belongs to has failed for good. */
  failAt(psn: number, status: WcStatus): void;
}

export class Losses {
  readonly #qp: QpHost;
  readonly #sending: Sending;
  readonly #congestion: Congestion;
  readonly #timers: RequestTimers;
  readonly #sentAgain: Retransmissions;
  #retriesLeft = 0;
  /** Of RNR NAKs. */
  #receiverRetriesLeft = 0;

  constructor(
    qp: QpHost,
    sending: Sending,
    congestion: Congestion,
    timers: RequestTimers,
    sentAgain: Retransmissions,
  ) {
    this.#qp = qp;
    this.#sending = sending;
    this.#congestion = congestion;
    this.#timers = timers;
    this.#sentAgain = sentAgain;
  }

  /** Takes up the retry limits of the queue pair, as after progress. */
  refresh(): void {
    this.#retriesLeft = this.#qp.retryCount;
    this.#receiverRetriesLeft = this.#qp.rnrRetry;
  }

  /** Loss that the peer reported. Costs a retry. Returns whether the NAK meant something new. */
  onSequenceNak(psn: number, now: number): boolean {
    // It left before what was sent again could arrive: packets that overtook each other, or a second NAK for one gap.
    if (this.#sentAgain.wasSentAgain(psn, this.#congestion.shortestMicros, now)) return false;
    // Everything before it was carried out: progress, also where lost answers keep `unackedPsn` back.
    if (this.#sentAgain.reach(psn)) this.refresh();
    if (this.#retriesLeft === 0) {
      this.#sending.failAt(psn, WcStatus.RETRY_EXC_ERR);
      return true;
    }
    this.#retriesLeft--;
    this.#congestion.onLoss(now);
    if (psnDiff(psn, this.#sending.acknowledgeLimit) > 1) {
      // Answers leave in order: those to READs before it that are not here now were lost as well.
      this.#sentAgain.setAmbiguous(this.#sending.nextPsn);
      this.#sending.goBack(this.#sending.unackedPsn, now);
    } else {
      // Whatever arrived from there on was dropped.
      this.#sentAgain.setClear();
      this.#sending.goBack(psn, now);
    }
    return true;
  }

  /**
   * Answers to READs or atomics from `psn` on are missing, as `seenPsn` shows: ask again. Once for each gap, and once
   * more whenever answers begin again from the front, because the first of them was lost again.
   */
  onResponseGap(psn: number, seenPsn: number, now: number): void {
    if (!this.#sentAgain.isNewGap(psn, seenPsn, this.#congestion.shortestMicros, now)) return;
    this.#qp.counters.count('responseGaps');
    this.#congestion.onLoss(now);
    this.#sentAgain.setAmbiguous(this.#sending.nextPsn);
    this.#sending.goBack(psn, now);
  }

  /** The peer has no receive for `psn`: pause, then send it again, and what is behind it once the peer has taken it. */
  onReceiverNotReady(psn: number, pauseMicros: number, now: number): void {
    if (this.#qp.rnrRetry !== 7) {
      if (this.#receiverRetriesLeft === 0) {
        this.#sending.failAt(psn, WcStatus.RNR_RETRY_EXC_ERR);
        return;
      }
      this.#receiverRetriesLeft--;
    }
    this.#sending.goBack(psn, now);
    this.#sentAgain.askWith(psn);
    this.#timers.pauseUntil(now + pauseMicros);
  }

  handleTimeout(now: number): void {
    const timers = this.#timers;
    if (timers.takeResume(now)) {
      // Answers to READs before the refused packet may be lost, and hold sending up.
      if (!this.#sending.idle) timers.startTimeout(now);
      this.#qp.schedule();
    }
    if (timers.takePace(now)) this.#qp.schedule();
    if (timers.takeTimeout(now)) this.#onTimeout(now);
    else if (timers.takeProbe(now)) this.#onProbe(now);
  }

  #onTimeout(now: number): void {
    this.#qp.counters.count('timeouts');
    if (this.#retriesLeft === 0) {
      this.#sending.failAt(this.#sending.unackedPsn, WcStatus.RETRY_EXC_ERR);
      return;
    }
    this.#retriesLeft--;
    this.#congestion.onTimeout();
    this.#repeat(now);
  }

  /**
   * The answer is late for this path, but not so late that it costs a retry: the last packets of a message, or what the
   * peer said about them, may be lost.
   */
  #onProbe(now: number): void {
    const { probes } = this.#timers;
    this.#qp.counters.count('probes');
    // Where a gap was reported since the last progress, what was sent again has been lost again: the path is alive.
    if (probes > 1) this.#congestion.onSilence();
    if (!this.#congestion.isClean(now)) {
      this.#repeat(now);
    } else if (probes > 1) {
      // A peer that has sent its one NAK answers to the oldest packet alone. The rest follows the answer.
      this.#repeat(now);
      this.#sentAgain.askWith(this.#sending.unackedPsn);
    } else {
      this.#sending.oweProbe();
      this.#timers.startProbe(now, now);
    }
  }

  /** Goes back to the oldest packet, of which nobody knows whether it arrived. */
  #repeat(now: number): void {
    this.#sentAgain.forgetGap();
    this.#sentAgain.setAmbiguous(this.#sending.nextPsn);
    this.#sending.goBack(this.#sending.unackedPsn, now);
  }
}
