/** Devices that exchange packets through memory, as programs see them. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Endpoint, openEndpoint } from '../../src/endpoint/endpoint.js';
import { loadAddon } from '../../src/native/addon.js';
import { openDevice } from '../../src/open-device.js';
import { Icrc } from '../../src/roce/wire/icrc.js';
import { IpUdpView, parseIpUdp } from '../../src/roce/wire/ip.js';
import { fastCrc32 } from '../../src/soft/zlib-crc.js';
import { AccessFlags } from '../../src/verbs/access-flags.js';
import type { PathOptions } from '../../src/verbs/bring-up.js';
import type { Device } from '../../src/verbs/device.js';
import { createCompletions, statusName } from '../../src/verbs/work-completion.js';
import { SendFlags, WrOpcode } from '../../src/verbs/work-request.js';

const addon = loadAddon();
const skip = typeof addon === 'string' ? addon : false;
const BYTES = 64 * 1024;
/** Of pcapng: a block that holds a packet, and where its length and its bytes are. */
const ENHANCED_PACKET = 6;
const LENGTH_AT = 20;
const PACKET_AT = 28;
const { REMOTE_READ, REMOTE_WRITE } = AccessFlags;

interface Side {
  readonly device: Device;
  readonly end: Endpoint;
}

async function openSide(options: string, path: PathOptions): Promise<Side> {
  const device = await openDevice(`soft:127.0.0.1?port=0&${options}`);
  const access = REMOTE_READ | REMOTE_WRITE;
  return { device, end: await openEndpoint(device, { memory: BYTES, access, path }) };
}

async function openPair(
  options: string,
  peerOptions = options,
  path: PathOptions = {},
): Promise<readonly [Side, Side]> {
  const [a, b] = [await openSide(options, path), await openSide(peerOptions, path)];
  await a.end.connect(b.end.address);
  await b.end.connect(a.end.address);
  return [a, b];
}

/** Sends all of the memory of `from`, filled with `value`; returns how that ended. */
async function send(from: Side, to: Side | null, value: number): Promise<string> {
  if (to !== null) to.end.qp.postRecv({ wrId: 1, sges: [{ mr: to.end.memory }] });
  from.end.memory.bytes.fill(value);
  from.end.qp.postSend({
    wrId: 2,
    opcode: WrOpcode.SEND,
    flags: SendFlags.SIGNALED,
    sges: [{ mr: from.end.memory }],
  });
  const completions = createCompletions(1);
  assert.equal(await from.end.take(completions), 1);
  if (to !== null) assert.equal(await to.end.take(createCompletions(1)), 1);
  return statusName(completions[0]?.status ?? -1);
}

const count = ({ device }: Side, name: string): number => device.counters()[name] ?? Number.NaN;

async function close(...sides: readonly Side[]): Promise<void> {
  for (const { device } of sides) await device.close({ force: true });
}

test('queue pairs of two devices exchange packets through memory without being asked', {
  skip,
}, async () => {
  const [a, b] = await openPair('');
  for (let i = 1; i <= 50; i++) {
    assert.equal(await send(a, b, i), 'SUCCESS');
    assert.ok(
      b.end.memory.bytes.every((byte) => byte === i),
      `message ${i}`,
    );
    assert.equal(await send(b, a, i), 'SUCCESS');
  }
  for (const side of [a, b]) {
    const byRing = count(side, 'portRingSentPackets');
    assert.ok(byRing > 0.9 * count(side, 'txPackets'), `${byRing} of ${count(side, 'txPackets')}`);
  }
  await close(a, b);
});

test('queue pairs end as with any dead peer when the other device is gone', { skip }, async () => {
  const [a, b] = await openPair('io=shm', 'io=shm', { retryCount: 2, timeout: 12 });
  for (let i = 0; i < 5; i++) assert.equal(await send(a, b, i), 'SUCCESS');
  assert.ok(count(a, 'portRingSentPackets') > 0);
  await close(b);
  assert.equal(await send(a, null, 1), 'RETRY_EXC_ERR');
  await close(a);
});

test('a device with rings and one without understand each other', { skip }, async () => {
  for (const other of ['io=native', 'io=dgram']) {
    const [a, b] = await openPair('io=shm', other);
    assert.equal(await send(a, b, 1), 'SUCCESS');
    assert.equal(await send(b, a, 2), 'SUCCESS');
    assert.equal(count(a, 'portRingSentPackets'), 0);
    await close(a, b);
  }
});

/** Every packet of the capture has its ICRC; returns how many there are. */
function checkPackets(capture: Buffer): number {
  const icrc = new Icrc(fastCrc32);
  const view = new IpUdpView();
  let packets = 0;
  for (let at = 0; at < capture.length; at += capture.readUInt32LE(at + 4)) {
    if (capture.readUInt32LE(at) !== ENHANCED_PACKET) continue;
    packets++;
    assert.ok(parseIpUdp(view, capture, at + PACKET_AT, capture.readUInt32LE(at + LENGTH_AT)));
    const { source, destination, payloadAt, payloadLength } = view;
    assert.ok(icrc.verify(source, destination, capture, payloadAt, payloadLength), `packet ${packets}`);
  }
  return packets;
}

test('a device that captures, and its peers, use UDP, and every packet in the capture has its ICRC', {
  skip,
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'queuepair-same-host-'));
  try {
    const file = join(folder, 'run.pcapng');
    const [a, b] = await openPair(`capture=${file}`, '');
    for (let i = 1; i <= 5; i++) {
      assert.equal(await send(a, b, i), 'SUCCESS');
      assert.equal(await send(b, a, i), 'SUCCESS');
    }
    const packets = count(a, 'rxPackets') + count(a, 'txPackets');
    assert.deepEqual([count(b, 'portRings'), count(b, 'portRingSentPackets')], [0, 0]);
    await close(a, b);
    assert.ok(checkPackets(readFileSync(file)) >= packets);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('packets that a fault damages behind the ring are found out, and sent again', { skip }, async () => {
  const [a, b] = await openPair('io=shm', 'io=shm&corrupt=0.1&loss=0.05&seed=3');
  for (let i = 1; i <= 40; i++) {
    assert.equal(await send(a, b, i), 'SUCCESS');
    assert.ok(
      b.end.memory.bytes.every((byte) => byte === i),
      `message ${i}`,
    );
  }
  assert.ok(count(b, 'portRingReceivedPackets') > 0 && count(b, 'drop_bad_icrc') > 0);
  await close(a, b);
});
