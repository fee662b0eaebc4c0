/**
 * What the objects of a device need of it, and of the domain that made them. The device makes these objects; they know
 * no more of it than this.
 */
import type { VerbsAddon } from '../native/verbs-addon.js';
import type { AddressVector } from '../verbs/address-handle.js';
import type { CompletionQueue } from '../verbs/completion-queue.js';
import type { Device, ProtectionDomain } from '../verbs/device.js';
import type { LiveObjects } from '../verbs/live-objects.js';
import type { QueuePair, QueuePairEvent, SharedReceiveQueue } from '../verbs/queue-pair.js';
import type { WorkCompletion } from '../verbs/work-completion.js';
import type { RequestBuffer } from './request-buffer.js';

/** A completion queue, to which the device says that it lost completions. */
export interface ListedCq extends CompletionQueue {
  overrun: boolean;
}

export interface ListedQp extends QueuePair {
  /** A completion failed, or the device reported a fatal event. */
  suspect(): void;
  tell(event: QueuePairEvent): void;
}

export interface VerbsContext extends Device {
  readonly addon: VerbsAddon;
  readonly buffer: RequestBuffer;
  readonly live: LiveObjects;
  /** By handle, for events; each object puts itself in and takes itself out. */
  readonly cqs: Map<number, ListedCq>;
  readonly qpHandles: Map<number, ListedQp>;
  readonly srqHandles: Map<number, SharedReceiveQueue>;
  /** By number, for completions. */
  readonly qps: Map<number, ListedQp>;
  readonly checksChecksums: boolean;
  readonly maxSrqSge: number;
  /** @throws RdmaError what the kernel said, or `busy` where something still uses it. */
  destroy(handle: number, what: string, busy?: string): Promise<void>;
  /** The index of the GID to send from. */
  resolveSgid(av: AddressVector, port: number): Promise<number>;
  /** Some devices gather into fewer pieces for a READ than for other requests. */
  checkReadSges(count: number): void;
  onFailedCompletion(completion: WorkCompletion): void;
}

export interface VerbsDomain extends ProtectionDomain {
  readonly device: VerbsContext;
  readonly buffer: RequestBuffer;
}
