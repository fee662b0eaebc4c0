/** The socket of its own that a port opens for the peer that it sends to most: what changes by it, and what must not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { loadAddon } from '../../src/native/addon.js';
import type { Flow } from '../../src/roce/flow.js';
import { privateRegion } from '../../src/roce/memory/region.js';
import { TransmitBatch } from '../../src/roce/transmit-batch.js';
import type { NativePort } from '../../src/soft/native-port.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { flowBetween, openNativePort, PortEar } from '../../testkit/native-ports.js';

const HEADER_BYTES = 12;
/** Sends in a row to one peer after which it has a socket of its own, and sends to others after which it has none. */
const BUSY_SENDS = 1024;
const IDLE_SENDS = 4096;
const ADDRESSES = ['127.0.0.1', '::1'];
const addon = loadAddon();
const skip = typeof addon === 'string' ? addon : false;

/** A port that numbers what it sends, and notes what it hears: `senderPort:number`, with `!` where the ICRC is wrong. */
class End {
  readonly port: NativePort;
  readonly ear: PortEar;
  readonly heard: string[] = [];
  readonly #batch = new TransmitBatch(64);
  readonly #region = privateRegion(new Uint8Array(4096).fill(9), 1);
  readonly #flows = new Map<End, Flow>();
  #sent = 0;

  constructor(address: string, udpPort = 0) {
    this.port = openNativePort(address, 'native', udpPort);
    this.ear = new PortEar(this.port, ({ bytes, at, source, icrcVerified }) => {
      const number = new DataView(bytes.buffer, bytes.byteOffset + at + 8).getUint32(0);
      this.heard.push(`${source.port}:${number}${icrcVerified ? '' : '!'}`);
    });
  }

