/**
 * A connection that rdma_cm brought up: the queue pair is in RTS, and data goes over it as over any other. This object knows
 * who the peer is, asks for the end, and tells of it.
 *
 * Invariants: when `ended` resolves, the queue pair is in ERR or closed, and the device has forgotten the connection. A
 * failure of the data path is told by completions, not here: rdma_cm does not watch over its peers.
 */
import type {
  CmAddress,
  CmEvent,
  CmId,
  CmParameters,
  CmPeerParameters,
} from '../verbs/connection-manager.js';
import { asRdmaError } from '../verbs/errors.js';
import type { QueuePair } from '../verbs/queue-pair.js';
import { checkDisconnect } from './cm-rules.js';
import type { Mailbox } from './mailbox.js';
import { type CmDepths, takeDown } from './meeting-queue-pair.js';
import type { CmDisconnectOptions } from './options.js';
import { rejectReasonName } from './reject-reasons.js';

/** Why a connection ended, as plain data. */
export type CmEnding =
  /** One of the two asked for it. `answered`: false when this end asked and the peer said nothing. */
  | { readonly type: 'disconnected'; readonly byPeer: boolean; readonly answered: boolean }
  /** The peer could not go on after all. */
  | {
      readonly type: 'rejected';
      readonly reason: number;
      readonly name: string;
      readonly privateData: Uint8Array;
    }
  /** The device lost the way to the peer. */
  | { readonly type: 'unreachable' }
  /** This end: the device was closed, or has failed. */
  | { readonly type: 'failed'; readonly code: string; readonly message: string };

/** A peer that does not answer is forgotten then. */
const DISCONNECT_MILLIS = 10_000;

interface ConnectionInit {
  readonly id: CmId;
  readonly qp: QueuePair;
  readonly peer: CmPeerParameters;
  readonly depths: CmDepths;
  readonly mailbox: Mailbox<CmEvent>;
}

export class CmConnection implements AsyncDisposable {
  /** In RTS until the connection ends. It stays its owner's, who closes it. */
  readonly qp: QueuePair;
  /** Of the peer's program, as many bytes as the message has room for: zeros after what it wrote. */
  readonly privateData: Uint8Array;
  readonly peer: CmParameters & Pick<CmPeerParameters, 'qpn'>;
  /** READs and atomics of either end, as the device can hold them and the peer was told. */
  readonly depths: CmDepths;
  readonly local: CmAddress;
  readonly remote: CmAddress;
  /** Why it ended. Never rejects. */
  readonly ended: Promise<CmEnding>;
  readonly #id: CmId;
  #tellEnd: (ending: CmEnding) => void = () => {};
  #isEnding = false;
  #isAsked = false;

  /** @internal Made by `connect` and `CmIncoming.accept`. */
  constructor({ id, qp, peer, depths, mailbox }: ConnectionInit) {
    const { privateData, ...parameters } = peer;
    this.#id = id;
    this.qp = qp;
    this.privateData = privateData;
    this.peer = parameters;
    this.depths = depths;
    this.local = { ...id.local };
    this.remote = { ...id.remote };
    this.ended = new Promise((resolve) => {
      this.#tellEnd = resolve;
    });
    mailbox.handTo((event) => this.#onEvent(event));
  }

  /**
   * Asks the peer for the end (`rdma_disconnect`). The queue pair goes to ERR first, so that what is posted flushes: wait
   * for your completions before. Resolves as `ended` does, at the latest after `timeoutMillis`.
   * Idempotent: the options of the first call count.
   *
   * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT for options that cannot be; then nothing has happened.
   */
  async disconnect(options: CmDisconnectOptions = {}): Promise<CmEnding> {
    checkDisconnect(options);
    if (!this.#isAsked && !this.#isEnding) {
      this.#isAsked = true;
      await takeDown(this.qp);
      const { timeoutMillis = DISCONNECT_MILLIS } = options;
      const timer = setTimeout(() => this.#end(UNANSWERED), timeoutMillis);
      this.ended.then(() => clearTimeout(timer));
      this.#id.disconnect().catch((error: unknown) => this.#end(failed(error)));
    }
    return this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.disconnect();
  }

  #onEvent(event: CmEvent): void {
    switch (event.type) {
      case 'disconnected':
        this.#end({ type: 'disconnected', byPeer: event.byPeer, answered: event.answered });
        break;
      case 'rejected': {
        const { reason, privateData } = event;
        this.#end({ type: 'rejected', reason, name: rejectReasonName(reason), privateData });
        break;
      }
      case 'unreachable':
        this.#end({ type: 'unreachable' });
        break;
      case 'failed':
        this.#end(failed(event.error));
        break;
      default:
    }
  }

  /** Once: the first event says why. */
  async #end(ending: CmEnding): Promise<void> {
    if (this.#isEnding) return;
    this.#isEnding = true;
    await takeDown(this.qp);
    // The peer that asked waits for an answer.
    if (ending.type === 'disconnected' && ending.byPeer) await this.#id.disconnect().catch(() => {});
    await this.#id.close().catch(() => {});
    this.#tellEnd(ending);
  }
}

const UNANSWERED: CmEnding = { type: 'disconnected', byPeer: false, answered: false };

function failed(error: unknown): CmEnding {
  const { code, message } = asRdmaError(error, 'the connection could not be ended');
  return { type: 'failed', code, message };
}
