/** Counts what peers do wrong, by name, so that a program can watch it; the connection of each has ended. */
import { RdmaError } from '../../verbs/errors.js';
import type { RsocketFault } from './rsocket-fault.js';

export class FaultCounts {
  readonly #counts = new Map<RsocketFault, number>();

  /** Counts it and makes the error that the program gets. */
  count(fault: RsocketFault, host: string): RdmaError {
    this.#counts.set(fault, (this.#counts.get(fault) ?? 0) + 1);
    return new RdmaError(
      'ERR_RDMA_PROTOCOL',
      `the program at ${host} does not keep to the rsocket protocol (${fault}): the connection was ended`,
    );
  }

  snapshot(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#counts);
  }
}
