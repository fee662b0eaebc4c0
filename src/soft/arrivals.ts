/**
 * The datagrams that a port has for its owner, where it does not read them from a ring: descriptions that are used again
 * for every batch, so that nothing is allocated for a datagram once a batch of that size was there.
 */
import { copyDatagram, Datagram } from '../roce/datagram.js';

export class Arrivals {
  readonly #datagrams: Datagram[] = [];
  #count = 0;

  /** How many there are. */
  get count(): number {
    return this.#count;
  }

  /** The owner is done with what was there. */
  clear(): void {
    this.#count = 0;
  }

  /** Adds a datagram; its bytes must stay as they are until `clear`. */
  add(datagram: Datagram): void {
    let place = this.#datagrams[this.#count];
    if (place === undefined) {
      place = new Datagram();
      this.#datagrams.push(place);
    }
    copyDatagram(datagram, place);
    this.#count++;
  }

  read(index: number, into: Datagram): void {
    copyDatagram(this.#datagrams[index] as Datagram, into);
  }
}
