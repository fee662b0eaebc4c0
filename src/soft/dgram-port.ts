/**
 * A UDP port over node:dgram: works everywhere, needs nothing. Packets are copied into buffers of a pool, because the
 * socket may send them later.
 *
 * Over IPv4 the kernel chooses an identification that the ICRC covers and that node:dgram cannot know, so packets are
 * exact on the wire over IPv6 only. Receivers of this package solve for the identification; standard ones do not. Over
 * IPv6 in turn a socket of node:dgram cannot be told to take packets without a UDP checksum, which is how Linux rdma_rxe
 * sends them: towards it the native port is needed either way.
 */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { Datagram } from '../roce/datagram.js';
import type { Flow } from '../roce/flow.js';
import { packetLength, writePacket } from '../roce/packet-writer.js';
import type { TransmitBatch } from '../roce/transmit-batch.js';
import type { Icrc } from '../roce/wire/icrc.js';
import { copyAddress, formatIp, isIpv4, parseGid, UdpAddress } from '../verbs/address.js';
import { Arrivals } from './arrivals.js';
import { explainBindError } from './bind-error.js';
import { LinkWatch } from './link-watch.js';
import type { PortListener, UdpPort } from './udp-port.js';

/** BTH, the largest extension headers, 4096 bytes of payload, pad and ICRC. */
const MAX_PACKET_BYTES = 4096 + 64;
/** What may wait in the socket. Above it the port is not writable until half of it has left. */
const MAX_WAITING_PACKETS = 512;
const SOCKET_BUFFER_BYTES = 4 * 1024 * 1024;
/** Peers whose parsed address is remembered. */
const MAX_KNOWN_PEERS = 1024;

export class DgramPort implements UdpPort {
  readonly kind = 'dgram';
  readonly canPoll = false;
  readonly joinsRuns = false;
  readonly mayHaveMore = false;
  readonly lookedMicros = Number.NEGATIVE_INFINITY;
  readonly address: UdpAddress;
  readonly exactIcrc: boolean;
  readonly link: LinkWatch;
  listener: PortListener | null = null;
  readonly #socket: Socket;
  readonly #icrc: Icrc;
  readonly #datagram = new Datagram();
  readonly #arrivals = new Arrivals();
  /** The next `receive` gives what is in `#arrivals`. */
  #hasNews = false;
  readonly #pool: SendBuffer[] = [];
  readonly #hosts = new WeakMap<Flow, string>();
  readonly #peers = new Map<string, UdpAddress>();
  #waiting = 0;
  #blocked = false;
  #closing: Promise<void> | null = null;
  #sendErrors = 0;
  #ignored = 0;

  /**
   * Binds `address` (port 0 = any free one).
   *
   * @throws RdmaError ERR_RDMA_ADDRESS when the address is not of this machine or the port is taken.
   */
  static async open(address: UdpAddress, icrc: Icrc): Promise<DgramPort> {
    const type = isIpv4(address) ? 'udp4' : 'udp6';
    const socket = createSocket({
      type,
      recvBufferSize: SOCKET_BUFFER_BYTES,
      sendBufferSize: SOCKET_BUFFER_BYTES,
    });
    try {
      await bind(socket, formatIp(address), address.port);
    } catch (error) {
      socket.close();
      throw explainBindError(error as NodeJS.ErrnoException, address);
    }
    const bound = new UdpAddress();
    copyAddress(address, bound);
    bound.port = socket.address().port;
    return new DgramPort(socket, bound, icrc);
  }

