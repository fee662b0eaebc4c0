/**
 * What is dangerous to the memory of the native port, each in a process of its own that lifetime.test.ts starts: a crash
 * of the addon must not end the tests. `node danger.js NAME SEED KIND`; exit code 0 if all went well.
 */
import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import type { Datagram } from '../../src/roce/datagram.js';
import type { Flow } from '../../src/roce/flow.js';
import { privateRegion, type Region } from '../../src/roce/memory/region.js';
import { TransmitBatch } from '../../src/roce/transmit-batch.js';
import type { NativePort } from '../../src/soft/native-port.js';
import { flowBetween, openNativePort, PortEar } from '../../testkit/native-ports.js';
import { Random } from '../../testkit/random.js';

const HEADER_BYTES = 12;
const PAYLOAD_BYTES = 4096;
const BATCH_PACKETS = 64;

const random = new Random(Number(process.argv[3] ?? 1)).u32;
const below = (n: number): number => random() % n;
const kind = process.argv[4] === 'shm' ? 'shm' : 'native';
const openPort = (): NativePort => openNativePort('127.0.0.1', kind);

function fill(batch: TransmitBatch, flow: Flow, region: Region, packets: number): TransmitBatch {
  batch.reset();
  for (let i = 0; i < packets; i++) {
    const at = batch.begin();
    batch.headers.fill(0, at, at + HEADER_BYTES);
    batch.headers[at + HEADER_BYTES - 1] = i;
    batch.addSegment(region, 0, PAYLOAD_BYTES);
    batch.commit(flow, HEADER_BYTES, PAYLOAD_BYTES);
  }
  return batch;
}

