/**
 * A NIC with a communication manager on its queue pair 1, as a device has it: what arrives are whole packets, and so is
 * what leaves. It insists that the manager gets a management datagram exactly when headers, length and ICRC are right.
 */
import type { CmMachine } from '../../../../src/roce/cm/cm-machine.js';
import type { CmSend } from '../../../../src/roce/cm/cm-outputs.js';
import { Datagram } from '../../../../src/roce/datagram.js';
import type { Gsi } from '../../../../src/roce/gsi.js';
import { GMP_HEADER_BYTES, GMP_PACKET_BYTES, GSI_QPN, writeGmp } from '../../../../src/roce/mad/gmp.js';
import { MAD_BYTES } from '../../../../src/roce/mad/mad.js';
import { Nic } from '../../../../src/roce/nic.js';
import { packetLength, writePacket } from '../../../../src/roce/packet-writer.js';
import { TransmitBatch } from '../../../../src/roce/transmit-batch.js';
import { bthDestQpn } from '../../../../src/roce/wire/bth.js';
import { writeU16, writeU24, writeU32 } from '../../../../src/roce/wire/bytes.js';
import { Icrc, writeIcrc } from '../../../../src/roce/wire/icrc.js';
import { copyAddress, formatGid, type UdpAddress } from '../../../../src/verbs/address.js';
import { Random } from '../../../../testkit/random.js';
import { must } from '../../target.js';

const SEED = 9;
const BATCH = 16;
const ICRC_BYTES = 4;

/** What may be different about the headers of a packet, and whether it still is a management datagram. */
interface HeaderFault {
  readonly isHarmless: boolean;
  /** Of a longer header, before the payload. */
  readonly extraBytes: number;
  readonly write: (bytes: Uint8Array) => void;
}

const NOTHING: HeaderFault = { isHarmless: true, extraBytes: 0, write: () => {} };
const changed = (isHarmless: boolean, write: HeaderFault['write'], extraBytes = 0): HeaderFault => ({
  isHarmless,
  extraBytes,
  write,
});

export const HEADER_FAULTS: readonly HeaderFault[] = [
  NOTHING,
  changed(false, (bytes) => writeU32(bytes, 12, 0)),
  changed(false, (bytes) => writeU16(bytes, 2, 0x8001)),
  changed(false, (bytes) => writeU24(bytes, 5, 2)),
  changed(false, (bytes) => bytes.set([0x04], 0)),
  // With immediate data, which nobody looks at.
  changed(true, (bytes) => bytes.set([0x65], 0), 4),
  changed(false, (bytes) => bytes.set([0x01], 1)),
  changed(false, (bytes) => bytes.set([0x30], 1)),
  changed(true, (bytes) => writeU16(bytes, 2, 0x7fff)),
  changed(true, (bytes) => writeU24(bytes, 9, 0xffffff)),
  changed(true, (bytes) => writeU24(bytes, 17, 5)),
  changed(true, (bytes) => bytes.set([0], 8)),
];

export class GsiDevice {
  readonly #nic: Nic;
  readonly #gsi: Gsi;
  readonly #machine: CmMachine;
  readonly #batch = new TransmitBatch(BATCH);
  readonly #datagram = new Datagram();
  readonly #icrc = new Icrc();

  constructor(machine: CmMachine, addresses: readonly UdpAddress[]) {
    this.#machine = machine;
    this.#nic = new Nic({ addresses, random: new Random(SEED).u32, activeMtu: 1024 });
    this.#gsi = this.#nic.openGsi({
      onGmp: (mad, { source, destination }, now) => machine.receive(mad, source, destination, now),
      onTimeout: () => {},
    });
  }

  /** A packet with these bytes as its payload arrives. Returns the datagram that the manager was told; null if it was not. */
  receive(
    mad: Uint8Array,
    from: UdpAddress,
    to: UdpAddress,
    fault: HeaderFault,
    badIcrc: boolean,
    now: number,
  ): Uint8Array | null {
    const bytes = new Uint8Array(GMP_HEADER_BYTES + mad.length + ICRC_BYTES);
    writeGmp(bytes, 0, 0, mad);
    fault.write(bytes);
    const end = bytes.length - ICRC_BYTES;
    writeIcrc(bytes, end, this.#icrc.compute(from, to, bytes, 0, end, 0) ^ (badIcrc ? 0x80000001 : 0));
    const datagram = this.#datagram;
    datagram.bytes = bytes;
    datagram.at = 0;
    datagram.length = bytes.length;
    copyAddress(from, datagram.source);
    copyAddress(to, datagram.destination);
    const before = this.#machine.counters.received;
    this.#nic.receive(datagram, now);
    // Whatever owns the buffer uses it again.
    bytes.fill(0xee);
    const told = this.#machine.counters.received - before;
    const isRight = fault.isHarmless && !badIcrc && mad.length === MAD_BYTES + fault.extraBytes;
    must(told === (isRight ? 1 : 0), `a datagram of ${mad.length} bytes was told ${told} times`);
    return told === 1 ? mad.subarray(fault.extraBytes) : null;
  }

  /** What the manager sends leaves as packets for queue pair 1, of one size. */
  send({ mad, destination, trafficClass }: CmSend, now: number): void {
    const flow = this.#nic.createFlow({
      dgid: formatGid(destination),
      udpPort: destination.port,
      trafficClass,
    });
    this.#gsi.send(mad, flow);
    let packets = 0;
    while (this.#nic.pollTransmit(this.#batch, now) > 0) {
      for (let i = 0; i < this.#batch.count; i++) {
        const length = packetLength(this.#batch, i);
        must(length === GMP_PACKET_BYTES, `a packet of ${length} bytes leaves`);
        const bytes = new Uint8Array(length);
        writePacket(this.#batch, i, bytes, 0, this.#icrc);
        must(bthDestQpn(bytes, 0) === GSI_QPN, 'management packets go to queue pair 1');
        packets++;
      }
      this.#batch.reset();
    }
    must(packets === 1, `${packets} packets leave for one message`);
    must(this.#gsi.dropped === 0, 'nothing is lost before it leaves');
  }
}
