/** Devices and protection domains (`ibv_context`, `ibv_pd`): the contract that every device implements. */
import type { AddressHandle, AddressVector } from './address-handle.js';
import type { AsyncEvent } from './async-event.js';
import type { CompletionChannel, CompletionQueue, CompletionQueueOptions } from './completion-queue.js';
import type { ConnectionManager } from './connection-manager.js';
import type { MemoryRegion } from './memory-region.js';
import type { MemoryWindow } from './memory-window.js';
import type { PathMtu } from './mtu.js';
import type {
  QueuePair,
  QueuePairOptions,
  SharedReceiveQueue,
  SharedReceiveQueueOptions,
} from './queue-pair.js';

/** `ibv_device_attr`, as far as a program decides by it. 0 and `false` mean that the device does not offer it. */
export interface DeviceAttributes {
  readonly maxQps: number;
  readonly maxQpWr: number;
  readonly maxSge: number;
  readonly maxCqs: number;
  readonly maxCqe: number;
  readonly maxMrs: number;
  readonly maxMrBytes: number;
  readonly maxPds: number;
  readonly maxMws: number;
  readonly maxSrqs: number;
  readonly maxSrqWr: number;
  readonly maxInlineData: number;
  /** READs and atomics that a queue pair can hold as responder, and keep unfinished as requester. */
  readonly maxQpRdAtom: number;
  readonly maxQpInitRdAtom: number;
  readonly atomics: boolean;
  /**
   * Polls in a row that a program should make before it gives the event loop a turn. A device that receives nothing
   * without a turn wants few; for one that does not need the event loop, turns are there for signals and timers only.
   */
  readonly pollsPerTurn: number;
  /** Whether memory is registered at once, for less than it takes to copy it, so that a program may do so for every use. */
  readonly instantRegistration: boolean;
}

/** `ibv_port_attr`. */
export interface PortAttributes {
  readonly state: 'ACTIVE' | 'DOWN';
  readonly activeMtu: PathMtu;
  /** Bytes of the largest message. */
  readonly maxMessageBytes: number;
  readonly linkLayer: 'Ethernet' | 'InfiniBand';
  readonly lid: number;
  /** UDP port that peers must send to. 4791 but for soft devices that share a host. */
  readonly udpPort: number;
  /** Whether nobody but this process can have queue pairs at the port's addresses: it owns the UDP port. */
  readonly isExclusive: boolean;
  /**
   * Whether packets leave with exactly the ICRC that the wire format asks for. `false` where the operating system
   * hides an input of it (the IPv4 identification, over node:dgram): such a device still talks to others of its
   * kind, but standard peers will drop its packets.
   */
  readonly exactIcrc: boolean;
}

export interface GidEntry {
  readonly index: number;
  /** IPv6 text; `::ffff:192.0.2.7` for IPv4. */
  readonly gid: string;
  readonly type: 'IB' | 'RoCE v1' | 'RoCE v2';
}

/** Open objects of a device by kind; reads the same before and after a program that cleans up. */
export interface DeviceCensus {
  readonly pds: number;
  readonly mrs: number;
  readonly mws: number;
  readonly cqs: number;
  readonly channels: number;
  readonly qps: number;
  readonly srqs: number;
  readonly ahs: number;
  /** Connections, requests and listeners of rdma_cm. */
  readonly cmIds: number;
}

export interface CloseOptions {
  /** Close all objects of the device first, those that use others before what they use. Default false. */
  readonly force?: boolean;
}

export interface ProtectionDomain extends AsyncDisposable {
  readonly device: Device;
  readonly closed: boolean;
  /**
   * Registers memory (`ibv_reg_mr`). The buffer is shared, not copied, and kept alive by the region.
   *
   * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT, ERR_RDMA_LIMIT, ERR_RDMA_NO_MEMORY.
   */
  regMr(buffer: Uint8Array | ArrayBuffer | SharedArrayBuffer, access: number): Promise<MemoryRegion>;
  createQp(options: QueuePairOptions): Promise<QueuePair>;
  createSrq(options: SharedReceiveQueueOptions): Promise<SharedReceiveQueue>;
  createAh(av: AddressVector): Promise<AddressHandle>;
  allocMw(): Promise<MemoryWindow>;
  /** @throws RdmaError ERR_RDMA_IN_USE while it has children. Idempotent. */
  close(): Promise<void>;
}

export interface Device extends AsyncDisposable {
  /** As given to `openDevice`, resolved: `soft:127.0.0.1`, `mlx5_0`. */
  readonly name: string;
  /** Of its provider, for reports. What a program decides by is in the attributes. */
  readonly kind: string;
  readonly attributes: DeviceAttributes;
  readonly closed: boolean;
  queryPort(port?: number): Promise<PortAttributes>;
  queryGids(port?: number): Promise<readonly GidEntry[]>;
  allocPd(): Promise<ProtectionDomain>;
  createCq(options: CompletionQueueOptions): Promise<CompletionQueue>;
  createCompletionChannel(): Promise<CompletionChannel>;
  /**
   * The same one for all who ask. Closed with the device.
   *
   * @throws RdmaError ERR_RDMA_NOT_SUPPORTED, ERR_RDMA_NO_LIBRARY or ERR_RDMA_NO_DEVICE, saying what is missing.
   */
  connectionManager(): Promise<ConnectionManager>;
  /**
   * Events of the device, its ports, completion queues and SRQs, and those of all queue pairs; who uses one queue pair
   * listens to it. Returns the function that removes the listener.
   */
  onAsyncEvent(listener: (event: AsyncEvent) => void): () => void;
  census(): DeviceCensus;
  /** Counters by name: packets, bytes, retransmissions, and one per reason for which a packet was dropped. */
  counters(): Readonly<Record<string, number>>;
  /** A device that is open keeps the process alive, unless `unref` was called last. Idempotent both. */
  ref(): this;
  unref(): this;
  /** Adds a comment to the packet capture that the device writes, if it does. */
  annotate(text: string): void;
  /** @throws RdmaError ERR_RDMA_IN_USE while protection domains, queues, channels or connections of rdma_cm are open. Idempotent. */
  close(options?: CloseOptions): Promise<void>;
}
