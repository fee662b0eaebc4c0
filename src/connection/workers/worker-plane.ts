/**
 * The data plane of a connection whose data path is in a worker, as its lifeline in the main thread knows it.
 *
 * Invariants: every call is answered, by the worker or because it is lost. What can end without the worker does: its objects
 * went with it. Nothing but plain data is given to the worker.
 */
import type { KeyPair, PeerFault, ProofSeen } from '../../session/session-data.js';
import type { Terms } from '../../session/terms.js';
import { RdmaError } from '../../verbs/errors.js';
import type { PeerPath } from '../../verbs/peer-path.js';
import type {
  DataPlane,
  DataPlaneListener,
  LinkFacts,
  LinkTerms,
  Prepared,
  PrepareOptions,
} from '../data-path/data-plane.js';
import type { CallName, Calls, FromWorker, ToWorker } from './contract.js';

export interface WorkerPlaneOptions {
  /** Number of the connection. */
  readonly id: number;
  readonly post: (message: ToWorker) => void;
  /** This side wants the connection to be encrypted. */
  readonly encrypts: boolean;
}

interface Waiting {
  readonly name: CallName;
  resolve(value: unknown): void;
  reject(error: RdmaError): void;
}

/** These are over when the worker is. */
const ENDINGS: readonly CallName[] = ['answered', 'disconnect', 'destroy', 'revoke'];

export class WorkerPlane implements DataPlane {
  listener: DataPlaneListener | null = null;
  readonly #options: WorkerPlaneOptions;
  readonly #waiting = new Map<number, Waiting>();
  #lastCall = 0;
  #loss: RdmaError | undefined;

  constructor(options: WorkerPlaneOptions) {
    this.#options = options;
  }

  prepare({ reachedAt, end }: PrepareOptions): Promise<Prepared> {
    // A copy of what it sees: the memory of a Buffer may hold more.
    return this.ask('prepare', { reachedAt, end: { role: end.role, secret: new Uint8Array(end.secret) } });
  }

  peerFault(peer: PeerPath, sessionAddress: string): Promise<PeerFault | undefined> {
    return this.ask('peerFault', { peer, sessionAddress });
  }

  connect(link: LinkTerms): Promise<LinkFacts> {
    const { own, peer, terms } = link;
    const isEncrypted = this.#options.encrypts || terms.encryption !== undefined;
    const keys = isEncrypted
      ? { messages: copied(link.keys.messages), memory: copied(link.keys.memory) }
      : NO_KEYS;
    return this.ask('connect', { own, peer, terms, keys });
  }

  prove(terms: Terms): Promise<void> {
    return this.ask('prove', terms);
  }

  open(terms: Terms): Promise<void> {
    return this.ask('open', terms);
  }

  answered(): Promise<void> {
    return this.ask('answered', null);
  }

  disconnect(cause: RdmaError): Promise<number | undefined> {
    return this.ask('disconnect', cause.toJSON());
  }

  beat(): void {
    this.#options.post({ type: 'tell', id: this.#options.id, what: 'beat' });
  }

  askProgram(): void {
    this.#options.post({ type: 'tell', id: this.#options.id, what: 'askProgram' });
  }

  quit(): void {
    this.#options.post({ type: 'tell', id: this.#options.id, what: 'quit' });
  }

  bye(): void {
    this.#options.post({ type: 'tell', id: this.#options.id, what: 'bye' });
  }

  tellClose(code: number): void {
    if (this.#loss === undefined) this.#options.post({ type: 'tell-close', id: this.#options.id, code });
    else this.listener?.onCloseTold();
  }

  endReceiving(): void {
    this.#options.post({ type: 'tell', id: this.#options.id, what: 'endReceiving' });
  }

  destroy(error: RdmaError | undefined, peerReceived?: number): Promise<number | undefined> {
    return this.ask('destroy', { error: error?.toJSON(), peerReceived });
  }

  ask<Name extends CallName>(name: Name, value: Parameters<Calls[Name]>[0]): ReturnType<Calls[Name]> {
    return new Promise<unknown>((resolve, reject) => {
      const waiting = { name, resolve, reject };
      if (this.#loss !== undefined) {
        settleWithout(waiting, this.#loss);
        return;
      }
      const call = ++this.#lastCall;
      this.#waiting.set(call, waiting);
      this.#options.post({ type: 'ask', id: this.#options.id, call, name, value });
    }) as ReturnType<Calls[Name]>;
  }

  /** What the worker says of this connection. */
  onMessage(message: FromWorker): void {
    const { listener } = this;
    switch (message.type) {
      case 'answer':
        this.#take(message.call)?.resolve(message.value);
        break;
      case 'refusal':
        this.#take(message.call)?.reject(RdmaError.fromJSON(message.error));
        break;
      case 'proof':
        listener?.onProofSeen({ sent: message.sent, arrived: message.arrived } satisfies ProofSeen);
        break;
      case 'link-failed':
        listener?.onLinkFailure(RdmaError.fromJSON(message.error));
        break;
      case 'quit':
        listener?.onQuit();
        break;
      case 'quit-done':
        listener?.onQuitDone();
        break;
      case 'held':
        listener?.onHeld(message.isHeld);
        break;
      case 'bye':
        listener?.onBye();
        break;
      case 'bye-done':
        listener?.onByeDone();
        break;
      case 'peer-close':
        listener?.onPeerClose(message.code);
        break;
      case 'close-told':
        listener?.onCloseTold();
        break;
      case 'queue-pair':
        listener?.onQueuePair(message.queuePair);
    }
  }

  /** The worker is no more. */
  lose(error: RdmaError): void {
    this.#loss = error;
    for (const waiting of this.#waiting.values()) settleWithout(waiting, error);
    this.#waiting.clear();
    this.listener?.onQueuePair(null);
  }

  #take(call: number): Waiting | undefined {
    const waiting = this.#waiting.get(call);
    this.#waiting.delete(call);
    return waiting;
  }
}

function settleWithout({ name, resolve, reject }: Waiting, error: RdmaError): void {
  if (ENDINGS.includes(name)) resolve(undefined);
  else if (name === 'progress') resolve(null);
  else if (name === 'counters') resolve({});
  else reject(error);
}

const copied = ({ own, peer }: KeyPair): KeyPair => ({
  own: { key: new Uint8Array(own.key), iv: new Uint8Array(own.iv) },
  peer: { key: new Uint8Array(peer.key), iv: new Uint8Array(peer.iv) },
});

const NOTHING = new Uint8Array(0);
const NO_KEY = { own: { key: NOTHING, iv: NOTHING }, peer: { key: NOTHING, iv: NOTHING } };
/** Of a connection in clear nobody looks at them. */
const NO_KEYS = { messages: NO_KEY, memory: NO_KEY };
