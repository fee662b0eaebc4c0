/**
 * When a connection looks after its peer, and how long it has heard nothing then.
 *
 * While something moves, an end looks once in an interval whether anything has come; when it came, it does not ask, as reading the
 * clock for every packet would cost too much. A look that finds nothing sends a message that holds nothing. Its arrival is a sign
 * of life for one end and its acknowledgement for the other, and from then on the connection is quiet: the few signs that come are noted with
 * their time, and put the next look off. An end is patient for two intervals at first, and for twice as long after each sign that breaks a
 * silence, up to eight intervals, until something moves. The ends take turns: who has heard a message sends the next one, a little before its
 * patience is over, and the other end would only then. So one message in that time serves both, and each hears what the other's program says.
 *
 * Invariants: a peer of which nothing was heard for as long as an end is patient is asked, and taken for lost an interval later, but only
 * when it has left two looks unanswered, however long nothing was heard: a process that stood still has heard nobody, whoever spoke. A
 * look that comes late moves none of those behind it, and the first comes at any time of an interval. So connections that came up
 * together, or were late together because their process stood still, do not look together, and thousands of them make no burst of messages.
 */
import { CALM_INTERVALS } from '../terms/options.js';

/** Silent intervals after which a peer is asked at first. */
const PATIENT_INTERVALS = 2;
/** Looks in a row at which a peer that is lost was silent. */
const SILENT_LOOKS = 3;
/** By which part of an interval the end whose turn it is comes first: timers may be late (timer-wheel.ts), and answers take a round trip. */
const AHEAD = 1 / 4;
/** The part of its patience for which an end has heard nothing, at least, when a sign makes it more patient: turns come early. */
const CALMING_SHARE = 3 / 8;

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
  /** At the latest, while something moves. */
  #heardAt = 0;
  /** Since the last look. */
  #hasMoved = false;
  /** A time of this end's own, from which its looks are counted. */
  #turnAt = 0;

  constructor(intervalMillis: number) {
    this.#intervalMillis = intervalMillis;
  }

  /** How long a peer may be silent before it is asked. */
  get patienceMillis(): number {
    return this.#patience * this.#intervalMillis;
  }

  /** The connection is up. `random`: from 0 to 1. */
  begin(now: number, random: number): void {
    const interval = this.#intervalMillis;
    this.#patience = PATIENT_INTERVALS;
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
    if (silentMillis > CALMING_SHARE * this.patienceMillis)
      this.#patience = Math.min(2 * this.#patience, CALM_INTERVALS);
    const patientUntil = now + this.patienceMillis;
    this.lookAt = this.#lastTurn(patientUntil + (isAnswer ? AHEAD : -AHEAD) * interval);
  }

  /** Something has moved at some time since the last look; where the connection was quiet, just now. */
  moved(now: number): void {
    this.#heardAt = now;
    this.#hasMoved = true;
    this.silentLooks = 0;
    if (!this.isQuiet) return;
    this.isQuiet = false;
    this.#patience = PATIENT_INTERVALS;
    this.lookAt = this.#lastTurn(now + this.#intervalMillis);
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
    // A look that is later than its timer may be says that this process stood still: then there is time.
    const isLate = now - this.lookAt > AHEAD * interval;
    if (isLate || now >= lostAt) this.#lookNext(now);
    else {
      this.lookAt += interval / 2;
      if (this.silentLooks >= SILENT_LOOKS - 1) this.lookAt = Math.max(this.lookAt, lostAt);
    }
    return silentMillis;
  }

  /** This end's last time until then. */
  #lastTurn(until: number): number {
    const interval = this.#intervalMillis;
    return this.#turnAt + Math.floor((until - this.#turnAt) / interval) * interval;
  }

  #lookNext(now: number): void {
    const interval = this.#intervalMillis;
    this.lookAt += Math.ceil((now - this.lookAt) / interval + 1 / 2) * interval;
  }
}
