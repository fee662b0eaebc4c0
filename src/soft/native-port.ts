/**
 * A UDP port over the native addon: batches leave in one system call, gathered from the memory that they name, and
 * come in by one, with every ICRC computed and checked there. Packets are exact on the wire over IPv4 and IPv6.
 *
 * As `shm` it exchanges packets with ports of the same kind, user and host through rings in memory (native/ring_hub.h), and
 * with all others by UDP. What comes through a ring counts as verified: nobody but its writer could have changed it.
 *
 * Invariants:
 * - The addon is given memory of a region only while that is all there: it holds nothing of it after `send`.
 * - After `close` nothing is told and nothing arrives.
 */
import { performance } from 'node:perf_hooks';
import { getSystemErrorName } from 'node:util';
import type { UdpAddon, UdpCounters } from '../native/udp-addon.js';
import {
  ADDRESS_INTS,
  CallField,
  ReadyFlag,
  RecordField,
  SLOT_BYTES,
  SLOT_RECORDS,
} from '../native/udp-addon.js';
import { ProcessHold } from '../process-hold.js';
import type { Datagram } from '../roce/datagram.js';
import type { Flow } from '../roce/flow.js';
import type { Region } from '../roce/memory/region.js';
import type { TransmitBatch } from '../roce/transmit-batch.js';
import { copyAddress, formatIp, UdpAddress } from '../verbs/address.js';
import { explainBindError } from './bind-error.js';
import { LinkWatch } from './link-watch.js';
import type { PortListener, UdpPort } from './udp-port.js';

/** Bursts that one system call takes. */
const SLOTS = 32;
const CONGESTION_EXPERIENCED = 3;
/** Times that the addon is told the time, so that once nothing comes between. */
const ALIGNMENTS = 16;
// As constants of this file, which compiled code has no need to look up for every packet.
const { PORT, BATCH, COUNT, LOOKS, RESULT, MAY_HAVE_MORE, DOUBLE_LOOKED_AT } = CallField;
const { OFFSET, LENGTH, IS_VERIFIED, TRAFFIC_CLASS, HOP_LIMIT, SOURCE_NUMBER, SOURCE, SOURCE_PORT, INTS } =
  RecordField;

