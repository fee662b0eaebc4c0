/**
 * The passive side of a meeting (`rdma_listen`, `rdma_accept`, `rdma_reject`): requests of clients, each of which the program
 * accepts with a queue pair or rejects.
 *
 * Invariants: a request is answered once; those that the program never took are rejected when the server closes, and those
 * that it has stay its own.
 */
import {
  type CmAddress,
  type CmEvent,
  type CmParameters,
  type CmPeerParameters,
  type CmListenOptions as CmPlace,
  type CmRequest,
  NO_DATA,
  PrivateDataBytes,
  RejectReason,
} from '../verbs/connection-manager.js';
import type { Device } from '../verbs/device.js';
import { RdmaError } from '../verbs/errors.js';
import type { QueuePair } from '../verbs/queue-pair.js';
import { CmConnection } from './cm-connection.js';
import { checkPrivateData, lostError, rejectedError, silentClientError } from './cm-errors.js';
import { checkAccept, checkListen, checkReject } from './cm-rules.js';
import { serviceOf } from './cm-service.js';
import { Mailbox } from './mailbox.js';
import {
  bringUp,
  freshQueuePairOf,
  inMeetingOf,
  prepare,
  serverDepths,
  takeDown,
} from './meeting-queue-pair.js';
import type {
  CmAcceptOptions,
  CmDatagramListenOptions,
  CmListenOptions,
  CmRejectOptions,
} from './options.js';
import { FOR_EVER, Patience } from './patience.js';
import { RequestServer, type Waiting } from './request-server.js';

const DEFAULT_RETRIES = 7;
/** Twice as many as one address can have unfinished. */
const DEFAULT_BACKLOG = 256;

/**
 * Listens for clients on a port of rdma_cm, which is no TCP port, or for a service ID. Whoever can send packets to the device can ask: rdma_cm
 * proves nobody's name (docs/threat-model.md).
 *
 * @throws RdmaError ERR_RDMA_ADDRESS, ERR_RDMA_NOT_SUPPORTED, ERR_RDMA_INVALID_ARGUMENT, each with what to do.
 */
export async function listen(device: Device, options: CmListenOptions = {}): Promise<CmServer> {
  checkListen(device, options);
  const place = placeOf(options);
  const manager = await device.connectionManager();
  const server = new CmServer(place.backlog);
  const wanted = { ...place, ...serviceOf(options) };
  const listener = await manager.listen(wanted, (request) => server.offer(new CmIncoming(device, request)));
  server.open(listener);
  return server;
}

/** The addresses that stand for all of them are none of the device's own. */
export function placeOf({ host, port = 0, backlog = DEFAULT_BACKLOG }: CmDatagramListenOptions): CmPlace {
  const isAll = host === undefined || host === '0.0.0.0' || host === '::';
  return { host: isAll ? null : host, port, backlog };
}

/** Its requests are {@link CmIncoming}. */
export class CmServer extends RequestServer<CmIncoming> {}

/** A client asks for a connection: accept or reject it. */
export class CmIncoming implements Waiting {
  readonly local: CmAddress;
  /** Where the client says that it is, which nothing proves. */
  readonly remote: CmAddress;
  /** Of the client's program: 56 bytes, or 92 to a service ID; zeros after what it wrote. */
  readonly privateData: Uint8Array;
  readonly peer: CmParameters & Pick<CmPeerParameters, 'qpn'>;
  readonly #device: Device;
  readonly #request: CmRequest;
  readonly #mailbox = new Mailbox<CmEvent>();
  #isAnswered = false;
  #ending: CmEvent | undefined;
  #onGone = (): void => {};

