/**
 * What the parts of a communication manager share: who the host is, its connections and their deadlines, what goes out,
 * and what is counted.
 *
 * Invariant: whatever goes out is a MAD of 256 bytes, and a received message is answered by one at most.
 */
import { copyAddress, sameGid, UdpAddress } from '../../verbs/address.js';
import { invariant } from '../../verbs/invariant.js';
import { Deadlines } from '../deadlines.js';
import { MAD_BYTES, writeMadUdpPort } from '../mad/mad.js';
import { ROCE_PORT } from '../nic.js';
import type { CmConnection } from './cm-connection.js';
import { CmCounters } from './cm-counters.js';
import type { CmDropReason } from './cm-drop-reason.js';
import type { CmLimits, CmMachineEvent, CmMachineOptions, CmOutput } from './cm-outputs.js';
import { Identities } from './identities.js';
import { type CmMessage, writeCmMessage } from './wire/message.js';
import { DEFAULT_ACK_DELAY } from './wire/time-code.js';

const DEFAULT_LIMITS: CmLimits = {
  maxConnections: 16_384,
  maxHalfOpen: 1024,
  maxHalfOpenOfSource: 128,
  maxRemembered: 256,
};

/** Queue pairs 0, 1 and that of multicast are no program's. */
const MULTICAST_QPN = 0xffffff;
export const isProgramQpn = (qpn: number): boolean => qpn > 1 && qpn < MULTICAST_QPN;

export class CmHost {
  readonly options: CmMachineOptions;
  readonly limits: CmLimits;
  readonly ackDelay: number;
  /** Random and locally administered, new in every process: peers tell its connections from those of before. */
  readonly caGuid: bigint;
  readonly counters = new CmCounters();
  readonly identities: Identities;
  /** Requests that were accepted and whose peers have not been heard since, oldest first. */
  readonly unheard = new Set<CmConnection>();
  readonly deadlines = new Deadlines<CmConnection>();
  /** Milliseconds. */
  now = 0;
  addresses: readonly UdpAddress[] = [];
  #outputs: CmOutput[] = [];
  #taken = 0;
  /** Of the message that is handled. */
  #replies = 0;

  constructor(options: CmMachineOptions) {
    this.options = options;
    this.limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.ackDelay = options.ackDelay ?? DEFAULT_ACK_DELAY;
    this.caGuid =
      (0x02n << 56n) | (BigInt(options.random() & 0xffffff) << 32n) | BigInt(options.random() >>> 0);
    this.identities = new Identities(options.random, this.limits);
    this.setAddresses(options.addresses);
  }

  setAddresses(addresses: readonly UdpAddress[]): void {
    this.addresses = addresses.map(copyOf);
  }

  isOwn(address: UdpAddress): boolean {
    return this.addresses.some((own) => sameGid(own, address));
  }

  random24(): number {
    return this.options.random() & 0xffffff;
  }

  newTransactionId(): bigint {
    return (BigInt(this.options.random() >>> 0) << 32n) | BigInt(this.options.random() >>> 0);
  }

  /** A message was received: one answer to it may leave. */
  beginMessage(): void {
    this.#replies = 0;
    this.counters.received++;
  }

  emit(event: CmMachineEvent): void {
    this.#outputs.push(event);
  }

  drop(reason: CmDropReason): void {
    this.counters.drop(reason);
  }

  takeOutput(): CmOutput | undefined {
    const output = this.#outputs[this.#taken++];
    if (output !== undefined) return output;
    this.#outputs = [];
    this.#taken = 0;
    return undefined;
  }

  /** To the peer of a connection. Returns the MAD, to be sent again. */
  send(connection: CmConnection, message: CmMessage): Uint8Array {
    const mad = this.write(message, connection.local);
    this.sendMad(connection, mad);
    return mad;
  }

  sendMad({ local, peer, trafficClass }: CmConnection, mad: Uint8Array): void {
    this.sendTo(local, peer, trafficClass, mad);
  }

  /** In answer to a message. */
  reply(connection: CmConnection, message: CmMessage): Uint8Array {
    this.#countReply();
    return this.send(connection, message);
  }

  replyMad(connection: CmConnection, mad: Uint8Array): void {
    this.#countReply();
    this.sendMad(connection, mad);
  }

  /** In answer to a message of which nothing is kept. */
  replyTo(local: UdpAddress, peer: UdpAddress, trafficClass: number, message: CmMessage): Uint8Array {
    const mad = this.write(message, local);
    this.replyMadTo(local, peer, trafficClass, mad);
    return mad;
  }

  replyMadTo(local: UdpAddress, peer: UdpAddress, trafficClass: number, mad: Uint8Array): void {
    this.#countReply();
    this.sendTo(local, peer, trafficClass, mad);
  }

  write(message: CmMessage, local: UdpAddress): Uint8Array {
    const mad = writeCmMessage(message);
    const port = this.#portOf(local);
    if (port !== ROCE_PORT) writeMadUdpPort(mad, port);
    return mad;
  }

  sendTo(source: UdpAddress, destination: UdpAddress, trafficClass: number, mad: Uint8Array): void {
    INVARIANT: invariant(mad.length === MAD_BYTES, 'a MAD is 256 bytes long');
    this.counters.sent++;
    this.#outputs.push({ type: 'send', mad, source, destination, trafficClass });
  }

  #countReply(): void {
    this.#replies++;
    INVARIANT: invariant(this.#replies === 1, 'a message has one answer at most');
  }

  #portOf(local: UdpAddress): number {
    const own = this.addresses.find((address) => sameGid(address, local));
    return own?.port || ROCE_PORT;
  }

  /** The program has answered this request. */
  answered(connection: CmConnection): void {
    if (connection.listener !== null) connection.listener.waiting--;
    connection.listener = null;
  }

  /** This request is established, or over. */
  settle(connection: CmConnection): void {
    this.answered(connection);
    if (connection.isHalfOpen) this.identities.countHalfOpen(connection.peer, -1);
    connection.isHalfOpen = false;
    this.unheard.delete(connection);
  }

  /** After the times of a connection have changed. */
  schedule(connection: CmConnection): void {
    this.deadlines.arm(connection, connection.wakeAt);
  }
}

export function copyOf(address: UdpAddress): UdpAddress {
  const copy = new UdpAddress();
  copyAddress(address, copy);
  return copy;
}
