/**
 * What a soft device needs of the network: one bound UDP socket that sends batches of packets and takes in batches of
 * datagrams. Ports wrap ports: capturing and fault injection are ports around the real one.
 */
import type { Datagram } from '../roce/datagram.js';
import type { TransmitBatch } from '../roce/transmit-batch.js';
import type { UdpAddress } from '../verbs/address.js';

/** The network interface behind a port. */
export interface PortLink {
  /** Whether packets can leave and arrive, as far as this machine can tell. */
  readonly isUp: boolean;
  /** Called from the event loop after `isUp` has changed. */
  onChange: (() => void) | null;
  /** Looks, unless it has just done so, and calls `onChange` if there is news. */
  ask(): void;
}

/** What the event loop tells the owner of a port; never called from inside one of the port's own functions. */
export interface PortListener {
  /** `receive` will find something. */
  onReadable(): void;
  /** The port can take batches again after `writable` was false. */
  onWritable(): void;
}

export interface UdpPort {
  /** Which implementation it is: `dgram`, `native`, … */
  readonly kind: string;
  /** The address and port that packets leave from and arrive at. */
  readonly address: UdpAddress;
  /** Whether the ICRC of packets that leave is exact on the wire; see `PortAttributes.exactIcrc`. */
  readonly exactIcrc: boolean;
  /** Whether a run of packets of one length, with a shorter one behind, mostly leaves as one. */
  readonly joinsRuns: boolean;
  /** `false` while the operating system is behind with sending: keep the packets for now. */
  readonly writable: boolean;
  /** `null` for ports without an interface, which are always up. */
  readonly link: PortLink | null;
  /** Set once, before the first datagram. */
  listener: PortListener | null;
  /** Sends the packets of a batch, in order. May only be called while `writable`; the batch may be reused after. */
  send(batch: TransmitBatch): void;
  /**
   * Takes in what has arrived, looking up to `looks` times without waiting, and returns how many datagrams that is. They
   * are there, for `read`, until the next call.
   */
  receive(looks: number): number;
  /**
   * Nothing was there, and the owner will look again at once: other work of this processor goes first. Packets that come through
   * the same host may wait for it: a kernel thread delivers them when there are many.
   */
  giveWay?(): void;
  /**
   * Describes datagram `index` of the last `receive` in `into`, whose bytes are the port's own: valid until the next
   * `receive`.
   */
  read(index: number, into: Datagram): void;
  /** Of the last `receive` that found something: whether the next may find more at once. */
  readonly mayHaveMore: boolean;
  /**
   * When the last `receive` had looked, in µs of `performance.now()`, never ahead of that clock. Negative infinity where the
   * port takes no note of it.
   */
  readonly lookedMicros: number;
  /** Whether `receive` can find anything that `onReadable` has not told of. */
  readonly canPoll: boolean;
  /** `false`: stop watching the socket, because the owner looks often by itself. Initially on. */
  wakeOnArrival(isOn: boolean): void;
  /** `true`: the owner looks in every turn of the event loop from now on, and the loop does not wait. Initially `false`. */
  setTurning?(isTurning: boolean): void;
  /** From now on `Datagram.hopLimit` is that of the packet; until then it may be 64. */
  readHopLimits?(): void;
  /** A comment for the capture, if one is written. */
  annotate(text: string): void;
  /** What happened in the port, by name; all of it grows only. */
  counters(): Readonly<Record<string, number>>;
  /** An open port keeps the process alive, unless `unref` was called last. Idempotent both. */
  ref(): void;
  unref(): void;
  /** Idempotent; after it nothing is told, and `receive` finds nothing. */
  close(): Promise<void>;
}
