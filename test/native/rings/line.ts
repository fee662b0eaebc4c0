/** Ports that exchange packets through memory, and what this process has of that, for the tests of rings. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { loadAddon } from '../../../src/native/addon.js';
import { privateRegion } from '../../../src/roce/memory/region.js';
import { TransmitBatch } from '../../../src/roce/transmit-batch.js';
import type { NativePort } from '../../../src/soft/native-port.js';
import { formatIp } from '../../../src/verbs/address.js';
import { flowBetween, openNativePort, PortEar } from '../../../testkit/native-ports.js';

const addon = loadAddon();
export const skip = typeof addon === 'string' ? addon : false;
export const WAIT_MILLIS = 10_000;
export const HEADER_BYTES = 12;
export const PAYLOAD_BYTES = 4096;
export const BATCH_PACKETS = 64;
/** The largest packet that a port of ours sends. */
export const MAX_PACKET_BYTES = 64 + 4096 + 3 + 4;
export const RING_BYTES = 2 * 1024 * 1024;

export const openPort = (address?: string, port?: number): NativePort => openNativePort(address, 'shm', port);
export const count = (port: NativePort, name: string): number => port.counters()[name] ?? Number.NaN;

export async function until(isSo: () => boolean, what: string): Promise<void> {
  const end = performance.now() + WAIT_MILLIS;
  while (!isSo()) {
    assert.ok(performance.now() < end, `waited for ${what}`);
    await turn();
  }
}

/** Sends packets that carry their number, and notes those that come. */
export class Line {
  readonly from: NativePort;
  readonly heard: number[] = [];
  sent = 0;
  readonly #to: NativePort;
  readonly #batch = new TransmitBatch(BATCH_PACKETS);
  readonly #region = privateRegion(new Uint8Array(PAYLOAD_BYTES).fill(7), 1);
  readonly #flow;

  constructor(from: NativePort, to: NativePort) {
    this.from = from;
    this.#to = to;
    this.#flow = flowBetween(from, to);
  }

  listen(): void {
    const from = `${formatIp(this.from.address)} ${this.from.address.port}`;
    new PortEar(this.#to, ({ bytes, at, length, source, icrcVerified }) => {
      assert.equal(`${formatIp(source)} ${source.port}`, from);
      assert.equal(length, HEADER_BYTES + PAYLOAD_BYTES + 4);
      assert.equal(icrcVerified, true);
      assert.equal(bytes[at + HEADER_BYTES], 7);
      this.heard.push(new DataView(bytes.buffer, bytes.byteOffset + at).getUint32(8));
    });
  }

  send(packets: number): void {
    const batch = this.#batch;
    for (let left = packets; left > 0; left -= batch.count) {
      batch.reset();
      for (let i = 0; i < Math.min(left, BATCH_PACKETS); i++) {
        const at = batch.begin();
        batch.headers.fill(0, at, at + HEADER_BYTES);
        new DataView(batch.headers.buffer).setUint32(at + 8, this.sent++);
        batch.addSegment(this.#region, 0, PAYLOAD_BYTES);
        batch.commit(this.#flow, HEADER_BYTES, PAYLOAD_BYTES);
      }
      this.from.send(batch);
    }
  }

  /** Sends, a packet a turn, until they go through memory. The other end looks, as every driver does. */
  async meet(): Promise<void> {
    await until(() => {
      this.send(1);
      if (this.#to.listener === null) this.#to.receive(1);
      return count(this.from, 'portRingSentPackets') > 0;
    }, 'a ring');
  }
}

/** Rings that are mapped, and descriptors of any kind. */
export function leftovers(): number {
  const maps = readFileSync('/proc/self/maps', 'utf8');
  return maps.split('memfd:queuepair-ring').length - 1 + readdirSync('/proc/self/fd').length;
}
