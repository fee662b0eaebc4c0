/**
 * Packets of the native port as they are on the wire: a raw capture between two network namespaces, in which the ICRC
 * of every packet is computed again from the IP header that really left, by the rule and not by this package's code.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { crc32 } from 'node:zlib';
import { loadAddon } from '../../src/native/addon.js';
import { hear, tell, VethLink } from '../../testkit/veth-link.js';
import type { Hello, Order, Report } from './veth-peer.js';

const PEER = fileURLToPath(new URL('./veth-peer.js', import.meta.url));
const ROCE_PORT = 4791;
const ETHERNET_BYTES = 14;
const CAPTURE_LIMIT_MILLIS = 10_000;
const TEST_MILLIS = 50_000;

function reasonToSkip(): string | false {
  const addon = loadAddon();
  if (typeof addon === 'string') return addon;
  for (const tool of ['tcpdump', 'ethtool']) {
    if (spawnSync(tool, ['--version']).error !== undefined) return `${tool} is not installed`;
  }
  return VethLink.reasonToSkip();
}

interface WirePacket {
  /** IPv4 alone has one. */
  readonly identification: number;
  readonly dontFragment: boolean;
  readonly bytes: number;
  readonly icrcIsRight: boolean;
}

/** Reads a classic capture of Ethernet frames, host byte order, as tcpdump writes it. */
function readCapture(file: string): WirePacket[] {
  const data = readFileSync(file);
  assert.equal(data.readUInt32LE(0), 0xa1b2c3d4);
  const packets: WirePacket[] = [];
  for (let at = 24; at + 16 <= data.length; ) {
    const length = data.readUInt32LE(at + 8);
    // Being written.
    if (at + 16 + length > data.length) break;
    assert.equal(data.readUInt32LE(at + 12), length, 'nothing is cut off');
    packets.push(readPacket(data.subarray(at + 16 + ETHERNET_BYTES, at + 16 + length)));
    at += 16 + length;
  }
  return packets;
}

function readPacket(packet: Buffer): WirePacket {
  const isIpv4 = packet.readUInt8(0) >>> 4 === 4;
  const ipBytes = isIpv4 ? 20 : 40;
  const end = isIpv4 ? packet.readUInt16BE(2) : ipBytes + packet.readUInt16BE(4);
  assert.equal(end <= packet.length, true);
  const masked = Buffer.concat([Buffer.alloc(8, 0xff), packet.subarray(0, end - 4)]);
  const mask = (from: number, to: number) => masked.fill(0xff, 8 + from, 8 + to);
  if (isIpv4) {
    mask(1, 2);
    mask(8, 9);
    mask(10, 12);
  } else {
    masked.writeUInt8(0x6f, 8);
    mask(1, 4);
    mask(7, 8);
  }
  mask(ipBytes + 6, ipBytes + 8);
  mask(ipBytes + 8 + 4, ipBytes + 8 + 5);
  return {
    identification: isIpv4 ? packet.readUInt16BE(4) : 0,
    dontFragment: !isIpv4 || (packet.readUInt8(6) & 0x40) !== 0,
    bytes: end,
    icrcIsRight: crc32(masked) === packet.readUInt32LE(end - 4),
  };
}

/** tcpdump says so when it has begun; what it says later is read too, so that it never waits for that. */
async function listening(capture: ChildProcess): Promise<void> {
  let said = '';
  await new Promise<void>((resolve, reject) => {
    capture.stderr?.on('data', (text) => {
      said += String(text);
      if (said.includes('listening on')) resolve();
    });
    capture.once('exit', () => reject(new Error(`tcpdump ended: ${said}`)));
  });
}

/** The capture, once all packets that the devices counted are in it: tcpdump is a little behind. */
async function captured(file: string, expected: number): Promise<WirePacket[]> {
  const deadline = performance.now() + CAPTURE_LIMIT_MILLIS;
  for (;;) {
    const packets = readCapture(file);
    if (packets.length >= expected) return packets;
    assert.equal(
      performance.now() < deadline,
      true,
      `${packets.length} of ${expected} packets were captured`,
    );
    await setTimeout(20);
  }
}

interface Crossing {
  readonly packets: readonly WirePacket[];
  readonly sent: Report;
  readonly received: Report;
}

/**
 * One short SEND and a long WRITE cross the link while it is captured where they arrive; `isBusy`: after so many short ones that
 * both sides have a socket for the other.
 */