/** Two ports that keep each other busy: what one hears, it answers with a burst, while it has room. */
class Busy {
  readonly ports = [openPort(), openPort()] as const;
  heard = 0;
  onHeard: (datagram: Datagram, port: NativePort) => void = () => {};
  readonly #region = privateRegion(new Uint8Array(PAYLOAD_BYTES).fill(7), 1);
  readonly #flows = [
    flowBetween(this.ports[0], this.ports[1]),
    flowBetween(this.ports[1], this.ports[0]),
  ] as const;
  readonly #batches = [new TransmitBatch(BATCH_PACKETS), new TransmitBatch(BATCH_PACKETS)] as const;

  constructor() {
    for (const i of [0, 1] as const) {
      const port = this.ports[i];
      const onDatagram = (datagram: Datagram): void => {
        this.heard++;
        assert.equal(datagram.icrcVerified, true);
        this.onHeard(datagram, port);
        // The first packet of a burst is answered by a burst.
        if (datagram.bytes[datagram.at + HEADER_BYTES - 1] === 0) this.burst(i);
      };
      new PortEar(port, onDatagram, () => this.burst(i));
    }
  }

  burst(i: 0 | 1): void {
    if (this.ports[i].writable)
      this.ports[i].send(fill(this.#batches[i], this.#flows[i], this.#region, BATCH_PACKETS));
  }

  async until(heard: number): Promise<void> {
    while (this.heard < heard) {
      this.burst(0);
      await turn();
    }
  }
}

async function exitWhileBusy(): Promise<void> {
  const busy = new Busy();
  const last = 1 + below(400);
  busy.onHeard = () => {
    if (busy.heard === last) process.exit(0);
  };
  await busy.until(Number.POSITIVE_INFINITY);
}

/** Closed inside its own delivery, where the burst that is being delivered goes on behind it. */
async function closeWhileBusy(): Promise<void> {
  for (let round = 0; round < 30; round++) {
    const busy = new Busy();
    const last = 1 + below(200);
    let late = 0;
    let closed: NativePort | null = null;
    busy.onHeard = (_, port) => {
      if (port === closed) late++;
      if (busy.heard !== last) return;
      closed = port;
      void port.close();
    };
    await busy.until(last);
    await turn();
    assert.equal(late, 0, 'nothing is delivered after close');
    await Promise.all(busy.ports.map((port) => port.close()));
    assert.equal(busy.ports[0].receive(1), 0);
    await busy.ports[0].close();
  }
}

/** Regions and flows that come and go while the collector runs: what is sent is right, and the tables do not grow. */
async function collect(): Promise<void> {
  const gc = globalThis.gc as () => void;
  const [a, b] = [openPort(), openPort()];
  const batch = new TransmitBatch(BATCH_PACKETS);
  let heard = 0;
  let expected = 0;
  const ear = new PortEar(b, ({ bytes, at, icrcVerified }) => {
    assert.equal(icrcVerified, true);
    for (let i = 0; i < PAYLOAD_BYTES; i += 512) assert.equal(bytes[at + HEADER_BYTES + i], expected);
    heard++;
  });
  for (let round = 0; round < 200; round++) {
    expected = below(256);
    const small = round % 2 === 0 ? new Uint8Array(PAYLOAD_BYTES) : new Uint8Array(3 * PAYLOAD_BYTES);
    const region = privateRegion(small.fill(expected), 1);
    a.send(fill(batch, flowBetween(a, b), region, 1 + below(8)));
    batch.reset();
    // Memory of another content where the old one was, if it were still read.
    new Uint8Array(PAYLOAD_BYTES).fill(expected + 1);
    if (round % 10 === 0) gc();
    const before = heard;
    while (heard === before) await turn();
    while (ear.poll());
  }
  gc();
  await turn();
  gc();
  await turn();
  const { portRegions = 0, portFlows = 0 } = a.counters();
  assert.equal(portRegions < 50 && portFlows < 50, true, `${portRegions} regions, ${portFlows} flows`);
  await Promise.all([a.close(), b.close()]);
}

/** A program that gives memory away that it has registered: the packet is not sent. */
async function giveAway(): Promise<void> {
  const [a, b] = [openPort(), openPort()];
  const batch = new TransmitBatch(BATCH_PACKETS);
  let heard = 0;
  new PortEar(b, () => void heard++);
  const flow = flowBetween(a, b);
  const lost = privateRegion(new Uint8Array(PAYLOAD_BYTES), 1);
  const kept = privateRegion(new Uint8Array(PAYLOAD_BYTES), 1);
  a.send(fill(batch, flow, lost, 1));
  while (heard < 1) await turn();
  structuredClone(lost.bytes.buffer, { transfer: [lost.bytes.buffer as ArrayBuffer] });
  a.send(fill(batch, flow, lost, 5));
  a.send(fill(batch, flow, kept, 1));
  while (heard < 2) await turn();
  assert.equal(a.counters()['portSkippedPackets'], 5);
  await Promise.all([a.close(), b.close()]);
}

/** Threads with ports of their own, ended from outside while they are busy, or by themselves. */
async function workers(): Promise<void> {
  if (!isMainThread) {
    const busy = new Busy();
    await busy.until(100);
    parentPort?.postMessage('busy');
    await busy.until(Number.POSITIVE_INFINITY);
  }
  const main = new Busy();
  for (let round = 0; round < 2; round++) {
    const threads = [0, 1, 2].map(
      () => new Worker(new URL(import.meta.url), { argv: process.argv.slice(2) }),
    );
    await Promise.all(threads.map((thread) => new Promise((resolve) => thread.once('message', resolve))));
    const before = main.heard;
    await main.until(before + below(300));
    await Promise.all(threads.map((thread) => thread.terminate()));
  }
  await Promise.all(main.ports.map((port) => port.close()));
}

const DANGERS: Readonly<Record<string, () => Promise<void>>> = {
  'exit while busy': exitWhileBusy,
  'close while busy': closeWhileBusy,
  'collect under load': collect,
  'memory given away': giveAway,
  'worker threads': workers,
};

const danger = DANGERS[process.argv[2] as string];
if (danger === undefined) throw new Error(`there is no danger '${process.argv[2]}'`);
await danger();
