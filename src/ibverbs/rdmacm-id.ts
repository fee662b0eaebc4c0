/**
 * A meeting through the kernel's communication manager, and the connection that it leads to.
 *
 * Invariants: events are told in order, each after the calls that it needs; one ending at most, and nothing after `close`.
 * What the kernel does not know any more (the peer gave up first) is no failure of `reject` and `disconnect`.
 */
import { CmEventType } from '../native/rdmacm-addon.js';
import type { Qpn } from '../verbs/brands.js';
import {
  type CmAddress,
  type CmConnectRequest,
  type CmEvent,
  type CmId,
  type CmPeerParameters,
  checkPrivateData,
  type OwnCmParameters,
  PortSpace,
  PrivateDataBytes,
} from '../verbs/connection-manager.js';
import { closedError, usageError } from '../verbs/errors.js';
import { tell } from '../verbs/listeners.js';
import { Asking, type CmContext } from './rdmacm-asking.js';
import type { KernelCall, KernelEvent, KernelId } from './rdmacm-channel.js';
import { checkPorts, connectError, deviceRemoved, peerGone } from './rdmacm-error.js';
import { OwnAddresses } from './rdmacm-own.js';
import { padded, parameterNumbers, peerParameters, readPath } from './rdmacm-path.js';
import { Errno } from './verbs-error.js';

type OnEvent = (event: CmEvent) => void;

/** The manager counts requests and knows their queue pairs. */
export interface RequestOwner {
  onAccept(qpn: Qpn): void;
  /** Rejected or closed. `qpn`: of the queue pair with which it was accepted. */
  onEnd(qpn: Qpn | undefined): void;
}

/** The kernel's word for "the largest that the device can". */
const DEVICE_MAXIMUM = 255;

export class RdmacmId implements CmId {
  readonly #context: CmContext;
  readonly #id: KernelId;
  /** Of the active side. */
  readonly #asking: Asking | undefined;
  /** Of the passive side. */
  readonly #owner: RequestOwner | undefined;
  #listener: OnEvent | undefined;
  /** Told before there was somebody to listen. */
  readonly #early: CmEvent[] = [];
  #events: Promise<unknown> = Promise.resolve();
  #local: CmAddress = { host: '::', port: 0 };
  readonly #remote: CmAddress;
  /** Of the queue pair with which a request was accepted. */
  #qpn: Qpn | undefined;
  #isOver = false;
  #isClosed = false;
  #isDisconnecting = false;

  /** The active side. */
  static connect(context: CmContext, request: CmConnectRequest, onEvent: OnEvent): RdmacmId {
    checkPorts(context.device.name, request);
    checkParameters(context, request, PrivateDataBytes.REQUEST);
    const id = new RdmacmId(context, request, undefined);
    id.#listener = onEvent;
    return id;
  }

  /** The passive side. */
  static request(context: CmContext, id: KernelId, owner: RequestOwner): RdmacmId {
    return new RdmacmId(context, id, owner);
  }