async function cross(
  addresses: readonly [string, string],
  interfaceSplits: boolean,
  isBusy = false,
): Promise<Crossing> {
  const folder = mkdtempSync(join(tmpdir(), 'queuepair-exact-'));
  const file = join(folder, 'link.pcap');
  const link = new VethLink(addresses);
  const splits = interfaceSplits ? 'on' : 'off';
  for (const side of [0, 1] as const)
    link.inside(side, 'ethtool', '-K', 'qp0', 'tx-udp-segmentation', splits);
  // By which a host sends packets to itself, to see what the kernel counts.
  for (const side of [0, 1] as const) link.inside(side, 'ip', 'link', 'set', 'lo', 'up');
  const children: ChildProcess[] = [];
  try {
    const options = [
      '-i',
      'qp0',
      '-s',
      '0',
      '-B',
      '16384',
      '-U',
      '-w',
      file,
      'udp',
      'port',
      String(ROCE_PORT),
    ];
    const capture = link.start(1, 'tcpdump', ...options);
    children.push(capture);
    await listening(capture);
    const peers = [0, 1].map((i) => link.start(i as 0 | 1, process.execPath, PEER, addresses[i] as string));
    children.push(...peers);
    const [a, b] = peers as [ChildProcess, ChildProcess];
    const [helloA, helloB] = await Promise.all([hear<Hello>(a), hear<Hello>(b)]);
    await Promise.all([tell(a, { do: 'connect', peer: helloB }), tell(b, { do: 'connect', peer: helloA })]);
    await tell(a, { do: 'send' });
    if (isBusy) await tell(a, { do: 'touch' });
    await tell(a, { do: 'write' });
    const [sent, received] = [
      await tell<Report>(a, { do: 'report' }),
      await tell<Report>(b, { do: 'report' }),
    ];
    await Promise.all(
      peers.map(async (peer) => {
        const ended = once(peer, 'exit');
        peer.send({ do: 'end' } satisfies Order);
        assert.deepEqual(await ended, [0, null]);
      }),
    );
    const expected = (sent.counters['txPackets'] ?? 0) + (received.counters['txPackets'] ?? 0);
    return { packets: await captured(file, expected), sent, received };
  } finally {
    for (const child of children) child.kill('SIGKILL');
    link.remove();
    rmSync(folder, { recursive: true, force: true });
  }
}

const skip = reasonToSkip();
const IPV4 = ['10.71.0.1', '10.71.0.2'] as const;
const IPV6 = ['fd71::1', 'fd71::2'] as const;

function checkAll({ packets, sent, received }: Crossing): void {
  assert.equal(received.sha256, sent.sha256, 'the WRITE arrived as it was sent');
  assert.equal(packets.length > 200, true, `${packets.length} packets were captured`);
  assert.deepEqual(
    packets.filter((packet) => !packet.icrcIsRight),
    [],
  );
  assert.equal(
    packets.every((packet) => packet.dontFragment),
    true,
  );
  assert.equal(
    packets.every((packet) => packet.bytes <= 1500),
    true,
    'what was captured is what was split',
  );
}

test('packets that the kernel splits off a send carry the identifications that their ICRCs were computed with', {
  skip,
  timeout: TEST_MILLIS,
}, async () => {
  const crossing = await cross(IPV4, false);
  checkAll(crossing);
  assert.equal((crossing.sent.counters['portSegmentedSends'] ?? 0) > 0, true);
  const highest = Math.max(...crossing.packets.map((packet) => packet.identification));
  assert.equal(highest > 0 && highest < 64, true, `the highest identification is ${highest}`);
});

test('an interface that splits by itself gets single packets, all with identification 0', {
  skip,
  timeout: TEST_MILLIS,
}, async () => {
  const crossing = await cross(IPV4, true);
  checkAll(crossing);
  assert.equal(crossing.sent.counters['portSegmentedSends'], 0);
  assert.deepEqual(new Set(crossing.packets.map((packet) => packet.identification)), new Set([0]));
});

for (const [name, addresses] of [
  ['IPv4', IPV4],
  ['IPv6', IPV6],
] as const) {
  test(`ICRCs are exact by a socket that is connected to the peer as well, over ${name}`, {
    skip,
    timeout: TEST_MILLIS,
  }, async () => {
    const crossing = await cross(addresses, false, true);
    checkAll(crossing);
    for (const { counters } of [crossing.sent, crossing.received])
      assert.equal((counters['portConnectedSends'] ?? 0) > 50, true);
    assert.equal((crossing.sent.counters['portSegmentedSends'] ?? 0) > 0, true);
    if (addresses === IPV4) {
      assert.equal(new Set(crossing.packets.map(({ identification }) => identification)).size > 50, true);
    }
  });
}

test('segmented sends over IPv6 have exact ICRCs too', { skip, timeout: TEST_MILLIS }, async () => {
  const crossing = await cross(IPV6, false);
  checkAll(crossing);
  assert.equal((crossing.sent.counters['portSegmentedSends'] ?? 0) > 0, true);
});
