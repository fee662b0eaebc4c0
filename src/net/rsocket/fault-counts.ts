/** Counts what peers do wrong, by name, so that a program can watch it; the connection of each has ended. */
import { RdmaError, type RdmaErrorCode } from '../../verbs/errors.js';
import type { RsocketFault } from './rsocket-fault.js';

export class FaultCounts {
  readonly #counts = new Map<RsocketFault | RdmaErrorCode, number>();

  /** Counts it and makes the error that the program gets. */
  count(fault: RsocketFault, host: string): RdmaError {
    this.add(fault);
    return new RdmaError(
      'ERR_RDMA_PROTOCOL',
      `the program at ${host} does not keep to the rsocket protocol (${fault}): the connection was ended`,
    );
  }

  /** A client that was not accepted; of one that broke the protocol the fault was counted. */
  countFailure({ code }: RdmaError): void {
    if (code !== 'ERR_RDMA_PROTOCOL') this.add(code);
  }

  add(name: RsocketFault | RdmaErrorCode): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
  }

  snapshot(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#counts);
  }
}
