/**
 * One received UDP datagram, as a port hands it to the engine. A port keeps one of these and refills it for every
 * datagram; the engine reads it in place and keeps nothing of it after `Nic.receive` returns.
 */
import { UdpAddress } from '../verbs/address.js';
import { bthOpcode } from './wire/bth.js';
import { Opcode } from './wire/opcodes.js';

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
