/** What the native port says of the datagrams that it delivers: from whom, when, all of them, and which are right. */
import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { loadAddon } from '../../src/native/addon.js';
import type { Flow } from '../../src/roce/flow.js';
import { privateRegion } from '../../src/roce/memory/region.js';
import { TransmitBatch } from '../../src/roce/transmit-batch.js';
import { Icrc, readIcrc } from '../../src/roce/wire/icrc.js';
import type { NativePort } from '../../src/soft/native-port.js';
import { flowBetween, openNativePort, PortEar } from '../../testkit/native-ports.js';

const HEADER_BYTES = 12;
/** Byte of the BTH with the congestion marks, which the ICRC does not cover. */
const MARKS = 4;
const ICRC_BYTES = 4;
const addon = loadAddon();
const skip = typeof addon === 'string' ? addon : false;

interface Heard {
  readonly sender: number;
  readonly udpPort: number;
  /** By the port, and by the portable code, which is another. */
  readonly isVerified: boolean;
  readonly isRight: boolean;
  readonly lookedMicros: number;
}

/** A port, and others that send to it packets which name their sender in the header. */
class Crowd {
  readonly port: NativePort;
  readonly ear: PortEar;
  readonly senders: readonly NativePort[];
  readonly heard: Heard[] = [];
  readonly #flows: readonly Flow[];
  readonly #icrc = new Icrc();
  readonly #batch = new TransmitBatch(64);
  readonly #region = privateRegion(new Uint8Array(4096).fill(7), 1);

  constructor(senders: number, address: string) {
    this.port = openNativePort(address);
    this.senders = Array.from({ length: senders }, () => openNativePort(address));
    this.#flows = this.senders.map((sender) => flowBetween(sender, this.port));
    this.ear = new PortEar(this.port, ({ bytes, at, length, source, destination, icrcVerified }) => {
      const covered = length - ICRC_BYTES;
      this.heard.push({
        sender: bytes[at] as number,
        udpPort: source.port,
        isVerified: icrcVerified,
        isRight:
          readIcrc(bytes, at + covered) === this.#icrc.compute(source, destination, bytes, at, covered),
        lookedMicros: this.port.lookedMicros,
      });
    });
  }

  send(sender: number, payloads: readonly number[], marks = 0): void {
    const batch = this.#batch;
    for (const payload of payloads) {
      const at = batch.begin();
      batch.headers.fill(0, at, at + HEADER_BYTES);
      batch.headers[at] = sender;
      batch.headers[at + MARKS] = marks;
      if (payload > 0) batch.addSegment(this.#region, 0, payload);
      batch.commit(this.#flows[sender] as Flow, HEADER_BYTES, payload);
    }
    (this.senders[sender] as NativePort).send(batch);
    batch.reset();
  }

  async close(): Promise<void> {
    await Promise.all([this.port, ...this.senders].map((port) => port.close()));
  }
}

for (const address of ['127.0.0.1', '::1']) {
  test(`datagrams of many senders are told apart, in any order (${address})`, { skip }, async () => {
    const crowd = new Crowd(3, address);
    const order = [0, 1, 2, 2, 0, 0, 1, 2, 1, 0, 2, 2, 2, 1];
    for (let round = 0; round < 20; round++) {
      for (const sender of order) {
        crowd.send(sender, [round, 40]);
        if (round % 3 === 0) crowd.ear.poll();
      }
      while (crowd.ear.poll());
    }
    assert.equal(crowd.heard.length, 20 * 2 * order.length);
    for (const { sender, udpPort, isVerified } of crowd.heard) {
      assert.equal(udpPort, crowd.senders[sender]?.address.port);
      assert.ok(isVerified);
    }
    await crowd.close();
  });

  test(`packets of every small size have the right ICRC, whatever their congestion marks (${address})`, {
    skip,
  }, async () => {
    const crowd = new Crowd(1, address);
    for (let payload = 0; payload <= 600; payload++) {
      crowd.send(0, [payload], (payload * 37) & 255);
      while (!crowd.ear.poll());
    }
    assert.equal(crowd.heard.length, 601);
    assert.ok(crowd.heard.every(({ isVerified, isRight }) => isVerified && isRight));
    await crowd.close();
  });
}

test('a long batch leaves a burst at a time, each when its checksums are made, and a run of small packets as one', {
  skip,
}, async () => {
  const crowd = new Crowd(1, '127.0.0.1');
  const sends = (): number => crowd.senders[0]?.counters()['portSends'] as number;
  crowd.send(0, new Array(60).fill(4096));
  assert.equal(sends(), 4);
  crowd.send(0, new Array(60).fill(64));
  assert.equal(sends(), 5);
  while (crowd.heard.length < 120) crowd.ear.poll();
  assert.ok(crowd.heard.every(({ isVerified }) => isVerified));
  await crowd.close();
});

for (const address of ['127.0.0.1', '::1']) {
  test(`the hop limit of packets is read from when somebody wants it on (${address})`, { skip }, async () => {
    const [from, to] = [openNativePort(address), openNativePort(address)];
    const limits: number[] = [];
    const ear = new PortEar(to, ({ hopLimit }) => limits.push(hopLimit));
    const flow = flowBetween(from, to);
    flow.hopLimit = 9;
    const batch = new TransmitBatch(4);
    const send = (): void => {
      batch.headers.fill(0, batch.begin(), HEADER_BYTES);
      batch.commit(flow, HEADER_BYTES, 0);
      from.send(batch);
      batch.reset();
      while (!ear.poll());
    };
    send();
    to.readHopLimits();
    send();
    assert.deepEqual(limits, [64, 9]);
    await Promise.all([from.close(), to.close()]);
  });
}

test('the event loop delivers all of a burst of single datagrams', { skip }, async () => {
  const crowd = new Crowd(4, '127.0.0.1');
  for (let i = 0; i < 100; i++) crowd.send(i % 4, [100]);
  while (crowd.heard.length < 100) await turn();
  assert.equal(crowd.ear.poll(), false);
  await crowd.close();
});

test('the time of an arrival lies between its sending and now, by the clock of the program', {
  skip,
}, async () => {
  const crowd = new Crowd(1, '127.0.0.1');
  for (let i = 0; i < 200; i++) {
    const before = performance.now() * 1000;
    crowd.send(0, [64]);
    while (!crowd.ear.poll());
    const { lookedMicros } = crowd.heard.at(-1) as Heard;
    assert.ok(lookedMicros > before, `${lookedMicros} is before ${before}`);
    assert.ok(lookedMicros <= performance.now() * 1000, `${lookedMicros} is ahead`);
  }
  await crowd.close();
});
