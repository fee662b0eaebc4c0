/** The steps of a connection's life, in their order, for those who want to watch. */
import { tell } from '../../verbs/listeners.js';

export const StepName = {
  TLS: 'tls',
  PSN_EXCHANGED: 'psn-exchanged',
  OBJECTS_CREATED: 'objects-created',
  PARAMETERS_EXCHANGED: 'parameters-exchanged',
  INIT: 'init',
  RTR: 'rtr',
  RTS: 'rts',
  RECEIVES_POSTED: 'receives-posted',
  READY: 'ready',
  SESSION_LEFT: 'session-left',
  RECOVERING: 'recovering',
  RECOVERED: 'recovered',
  QUIT: 'quit',
  MEMORY_DEREGISTERED: 'memory-deregistered',
  QP_DESTROYED: 'qp-destroyed',
  CQS_DESTROYED: 'cqs-destroyed',
  PD_DEALLOCATED: 'pd-deallocated',
  TLS_CLOSED: 'tls-closed',
  SLOT_FREED: 'slot-freed',
} as const;
export type StepName = (typeof StepName)[keyof typeof StepName];

export interface ConnectionStep {
  /** Number of the connection, unique in its server or process. */
  readonly connection: number;
  readonly name: StepName;
  /** Milliseconds since the connection began (server: accepted; client: connecting). */
  readonly atMillis: number;
  readonly details: Readonly<Record<string, string | number>>;
}

/** Reports steps of one connection. */
export class StepReporter {
  readonly connection: number;
  readonly #listener: ((step: ConnectionStep) => void) | undefined;
  readonly #startedAt = performance.now();

  constructor(connection: number, listener: ((step: ConnectionStep) => void) | undefined) {
    this.connection = connection;
    this.#listener = listener;
  }

  report(name: StepName, details: Readonly<Record<string, string | number>> = {}): void {
    const atMillis = performance.now() - this.#startedAt;
    if (this.#listener !== undefined)
      tell(this.#listener, { connection: this.connection, name, atMillis, details });
  }
}
