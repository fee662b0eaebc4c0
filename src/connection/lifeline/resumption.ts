/**
 * The connections of a server that may come back over a new session. Each has a secret token, which its client got over
 * the first one; the new session names it, and must show the same certificate.
 */
import { randomBytes } from 'node:crypto';
import type { PeerIdentity } from '../../session/peer-identity.js';
import { RdmaError } from '../../verbs/errors.js';
import type { Lifeline } from './lifeline.js';
import type { Rendezvous } from './rendezvous.js';

const TOKEN_BYTES = 32;
/** Of so many connections that are over it is known why, for their clients who have not heard it. */
const MOST_REASONS = 256;

/** Where the sessions of one connection arrive. */
export class ResumePoint {
  readonly token = randomBytes(TOKEN_BYTES).toString('hex');
  lifeline: Lifeline | null = null;
  #offered: Rendezvous | undefined;
  #taker: ((rendezvous: Rendezvous) => void) | undefined;

  /** A new session of the client is here. */
  offer(rendezvous: Rendezvous): void {
    this.#offered?.drop(superseded());
    this.#offered = rendezvous;
    this.#hand();
    this.lifeline?.supersede();
  }

  /** @throws RdmaError ERR_RDMA_TIMEOUT when the signal aborts before the next session is there. */
  next(signal: AbortSignal): Promise<Rendezvous> {
    return new Promise((resolve, reject) => {
      const stop = (): void => {
        this.#taker = undefined;
        reject(
          new RdmaError('ERR_RDMA_TIMEOUT', 'the client did not come back within the time for recovery'),
        );
      };
      if (signal.aborted) {
        stop();
        return;
      }
      signal.addEventListener('abort', stop, { once: true });
      this.#taker = (rendezvous) => {
        signal.removeEventListener('abort', stop);
        resolve(rendezvous);
      };
      this.#hand();
    });
  }

  /** The connection is over: a client that came too late for it learns so at once, and `reason`, where it must know. */
  end(reason?: RdmaError): void {
    if (reason !== undefined) {
      this.#offered?.fail(reason, reason.message);
      this.#offered = undefined;
      return;
    }
    const message = 'the connection ended before this session could take it up';
    const error = new RdmaError('ERR_RDMA_CONNECTION_LOST', message, { refusal: 'resumption' });
    this.#offered?.fail(error, message);
    this.#offered = undefined;
  }

  #hand(): void {
    if (this.#offered === undefined || this.#taker === undefined) return;
    const rendezvous = this.#offered;
    const taker = this.#taker;
    this.#offered = undefined;
    this.#taker = undefined;
    taker(rendezvous);
  }
}

const superseded = (): RdmaError =>
  new RdmaError('ERR_RDMA_CONNECTION_LOST', 'the client came back over yet another session');

/** Why a connection ended, for the client who has this certificate. */
interface Reason {
  readonly error: RdmaError;
  readonly fingerprint256: string | undefined;
}

export class Resumptions {
  readonly #points = new Map<string, ResumePoint>();
  /** By token, those that ended last at the end. */
  readonly #reasons = new Map<string, Reason>();

  create(): ResumePoint {
    const point = new ResumePoint();
    this.#points.set(point.token, point);
    return point;
  }

  /** `error`: why the connection ended. A client that did not hear that its packets do not come through hears it when it comes back. */
  delete(point: ResumePoint, error: RdmaError | undefined): void {
    this.#points.delete(point.token);
    const reason = error?.code === 'ERR_RDMA_UNREACHABLE' ? error : undefined;
    point.end(reason);
    if (reason === undefined) return;
    const fingerprint256 = point.lifeline?.rendezvous.peer?.fingerprint256;
    this.#reasons.set(point.token, { error: reason, fingerprint256 });
    const [oldest] = this.#reasons.keys();
    if (this.#reasons.size > MOST_REASONS && oldest !== undefined) this.#reasons.delete(oldest);
  }

  /** Why the connection of this token ended, where its client must know; told once. */
  takeReason(token: string, peer: PeerIdentity | null): RdmaError | undefined {
    const reason = this.#reasons.get(token);
    if (reason === undefined || reason.fingerprint256 !== peer?.fingerprint256) return undefined;
    this.#reasons.delete(token);
    return reason.error;
  }

  /** Gives the session to the connection that it names; `false` when there is none that it may have. */
  resume(token: string, rendezvous: Rendezvous): boolean {
    const point = this.#points.get(token);
    const lifeline = point?.lifeline ?? null;
    if (point === undefined || lifeline === null || lifeline.isOver) return false;
    if (lifeline.rendezvous.peer?.fingerprint256 !== rendezvous.peer?.fingerprint256) return false;
    point.offer(rendezvous);
    return true;
  }

  /** The connection that never was up, and waits in case that its client, who has this certificate, was. */
  awaiting(peer: PeerIdentity | null): Lifeline | undefined {
    for (const { lifeline } of this.#points.values()) {
      if (lifeline === null || lifeline.hasBeenUp || !lifeline.isAbsent) continue;
      if (lifeline.rendezvous.peer?.fingerprint256 === peer?.fingerprint256) return lifeline;
    }
    return undefined;
  }

  /** Nobody comes any more: connections that never were up are given up. */
  close(error: RdmaError): void {
    for (const { lifeline } of [...this.#points.values()]) {
      if (lifeline?.hasBeenUp === false) lifeline.abort(error);
    }
  }

  /** The oldest connection whose client is gone; its place may be given away. */
  absentee(): Lifeline | undefined {
    for (const { lifeline } of this.#points.values()) {
      if (lifeline?.isAbsent === true) return lifeline;
    }
    return undefined;
  }
}
