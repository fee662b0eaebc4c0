/**
 * The event channel of a device's connection manager, and the kernel's ids that tell their events through it.
 *
 * Invariants: the calls of an id run one after the other; none starts once its destruction was asked for, and no event of
 * it is told from then on. An event goes to its owner in the order of the channel; a request to nobody is destroyed, which
 * tells its client.
 */
import {
  CM_FIELDS,
  CM_PRIVATE_DATA_BYTES,
  CmEventType,
  CmField,
  type RdmacmAddon,
} from '../native/rdmacm-addon.js';
import type { AddressVector } from '../verbs/address-handle.js';
import type { Qpn } from '../verbs/brands.js';
import type { CmAddress, CmPeerParameters } from '../verbs/connection-manager.js';
import { type LifeList, ObjectLife } from '../verbs/object-life.js';
import { readAddress, readAddressPort } from './attribute-array.js';
import { ADDRESS_NUMBERS, readSocketAddress } from './rdmacm-address.js';
import { Errno } from './verbs-error.js';

export interface KernelEvent {
  readonly type: number;
  /** A negative errno, a reason of REJ, or a status of SIDR, by type. */
  readonly status: number;
  /** As long as the message has room for it. */
  readonly privateData: Uint8Array;
  readonly parameters: Omit<CmPeerParameters, 'privateData'>;
  /** Of a datagram service. */
  readonly qkey: number;
  readonly av: AddressVector;
  readonly port: number;
  /** Of a CONNECT_REQUEST. */
  readonly request: KernelId | undefined;
}

type OnKernelEvent = (event: KernelEvent) => void;
export type KernelCall = (addon: RdmacmAddon, handle: number) => Promise<number> | undefined;

export class CmChannel {
  readonly addon: RdmacmAddon;
  /** Where ids are counted. */
  readonly #list: LifeList;
  readonly #ids = new Map<number, KernelId>();
  readonly #fields = new Float64Array(CM_FIELDS);
  readonly #privateData = new Uint8Array(CM_PRIVATE_DATA_BYTES);
  /** All that exist, with those that are about to be made or destroyed. */
  readonly #live = new Set<KernelId>();
  #handle = 0;
  #isClosed = false;

