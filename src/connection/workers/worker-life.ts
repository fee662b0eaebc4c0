/**
 * The life of a connection as its program in a worker sees it: what the main thread told last. What the program wants of it, it
 * asks for there.
 */
import type { Terms } from '../../session/terms.js';
import type { RdmaError } from '../../verbs/errors.js';
import type { QueuePairStatus } from '../data-path/data-plane.js';
import type {
  ConnectionLife,
  LifelineListener,
  SessionEnds,
  SessionState,
} from '../lifeline/connection-life.js';
import { EndPromise } from '../lifeline/end-promise.js';
import type { FromWorker, Served } from './contract.js';

export interface WorkerLifeOptions {
  readonly id: number;
  readonly served: Served;
  readonly lentMemory: Uint8Array;
  readonly queuePair: QueuePairStatus | null;
  readonly post: (message: FromWorker) => void;
}

export class WorkerLife implements ConnectionLife {
  listener: LifelineListener | null = null;
  rendezvous: SessionEnds;
  session: SessionState;
  lentMemory: Uint8Array;
  queuePair: QueuePairStatus | null;
  isEnding = false;
  readonly peerTerms: Terms;
  readonly isEncrypted: boolean;
  readonly #options: WorkerLifeOptions;
  readonly #end = new EndPromise();

  constructor(options: WorkerLifeOptions) {
    const { served, lentMemory, queuePair } = options;
    this.#options = options;
    this.rendezvous = served.ends;
    this.session = served.session;
    this.peerTerms = served.terms;
    this.isEncrypted = served.isEncrypted;
    this.lentMemory = lentMemory;
    this.queuePair = queuePair;
  }

  get closed(): Promise<RdmaError | undefined> {
    return this.#end.promise;
  }

  async close(): Promise<void> {
    if (!this.isEnding) {
      this.isEnding = true;
      this.#options.post({ type: 'close', id: this.#options.id });
    }
    await this.closed;
  }

  abort(error: RdmaError): void {
    this.isEnding = true;
    this.#options.post({ type: 'abort', id: this.#options.id, error: error.toJSON() });
  }

  /** Everything is freed. */
  end(error: RdmaError | undefined): void {
    this.isEnding = true;
    this.session = 'lost';
    this.lentMemory = NO_MEMORY;
    this.#end.come(error);
    this.listener?.onClosed(error);
  }
}

const NO_MEMORY = new Uint8Array(0);
