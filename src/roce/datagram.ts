/**
 * One received UDP datagram, as a port describes it to the engine. The owner of a port has one of these filled for every
 * datagram; the engine reads it in place and keeps nothing of it after `Nic.receive` returns.
 */
import { copyAddress, UdpAddress } from '../verbs/address.js';
import { bthOpcode } from './wire/bth.js';
import { Opcode, OpcodeFlag, opcodeFlags } from './wire/opcodes.js';

export class Datagram {
  bytes: Uint8Array = new Uint8Array(0);
  /** Offset of the BTH in `bytes`. */
  at = 0;
  /** Bytes from the BTH to the end of the ICRC: the UDP payload. */
  length = 0;
  readonly source = new UdpAddress();
  readonly destination = new UdpAddress();
  /** Of the IP header, where the port can see them: UD receives hand them to the program. */
  trafficClass = 0;
  hopLimit = 64;
  /** The IP header carried ECN "congestion experienced". */
  congestionExperienced = false;
  /** The port has verified the ICRC already, or promises that nothing can have changed it. */
  icrcVerified = false;
}

/** Whether it says that it is an ACK or a NAK; nothing of it is checked. */
export const isAcknowledgement = ({ bytes, at, length }: Datagram): boolean =>
  length > 0 && bthOpcode(bytes, at) === Opcode.RC_ACKNOWLEDGE;

/** Describes the same datagram in `to`; the bytes are shared. */
export function copyDatagram(from: Datagram, to: Datagram): void {
  to.bytes = from.bytes;
  to.at = from.at;
  to.length = from.length;
  copyAddress(from.source, to.source);
  copyAddress(from.destination, to.destination);
  to.trafficClass = from.trafficClass;
  to.hopLimit = from.hopLimit;
  to.congestionExperienced = from.congestionExperienced;
  to.icrcVerified = from.icrcVerified;
}

/** The same with bytes of its own, which stay. */
export function keepDatagram(from: Datagram): Datagram {
  const kept = new Datagram();
  copyDatagram(from, kept);
  kept.bytes = from.bytes.slice(from.at, from.at + from.length);
  kept.at = 0;
  return kept;
}

/** Whether it says that it answers a request; nothing of it is checked. */
export const isResponse = ({ bytes, at, length }: Datagram): boolean =>
  length > 0 && ((opcodeFlags[bthOpcode(bytes, at)] as number) & OpcodeFlag.RESPONSE) !== 0;