export class NativePort implements UdpPort {
  readonly kind: 'native' | 'shm';
  readonly canPoll = true;
  readonly exactIcrc = true;
  readonly joinsRuns = true;
  readonly address = new UdpAddress();
  readonly link: LinkWatch;
  listener: PortListener | null = null;
  // Never a small integer, so that its place never changes.
  lookedMicros = Number.NEGATIVE_INFINITY;
  mayHaveMore = false;
  readonly #addon: UdpAddon;
  // The addon has so many functions that it is a dictionary, in which each use would look them up.
  readonly #sendBatch: () => void;
  readonly #receiveRecords: () => void;
  readonly giveWay: () => void;
  // Numbers that begin as numbers stay small integers for compiled code.
  readonly #port: number = 0;
  readonly #hold: ProcessHold;
  readonly #ring = new Uint8Array(SLOTS * SLOT_BYTES);
  readonly #records = new Int32Array(SLOTS * SLOT_RECORDS * INTS);
  /** Shared by all ports of this thread: what a call leaves there is read at once. */
  readonly #call: Int32Array;
  readonly #callDoubles: Float64Array;
  /** The description that was written last, and what the addon calls the source that is in it. */
  #described: Datagram | null = null;
  #sourceNumber = 0;
  readonly #batches = new WeakMap<TransmitBatch, NativeBatch>();
  #lastBatch: NativeBatch | null = null;
  #blocked = false;
  #closed = false;
  #finalCounters: Readonly<Record<string, number>> | null = null;
  // The addon's tables must not grow with every region and flow that ever was.
  readonly #regions = new FinalizationRegistry<number>((handle) => {
    if (!this.#closed) this.#addon.removeRegion(this.#port, handle);
  });
  readonly #flows = new FinalizationRegistry<AddonFlow>((known) => {
    if (!this.#closed) this.#forgetFlow(known);
  });
  /** By what they are: packets of many queue pairs to one peer are of one flow, so that the addon can join them. */
  readonly #flowsByFields = new Map<string, AddonFlow>();

  /**
   * Binds `address` (port 0 = any free one).
   *
   * @throws RdmaError ERR_RDMA_ADDRESS when the address is not of this machine or the port is taken.
   */
  static open(address: UdpAddress, addon: UdpAddon, kind: 'native' | 'shm' = 'native'): NativePort {
    return new NativePort(address, addon, kind);
  }

  private constructor(address: UdpAddress, addon: UdpAddon, kind: 'native' | 'shm') {
    this.kind = kind;
    this.#addon = addon;
    this.#sendBatch = addon.send;
    this.#receiveRecords = addon.receive;
    this.giveWay = addon.giveWay;
    this.#call = new Int32Array(addon.call);
    this.#callDoubles = new Float64Array(addon.call);
    for (let i = 0; i < ALIGNMENTS; i++) addon.alignClock(performance.now());
    const fields = new Int32Array(ADDRESS_INTS);
    writeAddress(fields, 0, address);
    const onReady = (flags: number) => this.#onReady(flags);
    const wantsRings = kind === 'shm' ? 1 : 0;
    const port = addon.openPort(fields, this.#ring, this.#records, onReady, wantsRings) ?? 0;
    if (port <= 0) throw explainBindError(systemError(-port), address);
    this.#port = port;
    copyAddress(address, this.address);
    this.address.port = fields[ADDRESS_INTS - 1] as number;
    this.link = new LinkWatch(formatIp(address));
    this.#hold = new ProcessHold();
  }

  get writable(): boolean {
    return !this.#blocked && !this.#closed;
  }

  send(batch: TransmitBatch): void {
    if (this.#closed) return;
    const last = this.#lastBatch;
    const native = last !== null && last.batch === batch ? last : this.#findBatch(batch);
    for (let i = 0; i < batch.count; i++) {
      const flow = batch.flow[i] as Flow;
      native.flow[i] = flow.port === this ? flow.portHandle : this.#addFlow(flow);
    }
    for (let i = 0; i < batch.segmentCount; i++) {
      const region = batch.segmentRegion[i] as Region;
      native.region[i] = region.port === this ? region.portHandle : this.#addRegion(region);
      // The addon would read memory that a program has given away since; 0 makes it skip the packet.
      if (!region.usable) native.region[i] = 0;
    }
    const call = this.#call;
    call[PORT] = this.#port;
    call[BATCH] = native.handle;
    call[COUNT] = batch.count;
    this.#sendBatch();
    this.#blocked = call[RESULT] === 1;
  }

  receive(looks: number): number {
    if (this.#closed) return 0;
    // An owner that polls may never let the event loop say that there is room again.
    if (this.#blocked) this.#blocked = this.#addon.flush(this.#port) === 1;
    const call = this.#call;
    call[PORT] = this.#port;
    call[LOOKS] = looks;
    this.#receiveRecords();
    const count = call[RESULT] as number;
    this.lookedMicros = this.#callDoubles[DOUBLE_LOOKED_AT] as number;
    if (count === 0) return 0;
    this.mayHaveMore = call[MAY_HAVE_MORE] === 1;
    return count;
  }

  read(index: number, into: Datagram): void {
    const at = index * INTS;
    const records = this.#records;
    into.at = records[at + OFFSET] as number;
    into.length = records[at + LENGTH] as number;
    into.icrcVerified = records[at + IS_VERIFIED] === 1;
    const trafficClass = records[at + TRAFFIC_CLASS] as number;
    into.trafficClass = trafficClass;
    into.hopLimit = records[at + HOP_LIMIT] as number;
    into.congestionExperienced = (trafficClass & CONGESTION_EXPERIENCED) === CONGESTION_EXPERIENCED;
    if (into !== this.#described) this.#begin(into);
    if (records[at + SOURCE_NUMBER] !== this.#sourceNumber) this.#readSource(at, into);
  }

  wakeOnArrival(isOn: boolean): void {
    if (!this.#closed) this.#addon.setListening(this.#port, isOn ? 1 : 0);
  }

  setTurning(isTurning: boolean): void {
    if (this.kind === 'shm' && !this.#closed) this.#addon.setTurning(this.#port, isTurning ? 1 : 0);
  }

  readHopLimits(): void {
    if (!this.#closed) this.#addon.readHopLimits(this.#port);
  }

  annotate(): void {}

  counters(): Readonly<Record<string, number>> {
    if (this.#finalCounters !== null) return this.#finalCounters;
    const counters = this.#addon.counters(this.#port);
    if (counters === undefined) return {};
    const sum = (byErrno: Readonly<Record<string, number>>) =>
      Object.values(byErrno).reduce((total, count) => total + count, 0);
    return {
      portSends: counters.sends,
      portConnectedSends: counters.connectedSends,
      portSegmentedSends: counters.segmentedSends,
      portHeldSends: counters.heldSends,
      portSkippedPackets: counters.skippedPackets,
      portReceives: counters.receives,
      portSolvedIdentifications: counters.solvedIdentifications,
      portIgnoredDatagrams: counters.ignoredDatagrams,
      portRegions: counters.regions,
      portFlows: counters.flows,
      ...(this.kind === 'shm' ? ringCounters(counters) : {}),
      portSendErrors: sum(counters.sendErrors),
      portReceiveErrors: sum(counters.receiveErrors),
    };
  }

  ref(): void {
    this.#hold.ref();
  }

  unref(): void {
    this.#hold.unref();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#hold.end();
    // What is held back is sent if there is room now; the protocol repeats it otherwise.
    this.#addon.flush(this.#port);
    this.#finalCounters = this.counters();
    this.#closed = true;
    this.listener = null;
    this.link.close();
    this.#addon.closePort(this.#port);
  }

  #onReady(flags: number): void {
    if ((flags & ReadyFlag.WRITABLE) !== 0 && this.#blocked) {
      this.#blocked = false;
      this.listener?.onWritable();
    }
    if ((flags & ReadyFlag.READABLE) !== 0) this.listener?.onReadable();
  }

  /** Writes what is the same in every description. */
  #begin(into: Datagram): void {
    this.#described = into;
    this.#sourceNumber = 0;
    into.bytes = this.#ring;
    copyAddress(this.address, into.destination);
  }

  #readSource(at: number, { source }: Datagram): void {
    const records = this.#records;
    this.#sourceNumber = records[at + SOURCE_NUMBER] as number;
    source.w0 = records[at + SOURCE] as number;
    source.w1 = records[at + SOURCE + 1] as number;
    source.w2 = records[at + SOURCE + 2] as number;
    source.w3 = records[at + SOURCE + 3] as number;
    source.port = records[at + SOURCE_PORT] as number;
  }

  #findBatch(batch: TransmitBatch): NativeBatch {
    let native = this.#batches.get(batch);
    if (native === undefined) {
      native = new NativeBatch(batch, this.#addon, this.#port);
      this.#batches.set(batch, native);
    }
    this.#lastBatch = native;
    return native;
  }

  #addFlow(flow: Flow): number {
    const fields = new Int32Array(2 * ADDRESS_INTS + 2);
    writeAddress(fields, 0, flow.source);
    writeAddress(fields, ADDRESS_INTS, flow.destination);
    fields[2 * ADDRESS_INTS] = flow.trafficClass;
    fields[2 * ADDRESS_INTS + 1] = flow.hopLimit;
    const key = fields.join();
    let known = this.#flowsByFields.get(key);
    if (known === undefined) {
      known = { key, handle: this.#addon.addFlow(this.#port, fields) ?? 0, users: 0 };
      this.#flowsByFields.set(key, known);
    }
    known.users++;
    flow.port = this;
    flow.portHandle = known.handle;
    this.#flows.register(flow, known);
    return flow.portHandle;
  }

  #forgetFlow(known: AddonFlow): void {
    if (--known.users > 0) return;
    this.#flowsByFields.delete(known.key);
    this.#addon.removeFlow(this.#port, known.handle);
  }

  #addRegion(region: Region): number {
    if (!region.usable) return 0;
    region.port = this;
    region.portHandle = this.#addon.addRegion(this.#port, region.bytes) ?? 0;
    this.#regions.register(region, region.portHandle);
    return region.portHandle;
  }
}

/** What the addon knows under one handle. */
interface AddonFlow {
  readonly key: string;
  readonly handle: number;
  users: number;
}

/** A batch that the addon knows, with what only the addon needs of it. */
class NativeBatch {
  readonly batch: TransmitBatch;
  readonly flow: Int32Array;
  readonly region: Int32Array;
  readonly handle: number = 0;

  constructor(batch: TransmitBatch, addon: UdpAddon, port: number) {
    this.batch = batch;
    this.flow = new Int32Array(batch.capacity);
    this.region = new Int32Array(batch.segmentRegion.length);
    this.handle =
      addon.addBatch(
        port,
        batch.headers,
        batch.headerLength,
        batch.payloadLength,
        batch.segmentStart,
        batch.segmentOffset,
        batch.segmentLength,
        this.flow,
        this.region,
      ) ?? 0;
  }
}

const ringCounters = (counters: UdpCounters): Readonly<Record<string, number>> => ({
  portRings: counters.rings,
  portRingSentPackets: counters.ringSentPackets,
  portRingReceivedPackets: counters.ringReceivedPackets,
  portRingWakes: counters.ringWakes,
  portRingOverflows: counters.ringOverflows,
  portRingAsks: counters.ringAsks,
  portRingFaults: counters.ringFaults,
  portRingRefusals: counters.ringRefusals,
});

function writeAddress(fields: Int32Array, at: number, address: UdpAddress): void {
  fields[at] = address.w0;
  fields[at + 1] = address.w1;
  fields[at + 2] = address.w2;
  fields[at + 3] = address.w3;
  fields[at + 4] = address.port;
}

function systemError(errno: number): NodeJS.ErrnoException {
  const code = errno > 0 ? getSystemErrorName(-errno) : 'ERR_INVALID_ARG_TYPE';
  return Object.assign(new Error(`the system says ${code}`), { code, errno: -errno });
}
