/**
 * What a requester waits for in time: the retransmission timeout of the verbs, the probe that comes sooner, the end of a
 * pause that the peer asked for (RNR NAK), and the turn of the next paced packet.
 *
 * Invariants: during a pause neither timeout nor probe runs. The timeout starts with the first packet and again with all
 * progress, and nothing else moves it, so that it bounds how long a peer may be silent.
 */
import { invariant } from '../../verbs/invariant.js';
import type { Congestion } from './congestion.js';
import type { QpHost } from './qp-host.js';

const NEVER = Number.POSITIVE_INFINITY;
// No small integer: the first time that takes the place of one makes V8 throw away what it has compiled.
const NO_TIME = Number.NEGATIVE_INFINITY;
/** Probes without progress in between; what follows is the timeout's. */
const MAX_PROBES = 6;
/**
 * A path that has lost nothing lately is looked after no sooner than that, or a part of the timeout: an answer that is
 * late there was held up in a busy process, its own or the peer's, and a probe would only repeat what has arrived.
 */
const CLEAN_PROBE_MICROS = 20_000;
const CLEAN_PROBE_SHARE = 1 / 4;

export class RequestTimers {
  readonly #qp: QpHost;
  readonly #congestion: Congestion;
  #retransmitAt = NEVER;
  #probeAt = NEVER;
  #resumeAt = NEVER;
  #pacedUntil = NEVER;
  /** Probes since the last progress. */
  probes = 0;
  /** When the last of them was due; negative = there was none. */
  probedAt = NO_TIME;
  /** What the last progress was told with. */
  #progressAt = NO_TIME;
  #progressLeftAt = NO_TIME;

  constructor(qp: QpHost, congestion: Congestion) {
    this.#qp = qp;
    this.#congestion = congestion;
  }

  get next(): number {
    INVARIANT: invariant(
      !this.isPaused || (this.#retransmitAt === NEVER && this.#probeAt === NEVER),
      'during a pause neither timeout nor probe runs',
    );
    return Math.min(this.#retransmitAt, this.#probeAt, this.#resumeAt, this.#pacedUntil);
  }

  /** The peer asked for a pause, which is not over. */
  get isPaused(): boolean {
    return this.#resumeAt !== NEVER;
  }

  onSent(now: number): void {
    if (this.#retransmitAt === NEVER) this.startTimeout(now);
    if (this.#probeAt === NEVER) this.startProbe(now, now);
  }

  /** `leftAt`: when the oldest packet left whose answer is due; -1 = unknown. */
  onProgress(isIdle: boolean, leftAt: number, now: number): void {
    // The data of a READ is progress with every packet, and those of a burst come at one time.
    const isSame = now === this.#progressAt && leftAt === this.#progressLeftAt && this.probes === 0;
    if (isSame && !isIdle && this.#retransmitAt !== NEVER && this.#probeAt !== NEVER) return;
    this.#progressAt = now;
    this.#progressLeftAt = leftAt;
    this.probes = 0;
    this.probedAt = NO_TIME;
    this.#retransmitAt = NEVER;
    this.#probeAt = NEVER;
    if (isIdle) return;
    this.startTimeout(now);
    this.startProbe(leftAt < 0 ? now : leftAt, now);
  }

  startTimeout(now: number): void {
    if (this.isPaused) return;
    this.#retransmitAt = now + this.#qp.timeoutMicros;
    this.#qp.armTimer(this.#retransmitAt);
  }

  /**
   * Waits for the answer to what left at `leftAt`, and for a part of that after any sign of life. Each probe without
   * progress waits twice as long as the one before.
   */
  startProbe(leftAt: number, now: number): void {
    this.#probeAt = NEVER;
    if (this.isPaused || this.probes >= MAX_PROBES) return;
    let micros = this.#congestion.probeMicros;
    if (this.#congestion.isClean(now)) {
      micros = Math.max(micros, Math.min(CLEAN_PROBE_MICROS, this.#qp.timeoutMicros * CLEAN_PROBE_SHARE));
    }
    micros *= 2 ** this.probes;
    this.#probeAt = Math.max(leftAt + micros, now + micros / 4);
    this.#qp.armTimer(this.#probeAt);
  }

  pauseUntil(at: number): void {
    this.#resumeAt = at;
    this.#retransmitAt = NEVER;
    this.#probeAt = NEVER;
    this.#qp.armTimer(at);
  }

  paceUntil(at: number): void {
    this.#pacedUntil = at;
    this.#qp.armTimer(at);
  }

  // --- what is due: each is true once -------------------------------------------------------------------------------

  takeResume(now: number): boolean {
    if (this.#resumeAt > now) return false;
    this.#resumeAt = NEVER;
    return true;
  }

  takePace(now: number): boolean {
    if (this.#pacedUntil > now) return false;
    this.#pacedUntil = NEVER;
    return true;
  }

  takeTimeout(now: number): boolean {
    if (this.#retransmitAt > now) return false;
    this.#retransmitAt = NEVER;
    return true;
  }

  takeProbe(now: number): boolean {
    if (this.#probeAt > now) return false;
    this.#probeAt = NEVER;
    this.probes++;
    this.probedAt = now;
    return true;
  }

  stop(): void {
    this.#retransmitAt = NEVER;
    this.#probeAt = NEVER;
    this.#resumeAt = NEVER;
    this.#pacedUntil = NEVER;
    this.probes = 0;
    this.probedAt = NO_TIME;
  }
}