  private constructor(socket: Socket, address: UdpAddress, icrc: Icrc) {
    this.#socket = socket;
    this.address = address;
    this.exactIcrc = !isIpv4(address);
    this.link = new LinkWatch(formatIp(address));
    this.#icrc = icrc;
    copyAddress(address, this.#datagram.destination);
    socket.on('message', (message, peer) => this.#onMessage(message, peer));
    // Errors of a bound, unconnected socket are about single packets; a lost packet is the protocol's everyday life.
    socket.on('error', () => this.#sendErrors++);
  }

  get writable(): boolean {
    return !this.#blocked && this.#closing === null;
  }

  send(batch: TransmitBatch): void {
    for (let i = 0; i < batch.count; i++) {
      const flow = batch.flow[i] as Flow;
      const buffer = this.#pool.pop() ?? new SendBuffer(this.#onSent);
      const length = packetLength(batch, i);
      writePacket(batch, i, buffer.bytes, 0, this.#icrc);
      this.#waiting++;
      this.#socket.send(buffer.bytes, 0, length, flow.destination.port, this.#hostOf(flow), buffer.onSent);
    }
    if (this.#waiting >= MAX_WAITING_PACKETS) this.#blocked = true;
  }

  /** The socket gives datagrams by itself, each in a buffer of its own. */
  receive(): number {
    if (!this.#hasNews) this.#arrivals.clear();
    this.#hasNews = false;
    return this.#arrivals.count;
  }

  read(index: number, into: Datagram): void {
    this.#arrivals.read(index, into);
  }

  /** node:dgram cannot stop and go on. */
  wakeOnArrival(): void {}

  annotate(): void {}

  ref(): void {
    if (this.#closing === null) this.#socket.ref();
  }

  unref(): void {
    if (this.#closing === null) this.#socket.unref();
  }

  counters(): Readonly<Record<string, number>> {
    return { portSendErrors: this.#sendErrors, portIgnoredDatagrams: this.#ignored };
  }

  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      this.listener = null;
      this.#arrivals.clear();
      this.link.close();
      this.#socket.close(() => resolve());
    });
    return this.#closing;
  }

  readonly #onSent = (buffer: SendBuffer, error: Error | null): void => {
    if (error !== null) this.#sendErrors++;
    this.link.onSent(error === null);
    this.#pool.push(buffer);
    this.#waiting--;
    if (this.#blocked && this.#waiting <= MAX_WAITING_PACKETS / 2) {
      this.#blocked = false;
      this.listener?.onWritable();
    }
  };

  #onMessage(message: Uint8Array, peer: RemoteInfo): void {
    const source = this.#peerAddress(peer.address);
    if (source === undefined || this.listener === null) {
      this.#ignored++;
      return;
    }
    const datagram = this.#datagram;
    datagram.bytes = message;
    datagram.at = 0;
    datagram.length = message.length;
    copyAddress(source, datagram.source);
    datagram.source.port = peer.port;
    if (!this.#hasNews) this.#arrivals.clear();
    this.#hasNews = true;
    this.#arrivals.add(datagram);
    this.listener.onReadable();
  }

  #hostOf(flow: Flow): string {
    let host = this.#hosts.get(flow);
    if (host === undefined) {
      host = formatIp(flow.destination);
      this.#hosts.set(flow, host);
    }
    return host;
  }

  #peerAddress(text: string): UdpAddress | undefined {
    const known = this.#peers.get(text);
    if (known !== undefined) return known;
    const zone = text.indexOf('%');
    const address = parseGid(zone < 0 ? text : text.slice(0, zone));
    if (address === undefined) return undefined;
    if (this.#peers.size >= MAX_KNOWN_PEERS) this.#peers.clear();
    this.#peers.set(text, address);
    return address;
  }
}

/** A buffer of the pool, with the callback that brings it back. */
class SendBuffer {
  readonly bytes = new Uint8Array(MAX_PACKET_BYTES);
  readonly onSent: (error: Error | null) => void;

  constructor(release: (buffer: SendBuffer, error: Error | null) => void) {
    this.onSent = (error) => release(this, error);
  }
}

function bind(socket: Socket, address: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.bind({ address, port, exclusive: true }, () => {
      socket.off('error', reject);
      resolve();
    });
  });
}
