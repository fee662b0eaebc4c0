/**
 * When a connection looks after its peer, and how long it has heard nothing then.
 *
 * While something moves, an end looks once in an interval whether anything has come; when it came, it does not ask, as reading the
 * clock for every packet would cost too much. A look that finds nothing sends a message that holds nothing. Its arrival is a sign
 * of life for one end and its acknowledgement for the other, and from then on the connection is quiet: the few signs that come are noted with
 * their time, and put the next look off. Who has sent sends again a little before two intervals are over; the other end would only then,
 * so that one message in two intervals serves both.
 *
 * Invariants: a peer of which nothing was heard for two intervals is asked, and taken for lost after the third, but only when
 * it has left two looks unanswered, however long nothing was heard: a process that stood still has heard nobody, whoever spoke. A
 * look that comes late moves none of those behind it, and the first comes at any time of an interval. So connections that came up
 * together, or were late together because their process stood still, do not look together, and thousands of them make no burst of messages.
 */

/** Silent intervals after which a peer is asked: at first, and at most. */
const PATIENT_INTERVALS = 2;
const CALM_INTERVALS = 8;
/** Looks in a row at which a peer that is lost was silent. */
const SILENT_LOOKS = 3;
/** By which part of an interval who sent last is ahead of the other: timers may be a tick late, and answers a round trip. */
const AHEAD = 1 / 8;

export class KeepAlive {
  /** When the next look is due. */
  lookAt = 0;
  /** Looks in a row at which nothing had been heard. */
  silentLooks = 0;
  /** The look that was last has found that the peer is lost. */
  isLost = false;
  /** Nothing but signs of life has come for a while. */
  isQuiet = false;
  readonly #intervalMillis: number;
  /** Intervals for which a peer may be silent before it is asked. */
  #patience = PATIENT_INTERVALS;
  #mayCalm = false;
  /** At the latest, while something moves. */
  #heardAt = 0;
  /** Since the last look. */
  #hasMoved = false;
  /** A time of this end's own, from which its looks are counted. */
  #turnAt = 0;

  constructor(intervalMillis: number) {
    this.#intervalMillis = intervalMillis;
  }

  /** The connection is up. `random`: from 0 to 1. `mayCalm`: a peer whose process or machine is gone is noticed by other means. */
  begin(now: number, random: number, mayCalm: boolean): void {
    const interval = this.#intervalMillis;
    this.#patience = PATIENT_INTERVALS;
    this.#mayCalm = mayCalm;
    this.#heardAt = now;
    this.#hasMoved = false;
    this.silentLooks = 0;
    this.isLost = false;
    this.isQuiet = interval > 0;
    this.#turnAt = now + interval * (1 + random);
    this.lookAt = this.#turnAt;
  }

  /** There was a sign of life, and nothing that moved; where the connection is not quiet, at some time since the last look. */
  heard(now: number): void {
    const isAnswer = this.silentLooks > 0;
    const silentMillis = now - this.#heardAt;
    this.#heardAt = now;
    this.silentLooks = 0;
    if (!this.isQuiet) return;
    const interval = this.#intervalMillis;
    if (this.#mayCalm && silentMillis > (this.#patience * interval) / 2)
      this.#patience = Math.min(2 * this.#patience, CALM_INTERVALS);
    this.lookAt = now + this.#patience * interval;
    if (!isAnswer) return;
    const period = (this.#patience - AHEAD) * interval;
    this.lookAt = this.#turnAt + Math.floor((this.lookAt - this.#turnAt) / period) * period;
  }

  /** Something has moved at some time since the last look; where the connection was quiet, just now. */
  moved(now: number): void {
    this.#heardAt = now;
    this.#hasMoved = true;
    this.silentLooks = 0;
    if (!this.isQuiet) return;
    this.isQuiet = false;
    this.#patience = PATIENT_INTERVALS;
    const interval = this.#intervalMillis;
    this.lookAt = this.#turnAt + Math.floor((now + interval - this.#turnAt) / interval) * interval;
  }

  /** A look; returns for how many milliseconds the peer has been silent. */
  look(now: number): number {
    const interval = this.#intervalMillis;
    const silentMillis = now - this.#heardAt;
    if (this.#hasMoved || silentMillis < interval / 2) {
      this.#hasMoved = false;
      this.#lookNext(now);
      return silentMillis;
    }
    this.isQuiet = true;
    if (++this.silentLooks === 1) this.#turnAt = this.lookAt;
    const lostAt = this.#heardAt + (this.#patience + 1) * interval;
    this.isLost = this.silentLooks >= SILENT_LOOKS && now >= lostAt;
    // A look that is late says that this process stood still: then there is time.
    const isLate = now - this.lookAt > AHEAD * interval;
    if (isLate || now >= lostAt) this.#lookNext(now);
    else {
      this.lookAt += interval / 2;
      if (this.silentLooks >= SILENT_LOOKS - 1) this.lookAt = Math.max(this.lookAt, lostAt);
    }
    return silentMillis;
  }

  #lookNext(now: number): void {
    const interval = this.#intervalMillis;
    this.lookAt += Math.ceil((now - this.lookAt) / interval + 1 / 2) * interval;
  }
}
