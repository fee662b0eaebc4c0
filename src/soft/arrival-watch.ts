/**
 * Whether the event loop watches the socket. The kernel tells a watcher of every packet, which costs as much as a packet;
 * a driver that looks often by itself does without.
 */
import type { UdpPort } from './udp-port.js';

/** A program that polls so often before the event loop gets a turn is taken to do nothing else. */
const SPINNING_POLLS = 256;
/** Looks in one poll then: the way into the addon and back costs a third of one. */
const SPINNING_LOOKS = 3;

export class ArrivalWatch {
  readonly #port: UdpPort;
  readonly #onTurn = (): void => this.#endSpinning();
  #isWatching = true;
  /** The program polls and lets no event loop turn. */
  #isSpinning = false;
  /** The driver looks in every turn, and finds something. */
  #isBusy = false;
  #polls = 0;

  constructor(port: UdpPort) {
    this.#port = port;
  }

  /** The program polls; returns how often to look in this poll. */
  notePoll(): number {
    if (this.#polls === SPINNING_POLLS) return SPINNING_LOOKS;
    if (++this.#polls === SPINNING_POLLS && this.#port.canPoll) {
      this.#isSpinning = true;
      this.#apply();
      setImmediate(this.#onTurn);
    }
    return 1;
  }

  /** Whether the driver looks at the port in every turn of the event loop, and finds something. */
  setBusy(isBusy: boolean): void {
    this.#isBusy = isBusy;
    this.#apply();
  }

  #endSpinning(): void {
    this.#polls = 0;
    this.#isSpinning = false;
    this.#apply();
  }

  #apply(): void {
    const wants = !this.#isSpinning && !this.#isBusy;
    if (wants === this.#isWatching) return;
    this.#isWatching = wants;
    this.#port.wakeOnArrival(wants);
  }
}
