/** A soft device that loses some of the management datagrams that arrive, chosen by their attribute. */
import type { Datagram } from '../src/roce/datagram.js';
import { GMP_HEADER_BYTES, GMP_PACKET_BYTES, GSI_QPN } from '../src/roce/mad/gmp.js';
import { madAttributeId } from '../src/roce/mad/mad.js';
import { bthDestQpn } from '../src/roce/wire/bth.js';
import { Icrc } from '../src/roce/wire/icrc.js';
import { openPort } from '../src/soft/open-port.js';
import { PortAround } from '../src/soft/port-around.js';
import { SoftDevice } from '../src/soft/soft-device.js';
import { parseSoftName } from '../src/soft/soft-spec.js';
import type { UdpPort } from '../src/soft/udp-port.js';

/** Whether a message that arrives is lost. */
export type Loses = (attributeId: number, mad: Uint8Array) => boolean;

class GmpSieve extends PortAround {
  readonly #loses: Loses;

  constructor(inner: UdpPort, loses: Loses) {
    super(inner);
    this.#loses = loses;
  }

  protected override onDatagram(datagram: Datagram): void {
    const { bytes, at, length } = datagram;
    if (length === GMP_PACKET_BYTES && bthDestQpn(bytes, at) === GSI_QPN) {
      const mad = bytes.subarray(at + GMP_HEADER_BYTES, at + length);
      if (this.#loses(madAttributeId(mad), mad)) return;
    }
    super.onDatagram(datagram);
  }
}

export async function openLosingDevice(name: string, loses: Loses): Promise<SoftDevice> {
  const icrc = new Icrc();
  return new SoftDevice(new GmpSieve(await openPort(parseSoftName(name), icrc), loses), icrc);
}
