/**
 * A connection in its worker: the data path, the program's `Connection`, and what the two say to the main thread.
 *
 * Invariants: what is told of it comes there in the order in which it happened; when it has ended nothing of it is left.
 */
import { ProcessHold } from '../../process-hold.js';
import type { Device } from '../../verbs/device.js';
import { asRdmaError, RdmaError, thrownText, toPlainError } from '../../verbs/errors.js';
import { StepReporter } from '../common/steps.js';
import { DataPath } from '../data-path/data-path.js';
import type { QueuePairStatus } from '../data-path/data-plane.js';
import type { SessionEnds } from '../lifeline/connection-life.js';
import { Connection } from '../program/connection.js';
import { watchConnection } from '../program/connection-watch.js';
import { type ConnectionHandler, serveBy } from '../program/handler.js';
import type { DataPathLimits } from '../terms/options.js';
import type { CallName, Calls, Counted, FromWorker, Served, Told, ToWorker } from './contract.js';
import type { SignsOfLife } from './signs-of-life.js';
import { WorkerLife } from './worker-life.js';

export interface WorkedConnectionOptions {
  readonly id: number;
  readonly limits: DataPathLimits;
  readonly device: Device;
  readonly handler: ConnectionHandler;
  readonly revealPsns: boolean;
  readonly signs: SignsOfLife;
  readonly post: (message: FromWorker) => void;
}

export class WorkedConnection {
  readonly #options: WorkedConnectionOptions;
  readonly #dataPath: DataPath;
  readonly #answers: Calls;
  #life: WorkerLife | undefined;
  #connection: Connection | undefined;
  #lentMemory: Uint8Array = new Uint8Array(0);
  #queuePair: QueuePairStatus | null = null;

  constructor(options: WorkedConnectionOptions) {
    this.#options = options;
    const { id, limits, device, revealPsns, signs } = options;
    const reporter = new StepReporter(id, ({ name, details }) =>
      this.#post({ type: 'step', id, name, details }),
    );
    const dataPath = new DataPath(device, limits, reporter, revealPsns);
    this.#dataPath = dataPath;
    this.#answers = this.#callsOf(dataPath);
    dataPath.listener = {
      onLinkFailure: (error) => this.#post({ type: 'link-failed', id, error: error.toJSON() }),
      onProgress: () => signs.progress(id),
      onSignOfLife: () => signs.heard(id),
      onSpoken: () => signs.spoken(id),
      onProofSeen: ({ sent, arrived }) => this.#post({ type: 'proof', id, sent, arrived }),
      onQuit: () => this.#post({ type: 'quit', id }),
      onQuitDone: () => this.#post({ type: 'quit-done', id }),
      onHeld: (isHeld) => this.#post({ type: 'held', id, isHeld }),
      onBye: () => this.#post({ type: 'bye', id }),
      onByeDone: () => this.#post({ type: 'bye-done', id }),
      onPeerClose: (code) => this.#post({ type: 'peer-close', id, code }),
      onCloseTold: () => this.#post({ type: 'close-told', id }),
      onQueuePair: (queuePair) => this.#onQueuePair(queuePair),
    };
  }

  /** What the program has done so far; `undefined` before it has the connection. */
  get counted(): Counted | undefined {
    const connection = this.#connection;
    if (connection === undefined) return undefined;
    const { recoveries: _, ...counted } = connection.statistics;
    return counted;
  }

  onMessage(message: Exclude<ToWorker, { type: 'begin' | 'close' | 'operations' }>): void {
    switch (message.type) {
      case 'ask':
        this.#answer(message.call, message.name, message.value);
        break;
      case 'tell':
        this.#onTold(message.what);
        break;
      case 'tell-close':
        this.#dataPath.tellClose(message.code);
        break;
      case 'serve':
        this.#serve(message.served);
        break;
      case 'reconnecting':
        this.#onReconnecting(RdmaError.fromJSON(message.cause));
        break;
      case 'reconnected':
        this.#onReconnected(message.ends);
        break;
      case 'parted':
        if (this.#life !== undefined) this.#life.session = 'left';
        break;
      case 'ended':
        this.#life?.end(message.error && RdmaError.fromJSON(message.error));
    }
  }

  /** What came before it is told before it. */
  #post(message: FromWorker): void {
    this.#options.signs.flush();
    this.#options.post(message);
  }

