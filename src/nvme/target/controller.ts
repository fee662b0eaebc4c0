/**
 * One host's controller of one subsystem: its properties, its keep-alive timer, the event requests that it holds, and the queues
 * that belong to it. It has no clock: the time is an argument.
 *
 * Invariants: it is ready only while the host has enabled it with the sizes that exist; once it has failed it stays so. What it
 * holds for a host is bounded.
 */
import { NVME_VERSION, Property } from '../wire/opcodes.js';
import { DO_NOT_RETRY, Status } from '../wire/status.js';
import { LIMITS } from './limits.js';
import type { Subsystem } from './subsystem.js';

const CAP_TIMEOUT_HALF_SECONDS = 15;
const CAP_CONTIGUOUS_QUEUES = 1 << 16;
/** The NVM command set. */
const CAP_HIGH = 1 << 5;

const CC_ENABLE = 1 << 0;
/** Command set, page size and arbitration: only 0 exists. */
const CC_ONLY_ZERO = 0x3ff0;
const CC_SHUTDOWN = 0xc000;
const CC_SQ_ENTRY_SHIFT = 16;
const CC_CQ_ENTRY_SHIFT = 20;
const SQ_ENTRY_LOG2 = 6;
const CQ_ENTRY_LOG2 = 4;

const CSTS_READY = 1 << 0;
const CSTS_FATAL = 1 << 1;
const CSTS_SHUTDOWN_RUNNING = 1 << 2;
const CSTS_SHUTDOWN_DONE = 2 << 2;
const CSTS_SHUTDOWN_BITS = 3 << 2;

/** What the driver has to do when a property was set. */
export type PropertyEffect = 'none' | 'disable' | 'shut-down';

export interface ControllerInit {
  readonly id: number;
  readonly subsystem: Subsystem;
  readonly hostNqn: string;
  readonly hostId: string;
  /** 0: the host may be silent for ever. */
  readonly keepAliveMillis: number;
  readonly queueEntries: number;
  readonly ioQueues: number;
  readonly nowMillis: number;
}

export class Controller {
  readonly id: number;
  readonly subsystem: Subsystem;
  readonly hostNqn: string;
  readonly hostId: string;
  /** I/O queues that the host has been granted, at most. */
  readonly ioQueues: number;
  readonly queueEntries: number;
  /** I/O queues that are connected. */
  readonly queueIds = new Set<number>();
  asyncEventMask = 0;
  #keepAliveMillis: number;
  #heardMillis: number;
  #configuration = 0;
  #status = 0;
  #heldEvents = 0;

  constructor(init: ControllerInit) {
    this.id = init.id;
    this.subsystem = init.subsystem;
    this.hostNqn = init.hostNqn;
    this.hostId = init.hostId;
    this.ioQueues = init.ioQueues;
    this.queueEntries = init.queueEntries;
    this.#keepAliveMillis = 0;
    this.#heardMillis = init.nowMillis;
    this.keepAliveMillis = init.keepAliveMillis;
  }

  get isReady(): boolean {
    return (this.#status & (CSTS_READY | CSTS_FATAL)) === CSTS_READY;
  }

  get hasFailed(): boolean {
    return (this.#status & CSTS_FATAL) !== 0;
  }

  get keepAliveMillis(): number {
    return this.#keepAliveMillis;
  }

  /** Rounded up to the unit that hosts are told of. */
  set keepAliveMillis(millis: number) {
    const wanted = millis === 0 && this.subsystem.isDiscovery ? LIMITS.discoveryKeepAliveMillis : millis;
    const unit = LIMITS.keepAliveUnitMillis;
    this.#keepAliveMillis = Math.ceil(wanted / unit) * unit;
  }

  /** The host has sent something: any command counts. */
  heard(nowMillis: number): void {
    this.#heardMillis = nowMillis;
  }

  isSilent(nowMillis: number): boolean {
    return this.#keepAliveMillis > 0 && nowMillis - this.#heardMillis > this.#keepAliveMillis;
  }

  /** Something of its queues is broken beyond a single command. */
  fail(): void {
    this.#status |= CSTS_FATAL;
  }

  /** Returns whether one more event request can be held. */
  holdEvent(): boolean {
    if (this.#heldEvents === LIMITS.asyncEvents) return false;
    this.#heldEvents++;
    return true;
  }

  /** The two halves of a property, or the status that says why there is none. `isWide`: 8 bytes were asked for. */
  getProperty(offset: number, isWide: boolean): { low: number; high: number } | number {
    switch (offset) {
      case Property.CAP:
        if (!isWide) return Status.INVALID_FIELD | DO_NOT_RETRY;
        return {
          low: ((CAP_TIMEOUT_HALF_SECONDS << 24) | CAP_CONTIGUOUS_QUEUES | (this.queueEntries - 1)) >>> 0,
          high: CAP_HIGH,
        };
      case Property.VS:
        return isWide ? Status.INVALID_FIELD | DO_NOT_RETRY : { low: NVME_VERSION, high: 0 };
      case Property.CC:
        return isWide ? Status.INVALID_FIELD | DO_NOT_RETRY : { low: this.#configuration, high: 0 };
      case Property.CSTS:
        return isWide ? Status.INVALID_FIELD | DO_NOT_RETRY : { low: this.#status, high: 0 };
      default:
        return Status.INVALID_FIELD | DO_NOT_RETRY;
    }
  }

  /** What follows, or the status that says why nothing does. Only CC can be set. */
  setProperty(offset: number, isWide: boolean, value: number): PropertyEffect | number {
    if (offset !== Property.CC || isWide) return Status.INVALID_FIELD | DO_NOT_RETRY;
    const before = this.#configuration;
    this.#configuration = value;
    const isEnabled = (value & CC_ENABLE) !== 0;
    const wasEnabled = (before & CC_ENABLE) !== 0;
    if (isEnabled && !wasEnabled) this.#enable(value);
    if ((value & CC_SHUTDOWN) !== 0 && (before & CC_SHUTDOWN) === 0) {
      this.#status = (this.#status & ~CSTS_SHUTDOWN_BITS) | CSTS_SHUTDOWN_RUNNING;
      return 'shut-down';
    }
    if (!isEnabled && wasEnabled) {
      this.#status &= ~(CSTS_READY | CSTS_SHUTDOWN_BITS);
      return 'disable';
    }
    return 'none';
  }

  /** What was written before it was asked to shut down survives now. */
  shutDownDone(): void {
    if ((this.#status & CSTS_SHUTDOWN_BITS) !== CSTS_SHUTDOWN_RUNNING) return;
    this.#status = (this.#status & ~(CSTS_SHUTDOWN_BITS | CSTS_READY)) | CSTS_SHUTDOWN_DONE;
  }

  #enable(value: number): void {
    const sizesFit =
      ((value >>> CC_SQ_ENTRY_SHIFT) & 0xf) === SQ_ENTRY_LOG2 &&
      ((value >>> CC_CQ_ENTRY_SHIFT) & 0xf) === CQ_ENTRY_LOG2;
    // A discovery controller has no I/O queues, and hosts may leave their sizes out.
    const fits = (sizesFit || this.subsystem.isDiscovery) && (value & CC_ONLY_ZERO) === 0;
    this.#status |= fits ? CSTS_READY : CSTS_FATAL;
    if (fits) this.#status &= ~CSTS_SHUTDOWN_BITS;
  }
}
