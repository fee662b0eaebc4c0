/**
 * A connection whose program is in a worker, as the main thread sees it: who it is of, how it is, and its end. What a
 * handler does with a connection, its handler does in the worker.
 */
import { RdmaError } from '../../verbs/errors.js';
import { announce } from '../../verbs/listeners.js';
import type { QueuePairProgress } from '../../verbs/queue-pair.js';
import type { ProgramPlane } from '../data-path/data-plane.js';
import type { Lifeline } from '../lifeline/lifeline.js';
import { RemoteBuffer } from '../memory/remote-buffer.js';
import { Connection, type ConnectionOwner, type ConnectionStatistics } from '../program/connection.js';
import { tellWatches } from '../program/connection-watch.js';
import { Grant } from '../program/grant.js';
import type { DataPathLimits } from '../terms/options.js';
import type { Counted, GrantNote, Told } from './contract.js';
import { Question } from './question.js';
import type { WorkerPlane } from './worker-plane.js';

export interface DistantConnectionOptions {
  readonly id: number;
  readonly lifeline: Lifeline;
  readonly plane: WorkerPlane;
  readonly limits: DataPathLimits;
  readonly owner: ConnectionOwner;
  readonly tell: (what: Told) => void;
}

interface Given {
  readonly grant: Grant;
  end(reason: string): void;
}

export class DistantConnection extends Connection {
  readonly #options: DistantConnectionOptions;
  readonly #grants = new Map<number, Given>();
  #counted: Counted = {
    messagesSent: 0,
    messagesReceived: 0,
    bytesSent: 0,
    bytesReceived: 0,
    writes: 0,
    reads: 0,
  };

  constructor(options: DistantConnectionOptions) {
    const { id, lifeline, plane, limits, owner, tell } = options;
    super(id, lifeline, distantPlane(plane, tell), limits, owner);
    this.#options = options;
  }

  /** As the worker told last: within half a second. */
  override get statistics(): ConnectionStatistics {
    const { recoveries } = super.statistics;
    return { ...this.#counted, recoveries };
  }

  /** Streams of the program in the worker give first what was written to them. */
  override close(): Promise<void> {
    const { lifeline, tell } = this.#options;
    if (!lifeline.isEnding) tell('closeProgram');
    return super.close();
  }

  count(counted: Counted): void {
    this.#counted = counted;
  }

  grantedInWorker({ id, rights, range, expiresAtMillis }: GrantNote): void {
    let end = (_reason: string): void => {};
    const ended = new Promise<string>((resolve) => {
      end = resolve;
    });
    const grant = new Grant({
      id,
      rights,
      remote: new RemoteBuffer(range.addr, range.rkey, range.length),
      expires: expiresAtMillis === null ? undefined : new Date(expiresAtMillis),
      ended,
      revoke: (reason) => this.#options.plane.ask('revoke', { id, reason }),
    });
    this.#grants.set(id, { grant, end });
    tellWatches(this, (watch) => watch.onGranted?.(grant));
    announce(() => this.emit('granted', grant));
  }

  revokedInWorker(id: number, reason: string): void {
    const given = this.#grants.get(id);
    if (given === undefined) return;
    this.#grants.delete(id);
    tellWatches(this, (watch) => watch.onRevoked?.(given.grant, reason));
    announce(() => this.emit('revoked', given.grant, reason));
    given.end(reason);
  }

  /** With the worker its grants are over. */
  lose(reason: string): void {
    for (const id of [...this.#grants.keys()]) this.revokedInWorker(id, reason);
  }
}

const elsewhere = (): RdmaError =>
  new RdmaError(
    'ERR_RDMA_INVALID_STATE',
    'the handler in a worker has this connection: send, receive, read, write, grant and open streams there',
  );

/** What can be asked for from here, and what cannot. */
const distantPlane = (plane: WorkerPlane, tell: (what: Told) => void): ProgramPlane => {
  const refuse = async (): Promise<never> => {
    throw elsewhere();
  };
  const refuseNow = (): never => {
    throw elsewhere();
  };
  const progress = new Question<QueuePairProgress | null>(() => plane.ask('progress', null), null);
  const counters = new Question<Readonly<Record<string, number>>>(() => plane.ask('counters', null), {});
  return {
    programListener: null,
    grant: refuse,
    revoke: refuse,
    send: refuse,
    withdraw: refuse,
    receive: (waiter) => waiter.reject(elsewhere()),
    forget: refuse,
    transfer: refuse,
    cancel: refuse,
    allocate: refuse,
    progress: () => progress.answer(),
    counters: () => counters.answer(),
    endReceiving: () => tell('endProgramReceiving'),
    listenToStreams() {},
    openStream: refuseNow,
    writeStream: refuse,
    endStream: refuse,
    resetStream() {},
    readStream() {},
    holdQuit() {},
  };
};