  /** @internal */
  constructor(device: Device, request: CmRequest) {
    const { privateData, ...parameters } = request.peer;
    this.#device = device;
    this.#request = request;
    this.local = { ...request.id.local };
    this.remote = { ...request.id.remote };
    this.privateData = privateData;
    this.peer = parameters;
    request.onEvent((event) => {
      this.#mailbox.push(event);
      if (event.type === 'established') return;
      this.#ending ??= event;
      // The program that answers it later hears why it is over; until then nothing of it is kept.
      if (!this.#isAnswered) void request.id.close().catch(() => {});
      this.#onGone();
    });
  }

  /** The client does not wait any more. */
  get isGone(): boolean {
    return this.#ending !== undefined;
  }

  /**
   * Brings the queue pair up and tells the client (`rdma_accept`). Resolves when the client has confirmed it, or its first
   * packet has come. Depths become what both devices can hold.
   *
   * @throws RdmaError ERR_RDMA_CONNECTION_LOST when the client has given up, ERR_RDMA_UNREACHABLE when it is not heard any
   * more, ERR_RDMA_ABORTED, ERR_RDMA_INVALID_STATE, ERR_RDMA_IN_USE, ERR_RDMA_INVALID_ARGUMENT. A request whose queue pair
   * cannot be brought up is rejected.
   */
  async accept(options: CmAcceptOptions): Promise<CmConnection> {
    checkAccept(options);
    const { qp: given, privateData = NO_DATA, signal } = options;
    checkPrivateData(privateData, PrivateDataBytes.REPLY, 'accept');
    const qp = freshQueuePairOf(this.#device, given);
    const patience = new Patience(`accept of the client at ${this.remote.host}`, FOR_EVER, signal);
    try {
      this.#begin();
      return await inMeetingOf(qp, () => this.#meet(qp, options, patience));
    } finally {
      patience.end();
    }
  }

  /** A queue pair that was not needed is left in INIT, or as it was. */
  async #meet(qp: QueuePair, options: CmAcceptOptions, patience: Patience): Promise<CmConnection> {
    const { id } = this.#request;
    try {
      this.#checkThere();
      await prepare(qp, this.#device.attributes);
      this.#checkThere();
      return await this.#bringUp(qp, options, patience);
    } catch (error) {
      if (!this.isGone) await id.reject(RejectReason.CONSUMER, NO_DATA).catch(() => {});
      await id.close();
      throw error;
    }
  }

  async #bringUp(qp: QueuePair, options: CmAcceptOptions, patience: Patience): Promise<CmConnection> {
    const { privateData = NO_DATA, rnrRetryCount = DEFAULT_RETRIES } = options;
    const { id, path, peer } = this.#request;
    const depths = serverDepths(this.#device, path, options);
    try {
      await bringUp(options.qp, path, depths);
      patience.check();
      const own = { ...depths, rnrRetryCount, retryCount: peer.retryCount, flowControl: false };
      await id.accept({ ...own, qpn: qp.qpn, srq: qp.srq !== null, privateData });
      const event = await patience.untilAborted(this.#mailbox.next());
      if (event.type !== 'established') throw this.#endingError(event);
      return new CmConnection({ id, qp, peer, depths, mailbox: this.#mailbox });
    } catch (error) {
      await takeDown(qp);
      throw error;
    }
  }

  /** Says no (`rdma_reject`). @throws RdmaError ERR_RDMA_INVALID_STATE when it was answered before, ERR_RDMA_INVALID_ARGUMENT. */
  async reject(options: CmRejectOptions = {}): Promise<void> {
    checkReject(options);
    const { reason = RejectReason.CONSUMER, privateData = NO_DATA } = options;
    checkPrivateData(privateData, PrivateDataBytes.REJECT, 'reject');
    this.#begin();
    const { id } = this.#request;
    try {
      if (!this.isGone) await id.reject(reason, privateData);
    } finally {
      await id.close();
    }
  }

  /** @internal */
  watch(onGone: () => void): void {
    this.#onGone = onGone;
    if (this.isGone) onGone();
  }

  /** @internal */
  async abandon(): Promise<void> {
    if (!this.#isAnswered) await this.reject().catch(() => {});
  }

  #begin(): void {
    if (this.#isAnswered) {
      throw new RdmaError('ERR_RDMA_INVALID_STATE', 'the request was answered already: each gets one answer');
    }
    this.#isAnswered = true;
  }

  /** @throws RdmaError when the client does not wait any more. */
  #checkThere(): void {
    if (this.#ending !== undefined) throw this.#endingError(this.#ending);
  }

  #endingError(event: CmEvent): RdmaError {
    switch (event.type) {
      case 'failed':
        return event.error;
      case 'unreachable':
        return silentClientError(this.remote);
      case 'rejected':
        return event.reason === RejectReason.TIMEOUT
          ? lostError(`the client at ${this.remote.host} has given up: answer sooner`)
          : rejectedError(this.remote, event.reason, event.privateData);
      default:
        return lostError(
          `the client at ${this.remote.host} ended the connection before it began: wait for its next request`,
        );
    }
  }
}
