/** A port around a port that counts what leaves and keeps what comes in, as somebody would who listens on the wire. */
import type { Datagram } from '../../../src/roce/datagram.js';
import type { TransmitBatch } from '../../../src/roce/transmit-batch.js';
import { PortAround } from '../../../src/soft/port-around.js';

export class TappedPort extends PortAround {
  /** UDP payloads, from the BTH to the ICRC; `null` while nobody listens. */
  heard: Uint8Array[] | null = null;
  /** Packets that have left. */
  sent = 0;

  override send(batch: TransmitBatch): void {
    this.sent += batch.count;
    super.send(batch);
  }

  protected override onDatagram(datagram: Datagram): void {
    const { bytes, at, length } = datagram;
    this.heard?.push(Uint8Array.from(bytes.subarray(at, at + length)));
    super.onDatagram(datagram);
  }
}
