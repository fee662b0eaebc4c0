/**
 * What a soft device needs of the network: one bound UDP socket that sends batches of packets and delivers datagrams.
 * Ports wrap ports: capturing and fault injection are ports around the real one.
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
  /** Looks now, and calls `onChange` if there is news. */
  check(): void;
}

/** Who listens to a port. */
export interface PortListener {
  /** One datagram came in. The object and its bytes are only valid during the call. */
  onDatagram(datagram: Datagram): void;
  /** The port can take batches again after `writable` was false. */
  onWritable(): void;
  /** Whether a datagram may wait: see `UdpPort.poll`. It is as valid as for `onDatagram`. */
  mayWait(datagram: Datagram): boolean;
}

export interface UdpPort {
  /** Which implementation it is: `dgram`, `native`, … */
  readonly kind: string;
  /** The address and port that packets leave from and arrive at. */
  readonly address: UdpAddress;
  /** Whether the ICRC of packets that leave is exact on the wire; see `PortAttributes.exactIcrc`. */
  readonly exactIcrc: boolean;
  /** `false` while the operating system is behind with sending: keep the packets for now. */
  readonly writable: boolean;
  /** `null` for ports without an interface, which are always up. */
  readonly link: PortLink | null;
  /** Set once, before the first datagram. */
  listener: PortListener | null;
  /** Sends the packets of a batch, in order. May only be called while `writable`; the batch may be reused after. */
  send(batch: TransmitBatch): void;
  /**
   * Delivers what has arrived, without waiting, and returns whether anything had. Ports that only the event loop can
   * ask never have. The last datagram of several may be kept for the next call, or for `deliverKept`, when the listener
   * says that it may wait.
   */
  poll(): boolean;
  /** Delivers what was kept. */
  deliverKept(): void;
  /** `false`: whoever listens polls in every turn of the event loop, and needs not be told what comes. First `true`. */
  setTelling(isTelling: boolean): void;
  /**
   * During a delivery: when the datagrams that came with this one were there, in µs of `performance.now()`. Never ahead of
   * that clock. Ports that take no note of it do not have it.
   */
  readonly arrivalMicros?: number;
  /** Whether `poll` can find anything. */
  readonly canPoll: boolean;
  /** A comment for the capture, if one is written. */
  annotate(text: string): void;
  /** What happened in the port, by name; all of it grows only. */
  counters(): Readonly<Record<string, number>>;
  /** Idempotent; nothing is delivered after it was called. */
  close(): Promise<void>;
}