  /** The channel, or a negative errno. */
  static async open(addon: RdmacmAddon, list: LifeList): Promise<CmChannel | number> {
    const channel = new CmChannel(addon, list);
    const handle = await addon.openChannel((_type, id) => channel.#onEvent(id));
    if (handle < 0) return handle;
    channel.#handle = handle;
    return channel;
  }

  private constructor(addon: RdmacmAddon, list: LifeList) {
    this.addon = addon;
    this.#list = list;
  }

  /** Its first call makes it; where that fails, all calls fail. */
  createId(portSpace: number, onEvent: OnKernelEvent): KernelId {
    const id = new KernelId(this, this.#list, onEvent, () => this.addon.createId(this.#handle, portSpace));
    this.#live.add(id);
    return id;
  }

  /** Destroys all ids, which tells their peers. Idempotent. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await Promise.all([...this.#live].map((id) => id.destroy()));
    await this.addon.closeChannel(this.#handle);
  }

  /** Waits for those that are being destroyed. */
  async settle(): Promise<void> {
    await Promise.all([...this.#live].filter((id) => id.isEnding).map((id) => id.destroy()));
  }

  /** For ids. */
  name(handle: number, id: KernelId): void {
    this.#ids.set(handle, id);
  }

  /** For ids: no event from now on. */
  silence(handle: number): void {
    this.#ids.delete(handle);
  }

  /** For ids. */
  forget(id: KernelId): void {
    this.#live.delete(id);
  }

  #onEvent(handle: number): void {
    const length = this.addon.takeEvent(this.#handle, this.#fields, this.#privateData);
    if (length === undefined) return;
    const [type, , , listener = 0] = this.#fields;
    if (type !== CmEventType.CONNECT_REQUEST) {
      this.#ids.get(handle)?.onEvent(this.#event(length, undefined));
      return;
    }
    const request = new KernelId(this, this.#list, () => {}, handle);
    this.#live.add(request);
    const owner = this.#isClosed ? undefined : this.#ids.get(listener);
    if (owner === undefined) void request.destroy();
    else owner.onEvent(this.#event(length, request));
  }

  #event(length: number, request: KernelId | undefined): KernelEvent {
    const at = (field: number): number => this.#fields[field] ?? 0;
    const address = this.#fields.subarray(CmField.ADDRESS);
    return {
      type: at(CmField.TYPE),
      status: at(CmField.STATUS),
      privateData: this.#privateData.slice(0, length),
      parameters: {
        // The kernel tells them as this end's answer would have them.
        responderResources: at(CmField.INITIATOR_DEPTH),
        initiatorDepth: at(CmField.RESPONDER_RESOURCES),
        flowControl: at(CmField.FLOW_CONTROL) !== 0,
        retryCount: at(CmField.RETRY_COUNT),
        rnrRetryCount: at(CmField.RNR_RETRY_COUNT),
        srq: at(CmField.SRQ) !== 0,
        qpn: at(CmField.QPN) as Qpn,
      },
      qkey: at(CmField.QKEY),
      av: readAddress(address),
      port: readAddressPort(address),
      request,
    };
  }
}

/** An `rdma_cm_id`. */
export class KernelId {
  /** Gets the events; may change hands. */
  onEvent: OnKernelEvent;
  /** Called before the id is destroyed because its device is closed by force. */
  onForced: () => void = () => {};
  readonly #channel: CmChannel;
  readonly #life: ObjectLife;
  /** Resolves when it has been destroyed. */
  readonly ended: Promise<void>;
  #onEnd: () => void = () => {};
  /** A negative errno when there is none. */
  #handle = 0;

  /** `made`: its handle, or how it is made. */
  constructor(
    channel: CmChannel,
    list: LifeList,
    onEvent: OnKernelEvent,
    made: number | (() => Promise<number>),
  ) {
    this.#channel = channel;
    this.onEvent = onEvent;
    this.#life = new ObjectLife('cmIds', list);
    this.ended = new Promise((resolve) => {
      this.#onEnd = resolve;
    });
    this.#life.owner = {
      close: () => {
        this.onForced();
        return this.destroy();
      },
    };
    if (typeof made === 'number') this.#take(made);
    else void this.#life.run(async () => this.#take(await made()));
  }

  /** Runs a call after those before it. Resolves with what it returned, or a negative errno. */
  async run(call: KernelCall): Promise<number> {
    if (this.#life.closed) return -Errno.ECANCELED;
    return await this.#life.run(async () => {
      if (this.#life.closed) return -Errno.ECANCELED;
      if (this.#handle < 0) return this.#handle;
      return (await call(this.#channel.addon, this.#handle)) ?? -Errno.EINVAL;
    });
  }

  get isEnding(): boolean {
    return this.#life.closed;
  }

  /** The name of its device; empty while it has none. */
  get deviceName(): string {
    return this.#channel.addon.deviceOf(this.#handle) ?? '';
  }

  /** The address of this end, and that of the peer. */
  get addresses(): readonly [local: CmAddress, remote: CmAddress] {
    const numbers = new Float64Array(2 * ADDRESS_NUMBERS);
    this.#channel.addon.addressesOf(this.#handle, numbers);
    return [readSocketAddress(numbers, 0), readSocketAddress(numbers, ADDRESS_NUMBERS)];
  }

  /** After the call that runs; the peer is told where it does not know. Idempotent. */
  destroy(): Promise<void> {
    this.#channel.silence(this.#handle);
    return this.#life.close(async () => {
      this.#channel.silence(this.#handle);
      if (this.#handle > 0) await this.#channel.addon.destroyId(this.#handle);
      this.#channel.forget(this);
      this.#onEnd();
    });
  }

  #take(handle: number): void {
    this.#handle = handle;
    if (handle > 0) this.#channel.name(handle, this);
  }
}