  #callsOf(dataPath: DataPath): Calls {
    return {
      prepare: async (options) => {
        const prepared = await dataPath.prepare(options);
        this.#lentMemory = prepared.memory;
        return prepared;
      },
      peerFault: ({ peer, sessionAddress }) => dataPath.peerFault(peer, sessionAddress),
      connect: (link) => dataPath.connect(link),
      prove: (terms) => dataPath.prove(terms),
      open: (terms) => dataPath.open(terms),
      answered: () => dataPath.answered(),
      disconnect: (cause) => dataPath.disconnect(RdmaError.fromJSON(cause)),
      destroy: ({ error, peerReceived }) => this.#destroy(error && RdmaError.fromJSON(error), peerReceived),
      progress: () => dataPath.progress(),
      counters: () => dataPath.counters(),
      revoke: ({ id, reason }) => dataPath.revoke(id, reason),
    };
  }

  #answer(call: number, name: CallName, value: unknown): void {
    const { id } = this.#options;
    const answer = this.#answers[name] as (value: unknown) => Promise<unknown>;
    answer(value).then(
      (result) => this.#post({ type: 'answer', id, call, value: result }),
      (error: unknown) => {
        const refusal = asRdmaError(error, `${name} failed in the worker`);
        this.#post({ type: 'refusal', id, call, error: refusal.toJSON() });
      },
    );
  }

  #onTold(what: Told): void {
    switch (what) {
      case 'beat':
        this.#dataPath.beat();
        break;
      case 'askProgram':
        this.#dataPath.askProgram();
        break;
      case 'quit':
        if (this.#life !== undefined) this.#life.isEnding = true;
        this.#dataPath.quit();
        break;
      case 'bye':
        this.#dataPath.bye();
        break;
      case 'endReceiving':
        this.#dataPath.endReceiving();
        break;
      case 'closeProgram':
        void this.#connection?.close();
        break;
      case 'endProgramReceiving':
        this.#connection?.endReceiving();
    }
  }

  async #destroy(error: RdmaError | undefined, peerReceived?: number): Promise<number> {
    if (this.#life !== undefined) this.#life.isEnding = true;
    try {
      return await this.#dataPath.destroy(error, peerReceived);
    } finally {
      const { counted } = this;
      if (counted !== undefined) this.#post({ type: 'counted', id: this.#options.id, counted });
    }
  }

  #onQueuePair(queuePair: QueuePairStatus | null): void {
    this.#queuePair = queuePair;
    if (this.#life !== undefined) this.#life.queuePair = queuePair;
    this.#post({ type: 'queue-pair', id: this.#options.id, queuePair });
  }

  #onReconnecting(cause: RdmaError): void {
    const life = this.#life;
    if (life === undefined) return;
    if (life.session === 'left') life.session = 'lost';
    life.listener?.onReconnecting(cause);
  }

  #onReconnected(ends: SessionEnds): void {
    const life = this.#life;
    if (life === undefined) return;
    life.rendezvous = ends;
    life.session = 'open';
    life.listener?.onReconnected();
  }

  #serve(served: Served): void {
    const { id, limits, handler } = this.#options;
    const post = (message: FromWorker): void => this.#post(message);
    const life = new WorkerLife({
      id,
      served,
      lentMemory: this.#lentMemory,
      queuePair: this.#queuePair,
      post,
    });
    this.#life = life;
    const note = { side: 'server', server: served.server, connection: id } as const;
    // The server holds the process, and the port the worker.
    const owner = { hold: new ProcessHold(false), note };
    const connection = new Connection(id, life, this.#dataPath, limits, owner);
    this.#connection = connection;
    this.#tellGrants(connection);
    serveBy(handler, connection, (_, error) => post({ type: 'mistake', id, error: plainMistake(error) }));
  }

  #tellGrants(connection: Connection): void {
    const { id } = this.#options;
    watchConnection(connection, {
      onGranted: ({ id: grant, rights, remote, expires }) => {
        const range = { addr: remote.addr, rkey: remote.rkey, length: remote.length };
        const expiresAtMillis = expires?.getTime() ?? null;
        this.#post({ type: 'granted', id, grant: { id: grant, rights, range, expiresAtMillis } });
      },
      onRevoked: ({ id: grant }, reason) => this.#post({ type: 'revoked', id, grant, reason }),
    });
  }
}

/** What a handler throws may be anything. */
const plainMistake = (error: unknown): ReturnType<typeof toPlainError> =>
  toPlainError(error instanceof Error ? error : new Error(thrownText(error)));
