/**
 * A client that was admitted, and what it holds until its connection has ended. It is all that a server keeps of a connection that
 * is up: no function waits for the end, as thousands of them would take more memory than what they wait for.
 */
import type { RdmaError } from '../../verbs/errors.js';
import type { StepReporter } from '../common/steps.js';
import type { DataPlane } from '../data-path/data-plane.js';
import type { LifelineOptions } from '../lifeline/lifeline.js';
import type { Rendezvous } from '../lifeline/rendezvous.js';
import type { ResumePoint } from '../lifeline/resumption.js';
import type { Connection } from '../program/connection.js';
import type { ConnectionWatch } from '../program/connection-watch.js';
import type { RecoveryLimits } from '../terms/options.js';
import type { Admitted } from './admission.js';

/** The connection of a client has ended, and everything of that is freed. */
export type OnClientClosed = (
  client: ServedClient,
  connection: Connection,
  error: RdmaError | undefined,
) => unknown;

export class ServedClient implements ConnectionWatch, LifelineOptions {
  /** Until it is up: then its lifeline has the present one. */
  rendezvous: Rendezvous | null;
  readonly admitted: Admitted;
  readonly reporter: StepReporter;
  readonly point: ResumePoint;
  readonly limits: RecoveryLimits;
  /** From when it has a place. */
  dataPath!: DataPlane;
  /** `null` until it is up. */
  connection: Connection | null = null;
  /** Why it came to nothing, or ended. */
  failure: RdmaError | undefined;
  /** It holds nothing any more. */
  isReleased = false;
  readonly #onClosed: OnClientClosed;

  constructor(
    onClosed: OnClientClosed,
    rendezvous: Rendezvous,
    admitted: Admitted,
    reporter: StepReporter,
    point: ResumePoint,
    limits: RecoveryLimits,
  ) {
    this.#onClosed = onClosed;
    this.rendezvous = rendezvous;
    this.admitted = admitted;
    this.reporter = reporter;
    this.point = point;
    this.limits = limits;
  }

  // --- what its lifeline asks for -------------------------------------------------------------------------------------

  get resumeToken(): string {
    return this.point.token;
  }

  nextRendezvous(signal: AbortSignal): Promise<Rendezvous> {
    return this.point.next(signal);
  }

  async turn(signal: AbortSignal): Promise<void> {
    await this.admitted.rates?.turn(signal);
  }

  // --- what its connection tells --------------------------------------------------------------------------------------

  onClosed(error: RdmaError | undefined): void {
    if (this.connection !== null) this.#onClosed(this, this.connection, error);
  }
}
