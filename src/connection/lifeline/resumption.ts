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

  /** The connection is over: a client that came too late for it learns so at once. */
  end(): void {
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

export class Resumptions {
  readonly #points = new Map<string, ResumePoint>();

  create(): ResumePoint {
    const point = new ResumePoint();
    this.#points.set(point.token, point);
    return point;
  }

  delete(point: ResumePoint): void {
    this.#points.delete(point.token);
    point.end();
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
