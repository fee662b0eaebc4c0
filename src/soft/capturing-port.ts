/**
 * A port around a port that writes everything that passes to a pcapng file. Packets appear with the IP and UDP headers
 * that they have on the wire, but for what the operating system alone decides (IPv4 identification, UDP checksum: 0).
 *
 * The capture never slows the device down: what the disk cannot take in time is left out and counted.
 */
import { createWriteStream, type WriteStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { performance } from 'node:perf_hooks';
import type { Datagram } from '../roce/datagram.js';
import type { Flow } from '../roce/flow.js';
import { packetLength, writePacket } from '../roce/packet-writer.js';
import type { TransmitBatch } from '../roce/transmit-batch.js';
import type { Icrc } from '../roce/wire/icrc.js';
import { ipUdpLength, writeIpUdp } from '../roce/wire/ip.js';
import { formatIp } from '../verbs/address.js';
import { RdmaError } from '../verbs/errors.js';
import { captureHeader, packetBlock } from './pcapng.js';
import { PortAround } from './port-around.js';
import type { UdpPort } from './udp-port.js';

const MAX_UNWRITTEN_BYTES = 64 * 1024 * 1024;

export class CapturingPort extends PortAround {
  readonly #icrc: Icrc;
  readonly #file: WriteStream;
  #comment: string | undefined;
  #captured = 0;
  #leftOut = 0;

  /** @throws RdmaError ERR_RDMA_ADDRESS when the file cannot be written; `inner` is then still open. */
  static async open(inner: UdpPort, path: string, icrc: Icrc): Promise<CapturingPort> {
    try {
      const handle = await open(path, 'w');
      return new CapturingPort(inner, createWriteStream('', { fd: handle }), icrc);
    } catch (cause) {
      throw new RdmaError(
        'ERR_RDMA_ADDRESS',
        `cannot write the capture ${path}: ${(cause as Error).message}`,
        {
          cause,
        },
      );
    }
  }

  private constructor(inner: UdpPort, file: WriteStream, icrc: Icrc) {
    super(inner);
    inner.readHopLimits?.();
    this.#icrc = icrc;
    this.#file = file;
    file.on('error', () => this.#leftOut++);
    file.write(captureHeader(`soft:${formatIp(inner.address)}`));
  }

  /** A comment for the next packet. */
  override annotate(text: string): void {
    this.#comment = this.#comment === undefined ? text : `${this.#comment}\n${text}`;
  }

  override send(batch: TransmitBatch): void {
    for (let i = 0; i < batch.count; i++) {
      const flow = batch.flow[i] as Flow;
      const payload = packetLength(batch, i);
      const headers = ipUdpLength(flow.destination);
      const packet = new Uint8Array(headers + payload);
      writeIpUdp(packet, 0, flow.source, flow.destination, payload, {
        trafficClass: flow.trafficClass,
        hopLimit: flow.hopLimit,
      });
      writePacket(batch, i, packet, headers, this.#icrc);
      this.#write(packet);
    }
    super.send(batch);
  }

  protected override onDatagram(datagram: Datagram): void {
    const headers = ipUdpLength(datagram.destination);
    const packet = new Uint8Array(headers + datagram.length);
    writeIpUdp(packet, 0, datagram.source, datagram.destination, datagram.length, {
      trafficClass: datagram.congestionExperienced ? 3 : 0,
    });
    packet.set(datagram.bytes.subarray(datagram.at, datagram.at + datagram.length), headers);
    this.#write(packet);
    super.onDatagram(datagram);
  }

  override counters(): Readonly<Record<string, number>> {
    return {
      ...super.counters(),
      captureWritten: this.#captured,
      captureLeftOut: this.#leftOut,
    };
  }

  override async close(): Promise<void> {
    await super.close();
    if (this.#file.closed) return;
    await new Promise<void>((resolve) => {
      this.#file.once('close', resolve);
      this.#file.end();
    });
  }

  #write(packet: Uint8Array): void {
    if (this.#file.writableLength > MAX_UNWRITTEN_BYTES || this.#file.destroyed) {
      this.#leftOut++;
      return;
    }
    const timeMicros = (performance.timeOrigin + performance.now()) * 1000;
    this.#file.write(packetBlock(packet, timeMicros, this.#comment));
    this.#comment = undefined;
    this.#captured++;
  }
}
