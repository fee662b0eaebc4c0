/**
 * The connection manager of a device of the operating system: the kernel's (`rdma_cm`), through librdmacm. Queue pairs
 * stay this process's own, on the device's context; the kernel is told their numbers.
 *
 * Invariant: one event channel a device, whose end destroys every id, so that no peer is left without word.
 */
import {
  type CmConnectRequest,
  type CmDatagramEvent,
  type CmDatagramLookup,
  type CmDatagramRequest,
  type CmEvent,
  type CmId,
  type CmListener,
  type CmListenOptions,
  type CmRequest,
  type CmService,
  type ConnectionManager,
  PortSpace,
  PrivateDataBytes,
} from '../verbs/connection-manager.js';
import { closedError } from '../verbs/errors.js';
import { tell } from '../verbs/listeners.js';
import type { CmContext } from './rdmacm-asking.js';
import { CmChannel, type KernelEvent, type KernelId } from './rdmacm-channel.js';
import { lookUpDatagram, RdmacmDatagramRequest } from './rdmacm-datagram.js';
import { checkPorts, noManager } from './rdmacm-error.js';
import { RdmacmId } from './rdmacm-id.js';
import { rdmacmLibrary } from './rdmacm-library.js';
import { listenAt } from './rdmacm-listening.js';
import { peerParameters, readPath } from './rdmacm-path.js';
import type { VerbsContext } from './verbs-context.js';

export class RdmacmManager implements ConnectionManager {
  readonly #context: CmContext;
  /** Of connections whose queue pair is known, by its number. */
  readonly #meetings = new Map<number, RdmacmId>();
  readonly #stopWatching: () => void;
  #isClosed = false;

  /** @throws RdmaError ERR_RDMA_NO_LIBRARY or ERR_RDMA_NO_DEVICE, saying what is missing. */
  static async open(device: VerbsContext): Promise<RdmacmManager> {
    const channel = await CmChannel.open(rdmacmLibrary(), device.live);
    if (typeof channel === 'number') throw noManager(device.name, -channel);
    return new RdmacmManager({ device, channel });
  }

  private constructor(context: CmContext) {
    this.#context = context;
    // The kernel sees no packets of the queue pair, so it has to be told of the first.
    this.#stopWatching = context.device.onAsyncEvent((event) => {
      if (event.type === 'COMM_EST') void this.#meetings.get(event.qp.qpn)?.notifyEstablished();
    });
  }

  connect(request: CmConnectRequest, onEvent: (event: CmEvent) => void): CmId {
    this.#checkOpen();
    return RdmacmId.connect(this.#context, request, onEvent);
  }

  async listen(
    options: CmListenOptions & CmService,
    onRequest: (request: CmRequest) => void,
  ): Promise<CmListener> {
    this.#checkOpen();
    checkPorts(this.#context.device.name, options);
    const { portSpace = PortSpace.TCP } = options;
    return listenAt(this.#context, portSpace, options, (event, id, release) =>
      this.#onRequest(event, id, release, onRequest),
    );
  }

  lookUp(request: CmDatagramLookup, onEvent: (event: CmDatagramEvent) => void): () => void {
    this.#checkOpen();
    return lookUpDatagram(this.#context, request, onEvent);
  }

  listenDatagram(
    options: CmListenOptions,
    onRequest: (request: CmDatagramRequest) => void,
  ): Promise<CmListener> {
    this.#checkOpen();
    const { device } = this.#context;
    return listenAt(this.#context, PortSpace.UDP, options, async (event, id, release) =>
      tell(onRequest, new RdmacmDatagramRequest(device.name, id, event, release)),
    );
  }

  /** Waits for ids that are being destroyed: they are nobody's any more. */
  settle(): Promise<void> {
    return this.#context.channel.settle();
  }

  /** With the device. Idempotent. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#stopWatching();
    await this.#context.channel.close();
  }

  async #onRequest(
    event: KernelEvent,
    kernelId: KernelId,
    release: () => void,
    onRequest: (request: CmRequest) => void,
  ): Promise<void> {
    const path = await readPath(kernelId);
    if (typeof path === 'number' || path === undefined) {
      release();
      await kernelId.destroy();
      return;
    }
    const id = RdmacmId.request(this.#context, kernelId, {
      onAccept: (qpn) => {
        release();
        this.#meetings.set(qpn, id);
      },
      onEnd: (qpn) => {
        release();
        if (qpn !== undefined && this.#meetings.get(qpn) === id) this.#meetings.delete(qpn);
      },
    });
    const peer = peerParameters(event, PrivateDataBytes.REQUEST);
    tell(onRequest, { id, peer, path, onEvent: (listener) => id.listen(listener) });
  }

  #checkOpen(): void {
    if (this.#isClosed) throw closedError('the connection manager');
  }
}
