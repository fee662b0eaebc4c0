/** Many queue pairs of one device to one peer: their packets leave as one, and what they wait for is read before they give up. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Endpoint, openEndpoint } from '../../src/endpoint/endpoint.js';
import { loadAddon } from '../../src/native/addon.js';
import { copyDatagram, Datagram } from '../../src/roce/datagram.js';
import { Icrc } from '../../src/roce/wire/icrc.js';
import { PortAround } from '../../src/soft/port-around.js';
import { SoftDevice } from '../../src/soft/soft-device.js';
import type { UdpPort } from '../../src/soft/udp-port.js';
import { fastCrc32 } from '../../src/soft/zlib-crc.js';
import type { Device } from '../../src/verbs/device.js';
import { createCompletions, WcStatus } from '../../src/verbs/work-completion.js';
import { SendFlags, WrOpcode } from '../../src/verbs/work-request.js';
import { openNativePort } from '../../testkit/native-ports.js';

const skip = typeof loadAddon() === 'string';
const QUEUE_PAIRS = 100;
/** 67 ms. */
const TIMEOUT = 14;
const STANDSTILL_MILLIS = 200;
const PATIENCE_MILLIS = 20_000;

/** Hands out one datagram for each look, as if those of other peers came between. */
class NarrowPort extends PortAround {
  readonly #waiting: Datagram[] = [];
  #present = new Datagram();

  override receive(looks: number): number {
    const count = super.receive(looks);
    for (let i = 0; i < count; i++) {
      const copy = new Datagram();
      super.read(i, copy);
      copy.bytes = copy.bytes.slice(copy.at, copy.at + copy.length);
      copy.at = 0;
      this.#waiting.push(copy);
    }
    const next = this.#waiting.shift();
    if (next === undefined) return 0;
    this.#present = next;
    return 1;
  }

  override read(_: number, into: Datagram): void {
    copyDatagram(this.#present, into);
  }
}

interface Side {
  readonly device: SoftDevice;
  readonly ends: readonly Endpoint[];
}

async function openSide(port: UdpPort): Promise<Side> {
  const device = new SoftDevice(port, new Icrc(fastCrc32));
  const ends: Endpoint[] = [];
  for (let i = 0; i < QUEUE_PAIRS; i++) ends.push(await openEndpoint(device, { memory: 64 }));
  return { device, ends };
}

async function openSides(portOfA: UdpPort): Promise<[Side, Side]> {
  const [a, b] = [await openSide(portOfA), await openSide(openNativePort())];
  for (const [own, peer] of [[a, b] as const, [b, a] as const]) {
    for (const [i, end] of own.ends.entries())
      await end.connect((peer.ends[i] as Endpoint).address, { timeout: TIMEOUT });
  }
  return [a, b];
}

const counter = (device: Device, name: string): number => device.counters()[name] ?? 0;

/** Each queue pair of `a` sends one message, all in one turn. */
function sendAll(a: Side, b: Side): void {
  for (const { qp, memory: mr } of b.ends) qp.postRecv({ wrId: 1, sges: [{ mr }] });
  for (const { qp, memory: mr } of a.ends)
    qp.postSend({ wrId: 2, opcode: WrOpcode.SEND, flags: SendFlags.SIGNALED, sges: [{ mr, length: 24 }] });
  a.device.sendNow();
}

/** Polls until each of the ends has one completion; lets nothing else of this process happen. */
function takeAll({ ends }: Side): void {
  const completions = createCompletions(1);
  const giveUpAt = performance.now() + PATIENCE_MILLIS;
  for (const { recvCq: cq } of ends) {
    while (cq.poll(completions) === 0) assert.ok(performance.now() < giveUpAt, 'a completion never came');
    assert.equal(completions[0]?.status, WcStatus.SUCCESS);
  }
}

async function close(...sides: readonly Side[]): Promise<void> {
  for (const { device } of sides) await device.close({ force: true });
}

test('packets of many queue pairs to one peer leave joined', { skip }, async () => {
  const [a, b] = await openSides(openNativePort());
  sendAll(a, b);
  takeAll(b);
  b.device.sendNow();
  takeAll(a);
  assert.equal(counter(a.device, 'portFlows'), 1, 'one peer is one flow, however many queue pairs');
  assert.ok(counter(a.device, 'portSegmentedSends') >= 1, 'messages left joined');
  assert.ok(counter(b.device, 'portSegmentedSends') >= 1, 'and so did the acknowledgements');
  await close(a, b);
});

test('a process that stood still reads what has come before its queue pairs take it for lost', {
  skip,
}, async () => {
  const [a, b] = await openSides(new NarrowPort(openNativePort()));
  sendAll(a, b);
  takeAll(b);
  b.device.sendNow();
  const until = performance.now() + STANDSTILL_MILLIS;
  while (performance.now() < until);
  await Promise.all(
    a.ends.map(async (end) => {
      const completions = createCompletions(1);
      await end.take(completions);
      assert.equal(completions[0]?.status, WcStatus.SUCCESS);
    }),
  );
  assert.deepEqual(
    ['timeouts', 'probes', 'retransmittedPackets'].map((name) => counter(a.device, name)),
    [0, 0, 0],
  );
  await close(a, b);
});