  private constructor(
    context: CmContext,
    from: CmConnectRequest | KernelId,
    owner: RequestOwner | undefined,
  ) {
    this.#context = context;
    this.#owner = owner;
    if ('remote' in from) {
      this.#remote = from.remote;
      this.#asking = new Asking(
        context,
        {
          ...from,
          portSpace: from.portSpace ?? PortSpace.TCP,
          parameters: parameterNumbers(from, from.qpn),
        },
        {
          onAnswer: (event) => this.#handle(event),
          onUnreachable: () => this.#end({ type: 'unreachable' }),
          onFailed: (error) => this.#end({ type: 'failed', error }),
        },
      );
      this.#id = this.#asking.id;
      return;
    }
    this.#id = from;
    this.#asking = undefined;
    this.#remote = from.addresses[1];
    from.onForced = () => this.#end({ type: 'failed', error: closedError(context.device.name) });
    from.onEvent = (event) => {
      this.#events = this.#events.then(() => this.#handle(event));
    };
  }

  get local(): CmAddress {
    if (!this.#id.isEnding) this.#local = this.#id.addresses[0];
    return this.#local;
  }

  get remote(): CmAddress {
    return this.#remote;
  }

  /** For requests: events until now, and from now on. */
  listen(onEvent: OnEvent): void {
    this.#events = this.#events.then(() => {
      this.#listener = onEvent;
      for (const event of this.#early.splice(0)) if (!this.#isClosed) tell(onEvent, event);
    });
  }

  async establish(): Promise<void> {
    this.#checkOpen();
    await this.#answer((addon, handle) => addon.establish(handle));
  }

  async accept(parameters: OwnCmParameters): Promise<void> {
    checkParameters(this.#context, parameters, PrivateDataBytes.REPLY);
    this.#checkOpen();
    const numbers = parameterNumbers(parameters, parameters.qpn);
    this.#qpn = parameters.qpn;
    this.#owner?.onAccept(parameters.qpn);
    await this.#answer((addon, handle) => addon.accept(handle, numbers, parameters.privateData));
  }

  /** The kernel sends reason 28, whatever `reason` is. */
  async reject(_reason: number, privateData: Uint8Array): Promise<void> {
    checkPrivateData(privateData, PrivateDataBytes.REJECT);
    this.#checkOpen();
    this.#owner?.onEnd(this.#qpn);
    await this.#id.run((addon, handle) => addon.reject(handle, privateData));
  }

  async disconnect(): Promise<void> {
    if (this.#isClosed || this.#isDisconnecting) return;
    this.#isDisconnecting = true;
    const result = await this.#id.run((addon, handle) => addon.disconnect(handle));
    // Never connected, or forgotten: no event will come.
    if (result < 0) this.#end({ type: 'disconnected', byPeer: false, answered: false });
  }

  close(): Promise<void> {
    if (!this.#isClosed) {
      this.#isClosed = true;
      this.#owner?.onEnd(this.#qpn);
    }
    return this.#asking === undefined ? this.#id.destroy() : this.#asking.close();
  }

  /** The device has seen a packet of the peer on the queue pair. */
  async notifyEstablished(): Promise<void> {
    await this.#id.run((addon, handle) => addon.notifyEstablished(handle));
  }

  /** Whether it is an answer, or an ending. */
  async #handle(event: KernelEvent): Promise<boolean> {
    switch (event.type) {
      case CmEventType.CONNECT_RESPONSE:
        await this.#onResponse(event);
        return true;
      case CmEventType.ESTABLISHED:
        this.#tell({ type: 'established' });
        return true;
      case CmEventType.REJECTED: {
        const privateData = padded(event.privateData, PrivateDataBytes.REJECT);
        this.#end({ type: 'rejected', reason: event.status, privateData });
        return true;
      }
      case CmEventType.UNREACHABLE:
        this.#end({ type: 'unreachable' });
        return true;
      case CmEventType.DISCONNECTED: {
        const byPeer = !this.#isDisconnecting;
        this.#end({ type: 'disconnected', byPeer, answered: byPeer || event.status === 0 });
        return true;
      }
      case CmEventType.DEVICE_REMOVAL:
        this.#end({ type: 'failed', error: deviceRemoved(this.#context.device.name) });
        return true;
      default:
        // The end of TIMEWAIT, a change of bonding: nothing for a program to do.
        return false;
    }
  }

  async #onResponse(event: KernelEvent): Promise<void> {
    const path = await readPath(this.#id);
    if (typeof path === 'number' || path === undefined) {
      const errno = path === undefined ? Errno.EINVAL : -path;
      const { device } = this.#context;
      const error = connectError(device.name, this.#remote, errno, await OwnAddresses.of(device));
      this.#end({ type: 'failed', error });
      return;
    }
    const peer: CmPeerParameters = peerParameters(event, PrivateDataBytes.REPLY);
    this.#tell({ type: 'response', path, peer });
  }

  #end(event: CmEvent): void {
    if (this.#isOver) return;
    this.#tell(event);
    this.#isOver = true;
  }

  #tell(event: CmEvent): void {
    if (this.#isClosed || this.#isOver) return;
    if (this.#listener === undefined) this.#early.push(event);
    else tell(this.#listener, event);
  }

  async #answer(call: KernelCall): Promise<void> {
    const result = await this.#id.run(call);
    if (result >= 0) return;
    this.#checkOpen();
    throw peerGone(this.#remote, -result);
  }

  #checkOpen(): void {
    if (this.#isClosed) throw closedError('the meeting');
  }
}

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT for what the kernel would refuse without saying why. */
function checkParameters({ device }: CmContext, parameters: OwnCmParameters, mostPrivateData: number): void {
  checkPrivateData(parameters.privateData, mostPrivateData);
  const { maxQpRdAtom, maxQpInitRdAtom } = device.attributes;
  checkDepth('responderResources', parameters.responderResources, maxQpRdAtom, device.name);
  checkDepth('initiatorDepth', parameters.initiatorDepth, maxQpInitRdAtom, device.name);
}

function checkDepth(name: string, value: number, most: number, device: string): void {
  if (value <= most || value === DEVICE_MAXIMUM) return;
  throw usageError(`${name} ${value} is above what ${device} can: ${most}`);
}
