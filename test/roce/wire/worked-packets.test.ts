import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DropReason } from '../../../src/roce/drop-reason.js';
import { aethMsn, aethSyndrome, Syndrome, writeAeth } from '../../../src/roce/wire/aeth.js';
import * as bth from '../../../src/roce/wire/bth.js';
import { Icrc, readIcrc, writeIcrc } from '../../../src/roce/wire/icrc.js';
import { IpUdpView, ipUdpLength, parseIpUdp, writeIpUdp } from '../../../src/roce/wire/ip.js';
import { AETH_AT, Opcode, opcodeHeaderLength, RETH_AT } from '../../../src/roce/wire/opcodes.js';
import { PacketView, parsePacket } from '../../../src/roce/wire/packet.js';
import { rethLength, rethRkey, rethVa, writeReth } from '../../../src/roce/wire/reth.js';
import { parseGid, sameGid, type UdpAddress } from '../../../src/verbs/address.js';
import {
  CONNECTX_4_CNP,
  fromHex,
  toHex,
  WORKED_PACKETS,
  type WorkedPacket,
} from '../../../testkit/worked-packets.js';

function addressOf([ip, port]: readonly [string, number]): UdpAddress {
  const address = parseGid(ip);
  assert.ok(address !== undefined);
  address.port = port;
  return address;
}

function writeExtension(packet: WorkedPacket, bytes: Uint8Array, bthAt: number): void {
  if (packet.opcode === Opcode.RC_ACKNOWLEDGE) writeAeth(bytes, bthAt + AETH_AT, Syndrome.ACK, 1);
  if (packet.opcode === Opcode.RC_WRITE_ONLY) writeReth(bytes, bthAt + RETH_AT, 0x7f0000001000, 0x1234, 4);
}

/** The packet as the writers make it, from the IP header on. */
function build(packet: WorkedPacket): Uint8Array {
  const [source, destination] = [addressOf(packet.source), addressOf(packet.destination)];
  const payload = fromHex(packet.payload);
  const headerLength = opcodeHeaderLength[packet.opcode] as number;
  const padCount = bth.padCountOf(payload.length);
  const length = headerLength + payload.length + padCount;
  const bytes = new Uint8Array(ipUdpLength(destination) + length + bth.ICRC_LENGTH);
  const at = writeIpUdp(bytes, 0, source, destination, length + bth.ICRC_LENGTH, packet);
  bth.writeBth(bytes, at, packet.opcode, 0, padCount, packet.destQpn, packet.ackReq, packet.psn);
  // Only other senders set these two, so the writer has no arguments for them.
  bytes[at + 1] = (bytes[at + 1] as number) | (packet.migReq << 6);
  bytes[at + 4] = packet.becn << 6;
  writeExtension(packet, bytes, at);
  bytes.set(payload, at + headerLength);
  const icrc = new Icrc().compute(source, destination, bytes, at, length, packet.identification);
  assert.equal(icrc, packet.icrc);
  writeIcrc(bytes, at + length, icrc);
  return bytes;
}

for (const packet of WORKED_PACKETS) {
  test(`the writers make every byte of: ${packet.name}`, () => {
    assert.equal(toHex(build(packet)), toHex(fromHex(packet.hex)));
  });

  test(`every field is read back from: ${packet.name}`, () => {
    const bytes = fromHex(packet.hex);
    const ip = new IpUdpView();
    assert.equal(parseIpUdp(ip, bytes, 0, bytes.length), true);
    assert.ok(sameGid(ip.source, addressOf(packet.source)));
    assert.ok(sameGid(ip.destination, addressOf(packet.destination)));
    assert.deepEqual([ip.source.port, ip.destination.port], [packet.source[1], packet.destination[1]]);
    assert.equal(ip.identification, packet.identification);
    assert.equal(ip.trafficClass, packet.trafficClass);
    assert.equal(ip.udpChecksum, packet.udpChecksum);
    assert.deepEqual([ip.hopLimit, ip.headerChecksumValid], [64, true]);

    const view = new PacketView();
    assert.equal(parsePacket(view, bytes, ip.payloadAt, ip.payloadLength), DropReason.NONE);
    assert.equal(view.opcode, packet.opcode);
    assert.deepEqual([view.pkey, view.destQpn, view.psn], [0xffff, packet.destQpn, packet.psn]);
    assert.deepEqual([view.solicited, view.ackReq], [0, packet.ackReq]);
    assert.equal(bth.bthMigReq(bytes, view.at), packet.migReq);
    assert.deepEqual([bth.bthFecn(bytes, view.at), bth.bthBecn(bytes, view.at)], [0, packet.becn]);
    const payload = bytes.subarray(view.payloadAt, view.payloadAt + view.payloadLength);
    assert.equal(toHex(payload), packet.payload);
    assert.equal(toHex(bytes.subarray(view.at + bth.BTH_LENGTH, view.payloadAt)), packet.extension);
    assert.equal(readIcrc(bytes, bytes.length - bth.ICRC_LENGTH), packet.icrc);
  });

  test(`the ICRC is accepted, and its identification found, in: ${packet.name}`, () => {
    const bytes = fromHex(packet.hex);
    const ip = new IpUdpView();
    assert.ok(parseIpUdp(ip, bytes, 0, bytes.length));
    const icrc = new Icrc();
    assert.equal(icrc.verify(ip.source, ip.destination, bytes, ip.payloadAt, ip.payloadLength), true);
    assert.equal(icrc.lastIdentification, packet.identification);
    assert.deepEqual([icrc.accepted, icrc.solved, icrc.refused], [1, packet.identification === 0 ? 0 : 1, 0]);
  });
}

test('the identification of the captured packet is solved for without its IP header', () => {
  const udpPayload = fromHex(CONNECTX_4_CNP.hex).slice(28);
  const [source, destination] = [addressOf(CONNECTX_4_CNP.source), addressOf(CONNECTX_4_CNP.destination)];
  const icrc = new Icrc();
  assert.equal(icrc.verify(source, destination, udpPayload, 0, udpPayload.length), true);
  assert.equal(icrc.lastIdentification, 0x718c);
});

test('the extension headers of the worked packets say what they should', () => {
  const ack = fromHex(WORKED_PACKETS[5]?.hex ?? '');
  assert.deepEqual([aethSyndrome(ack, 28 + AETH_AT), aethMsn(ack, 28 + AETH_AT)], [0x1f, 1]);
  const write = fromHex(WORKED_PACKETS[4]?.hex ?? '');
  const at = 28 + RETH_AT;
  assert.deepEqual(
    [rethVa(write, at), rethRkey(write, at), rethLength(write, at)],
    [0x7f0000001000, 0x1234, 4],
  );
});

test('identification 2 instead of 0 changes the ICRC of the SEND as computed elsewhere', () => {
  const packet = WORKED_PACKETS[2] as WorkedPacket;
  const bytes = fromHex(packet.hex).slice(28);
  const [source, destination] = [addressOf(packet.source), addressOf(packet.destination)];
  const icrc = new Icrc();
  const length = bytes.length - bth.ICRC_LENGTH;
  writeIcrc(bytes, length, icrc.compute(source, destination, bytes, 0, length, 2));
  assert.equal(toHex(bytes.subarray(length)), '05d47700');
  assert.equal(icrc.verify(source, destination, bytes, 0, bytes.length), true);
  assert.equal(icrc.lastIdentification, 2);
});