  send(to: End, payloads: readonly number[] = [52]): void {
    let flow = this.#flows.get(to);
    if (flow === undefined) {
      flow = flowBetween(this.port, to.port);
      this.#flows.set(to, flow);
    }
    const batch = this.#batch;
    for (const payload of payloads) {
      const at = batch.begin();
      batch.headers.fill(0, at, at + HEADER_BYTES);
      new DataView(batch.headers.buffer, batch.headers.byteOffset + at + 8).setUint32(0, this.#sent++);
      batch.addSegment(this.#region, 0, payload);
      batch.commit(flow, HEADER_BYTES, payload);
    }
    this.port.send(batch);
    batch.reset();
  }

  /** Sends `to` so much that it gets a socket of its own; `to` hears all of it. */
  makeBusy(to: End): void {
    for (let i = 0; i < BUSY_SENDS; i++) {
      this.send(to);
      to.hearAll();
    }
    assert.equal(this.connectedSends, 0);
    this.send(to);
    to.hearAll();
    assert.equal(this.connectedSends, 1);
    to.heard.length = 0;
  }

  hearAll(): void {
    while (this.ear.poll());
  }

  get connectedSends(): number {
    return this.port.counters()['portConnectedSends'] as number;
  }

  get solved(): number {
    return this.port.counters()['portSolvedIdentifications'] as number;
  }

  get sent(): number {
    return this.#sent;
  }
}

const close = (...ends: readonly End[]) => Promise.all(ends.map(({ port }) => port.close()));

for (const address of ADDRESSES) {
  test(`what is sent by a peer's own socket has exact ICRCs and comes in order, bursts too (${address})`, {
    skip,
  }, async () => {
    const [a, b] = [new End(address), new End(address)];
    a.makeBusy(b);
    const first = a.sent;
    for (let i = 0; i < 300; i++) {
      a.send(b, i % 3 === 0 ? new Array(15).fill(4096) : i % 3 === 1 ? [4096, 8] : [64]);
      b.hearAll();
    }
    const numbers = Array.from({ length: a.sent - first }, (_, i) => `${a.port.address.port}:${first + i}`);
    assert.deepEqual(b.heard, numbers);
    // The first of them shows where the kernel counts from.
    assert.equal(b.solved <= 1, true, `${b.solved} identifications were solved for`);
    await close(a, b);
  });

  test(`a port with a busy peer hears others, by polls and by the event loop (${address})`, {
    skip,
  }, async () => {
    const [a, b, c] = [new End(address), new End(address), new End(address)];
    a.makeBusy(b);
    const expected: string[] = [];
    for (let i = 0; i < 50; i++) {
      for (const from of [b, c, c]) {
        expected.push(`${from.port.address.port}:${from.sent}`);
        from.send(a);
        for (let looks = 0; a.heard.length < expected.length && looks < 100; looks++) a.ear.poll();
      }
    }
    assert.deepEqual(a.heard, expected);
    for (const from of [c, b, c]) {
      expected.push(`${from.port.address.port}:${from.sent}`);
      from.send(a);
      while (a.heard.length < expected.length) await turn();
    }
    assert.deepEqual(a.heard, expected);
    await close(a, b, c);
  });
}

test('what a peer sent before it had a socket of its own comes before what it sends then', {
  skip,
}, async () => {
  const [a, b] = [new End('127.0.0.1'), new End('127.0.0.1')];
  for (let i = 0; i < 20; i++) b.send(a);
  a.makeBusy(b);
  for (let i = 0; i < 20; i++) b.send(a);
  while (a.heard.length < 40) a.ear.poll();
  assert.deepEqual(
    a.heard,
    Array.from({ length: 40 }, (_, i) => `${b.port.address.port}:${i}`),
  );
  await close(a, b);
});

test('the identification is followed around its end', { skip }, async () => {
  const [a, b] = [new End('127.0.0.1'), new End('127.0.0.1')];
  a.makeBusy(b);
  for (let i = 0; i < 66_000; i++) {
    a.send(b);
    if (i % 50 === 0) b.hearAll();
  }
  b.hearAll();
  assert.equal(b.heard.length, 66_000);
  assert.deepEqual(
    b.heard.filter((item) => item.endsWith('!')),
    [],
  );
  // At 0 the counting could have ended.
  assert.equal(b.solved <= 2, true, `${b.solved} identifications were solved for`);
  await close(a, b);
});

test('a peer that goes and comes back is reached again', { skip }, async () => {
  const [a, b] = [new End('127.0.0.1'), new End('127.0.0.1')];
  a.makeBusy(b);
  await b.port.close();
  for (let i = 0; i < 10; i++) a.send(b);
  a.hearAll();
  assert.deepEqual([a.port.counters()['portSendErrors'], a.port.counters()['portReceiveErrors']], [0, 0]);
  const again = new End('127.0.0.1', b.port.address.port);
  a.send(again);
  a.send(again);
  while (again.heard.length < 2) again.ear.poll();
  assert.deepEqual(again.heard, [
    `${a.port.address.port}:${a.sent - 2}`,
    `${a.port.address.port}:${a.sent - 1}`,
  ]);
  assert.equal(a.connectedSends, 13);
  await close(a, again);
});

test('a peer that is busy no more loses its socket, to another or for good, and the port stays one', {
  skip,
}, async () => {
  const [a, b, c, d] = [0, 1, 2, 3].map(() => new End('127.0.0.1')) as [End, End, End, End];
  const hear = (): void => {
    for (const end of [b, c, d]) end.hearAll();
  };
  a.makeBusy(b);
  assert.throws(
    () => new End('127.0.0.1', a.port.address.port),
    (error) => error instanceof RdmaError && error.code === 'ERR_RDMA_ADDRESS',
  );
  for (let i = 0; i <= BUSY_SENDS; i++) {
    a.send(c);
    hear();
  }
  assert.equal(a.connectedSends, 2, 'the last of them, and the one before to another peer');
  a.send(b);
  assert.equal(a.connectedSends, 2);
  for (let i = 0; i < IDLE_SENDS; i++) {
    a.send(i % 2 === 0 ? b : d);
    hear();
  }
  a.send(c);
  assert.equal(a.connectedSends, 2);
  hear();
  for (const [i, end] of [b, c, d].entries()) {
    assert.equal(end.heard.length > 0, true, `${i}`);
    assert.deepEqual(
      end.heard.filter((item) => item.endsWith('!')),
      [],
    );
  }
  await close(a, b, c, d);
});
