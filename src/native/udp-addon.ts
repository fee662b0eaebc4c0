/**
 * The functions of the addon for UDP ports (native/udp_binding.cc) and checksums (native/crc_binding.cc). Ports,
 * batches, regions and flows are integers from 1 on.
 *
 * Every function returns `undefined` for arguments of wrong types and for handles that name nothing, and then does
 * nothing. The typed arrays of `openPort` and `addBatch` are kept until the port is closed.
 */
export interface UdpAddon {
  /**
   * Binds a socket to `address` (an address as below, its port 0 = any free one) and writes the port that it got there.
   * What arrives comes into `ring`, `SLOT_BYTES` for each slot, with `SLOT_RECORDS` records for each in `records`.
   * `onReady` is called with `ReadyFlag`s from the event loop. `wantsRings` 1: ports of this user on this host that want it
   * as well are reached through memory; that takes four slots or more. Returns the port, or a negative errno.
   */
  openPort(
    address: Int32Array,
    ring: Uint8Array,
    records: Int32Array,
    onReady: (flags: number) => void,
    wantsRings: number,
  ): number | undefined;
  closePort(port: number): void;
  /** The arrays of a `TransmitBatch`, with the flow of each packet and the region of each segment as handles. */
  addBatch(
    port: number,
    headers: Uint8Array,
    headerLength: Uint8Array,
    payloadLength: Int32Array,
    segmentStart: Int32Array,
    segmentOffset: Float64Array,
    segmentLength: Int32Array,
    flow: Int32Array,
    region: Int32Array,
  ): number | undefined;
  /** The caller sees to it that the memory stays while a batch names it. */
  addRegion(port: number, bytes: Uint8Array): number | undefined;
  removeRegion(port: number, region: number): void;
  /** `fields`: source and destination address, traffic class, hop limit. */
  addFlow(port: number, fields: Int32Array): number | undefined;
  removeFlow(port: number, flow: number): void;
  /**
   * The arguments and results of `send` and `receive`, as 32-bit words; see `CallField`. They go through memory because
   * Node-API takes longer to unpack an argument than to make the call.
   */
  readonly call: ArrayBuffer;
  /** Sends the first COUNT packets of BATCH, or keeps copies of them. RESULT is 1 if the port holds packets back. */
  readonly send: () => void;
  /** Takes what is there, looking up to LOOKS times without waiting: RESULT is the number of records that were written. */
  readonly receive: () => void;
  /** Lets other work of this processor go first. */
  readonly giveWay: () => void;
  /**
   * `now` is `performance.now()`, read in the same expression. Of several calls the quickest decides what LOOKED_AT
   * counts from: it is never ahead of that clock, and behind by no more than this call took.
   */
  alignClock(now: number): void;
  /** 0: the event loop no longer says when something is there, which makes every packet that comes cheaper. */
  setListening(port: number, isListening: number): void;
  /** From now on HOP_LIMIT is read from every packet, which costs 5 % of a look that finds one; it is 64 before. */
  readHopLimits(port: number): void;
  /** 1: the owner looks in the next turn of the event loop, which does not wait: nobody has to wake it. */
  setTurning(port: number, isTurning: number): void;
  /** Tries to send what is held back. 1: the port still holds packets. */
  flush(port: number): number | undefined;
  counters(port: number): UdpCounters | undefined;

  /** As `Crc32` of roce/wire/crc32.ts, by the fastest way that this processor has. */
  crc32(bytes: Uint8Array, at: number, end: number, seed: number): number;
  /** Of a copy that is made on the way, as `send` does; a wrong one if that differs from the bytes. */
  crc32Copy(bytes: Uint8Array, at: number, end: number, seed: number): number;
  crc32Portable(bytes: Uint8Array, at: number, end: number, seed: number): number;
  /** Only where the processor multiplies without carry. */
  crc32Folding?(bytes: Uint8Array, at: number, end: number, seed: number): number;
  /** Only where it does so in registers of 256 or 512 bits. */
  crc32Wide256?(bytes: Uint8Array, at: number, end: number, seed: number): number;
  crc32Wide512?(bytes: Uint8Array, at: number, end: number, seed: number): number;
}

export interface UdpCounters {
  /** System calls that sent something, and the packets in them. */
  readonly sends: number;
  readonly sentPackets: number;
  /** Of those calls, the ones on the socket that is connected to one peer. */
  readonly connectedSends: number;
  /** Sends that the kernel splits into packets. */
  readonly segmentedSends: number;
  /** Sends that waited until the socket had room. */
  readonly heldSends: number;
  /** Packets that named memory or flows which are not there. */
  readonly skippedPackets: number;
  /** Buffers that came in, and the datagrams in them. */
  readonly receives: number;
  readonly receivedDatagrams: number;
  /** Datagrams whose IPv4 identification had to be solved for. */
  readonly solvedIdentifications: number;
  readonly ignoredDatagrams: number;
  /** Packets that left and came through rings in memory, and readers that had to be woken. */
  readonly ringSentPackets: number;
  readonly ringReceivedPackets: number;
  readonly ringWakes: number;
  /** Packets that a ring had no room for. */
  readonly ringOverflows: number;
  /** Times that a peer of this host was asked for a ring. */
  readonly ringAsks: number;
  /** Rings that ended because their writer broke the rules, and peers that could not show who they are. */
  readonly ringFaults: number;
  readonly ringRefusals: number;
  /** Rings to and from peers that there are now. */
  readonly rings: number;
  readonly regions: number;
  readonly flows: number;
  /** By errno. */
  readonly sendErrors: Readonly<Record<string, number>>;
  readonly receiveErrors: Readonly<Record<string, number>>;
}

/** An address is five integers: its words, most significant first, and the port. */
export const ADDRESS_INTS = 5;

export const ReadyFlag = { READABLE: 1, WRITABLE: 2 } as const;

/** The largest burst that the kernel joins, and the most datagrams that one may hold. */
export const SLOT_BYTES = 65536;
export const SLOT_RECORDS = 128;

/** Words of `UdpAddon.call`; the order is that of native/udp_binding.cc. */
export const CallField = {
  PORT: 0,
  BATCH: 1,
  COUNT: 2,
  LOOKS: 3,
  RESULT: 4,
  /** Of a `receive` that found something: 1 if there may be more. */
  MAY_HAVE_MORE: 5,
  /** When a `receive` had looked, in µs of `performance.now()`. As a double, and counted in doubles. */
  DOUBLE_LOOKED_AT: 3,
} as const;

/** Fields of a record, one for each datagram that was received; the order is that of native/receive_ring.h. */
export const RecordField = {
  /** In the ring. */
  OFFSET: 0,
  LENGTH: 1,
  /** 1: the ICRC is right. */
  IS_VERIFIED: 2,
  TRAFFIC_CLASS: 3,
  HOP_LIMIT: 4,
  /** From 1 on; another one when the source is not that of the datagram before. */
  SOURCE_NUMBER: 5,
  /** The source's four words, and its port. */
  SOURCE: 6,
  SOURCE_PORT: 10,
  INTS: 11,
} as const;
