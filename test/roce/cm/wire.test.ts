/** The messages of the communication manager against packets that Linux sent, in both directions. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CmDropReason, cmDropReasonName } from '../../../src/roce/cm/cm-drop-reason.js';
import {
  CmAttribute,
  CmSubject,
  cmAttributeName,
  PRIVATE_DATA,
} from '../../../src/roce/cm/wire/attributes.js';
import { CMA_HEADER_BYTES, readCmaHeader, writeCmaHeader } from '../../../src/roce/cm/wire/cma-header.js';
import { type CmMessage, parseCmMessage, writeCmMessage } from '../../../src/roce/cm/wire/message.js';
import type { Rej } from '../../../src/roce/cm/wire/rej.js';
import type { Rep } from '../../../src/roce/cm/wire/rep.js';
import type { Req, ReqPath } from '../../../src/roce/cm/wire/req.js';
import { hasCmaHeader, serviceIdOf, servicePort } from '../../../src/roce/cm/wire/service-id.js';
import { type SidrRep, SidrStatus } from '../../../src/roce/cm/wire/sidr.js';
import { ackTimeoutCode, timeCodeMillis } from '../../../src/roce/cm/wire/time-code.js';
import {
  GMP_HEADER_BYTES,
  GMP_PACKET_BYTES,
  GSI_QKEY,
  GSI_QPN,
  writeGmp,
} from '../../../src/roce/mad/gmp.js';
import { MAD_BYTES } from '../../../src/roce/mad/mad.js';
import { bthDestQpn, bthPsn } from '../../../src/roce/wire/bth.js';
import { dethQkey, dethSourceQpn } from '../../../src/roce/wire/deth.js';
import { Icrc, readIcrc, writeIcrc } from '../../../src/roce/wire/icrc.js';
import { IpUdpView, parseIpUdp, writeIpUdp } from '../../../src/roce/wire/ip.js';
import { formatGid, parseGid, type UdpAddress } from '../../../src/verbs/address.js';
import { PortSpace, portSpaceOf } from '../../../src/verbs/connection-manager.js';
import { CAPTURED_CM_PACKETS, capturedPacket, expandHex, madOf } from '../../../testkit/cm-packets.js';
import { toHex } from '../../../testkit/worked-packets.js';

function parsed(mad: Uint8Array): CmMessage {
  const message = parseCmMessage(mad);
  assert.ok(typeof message !== 'number', cmDropReasonName(Number(message)));
  return message;
}

const captured = (name: string): CmMessage => parsed(madOf(capturedPacket(name)));
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes).replace(/\0+$/, '');

for (const { name, type, packet } of CAPTURED_CM_PACKETS) {
  test(`${name}: the captured packet comes out of its own fields, byte for byte`, () => {
    const original = expandHex(packet);
    const view = new IpUdpView();
    assert.ok(parseIpUdp(view, original, 0, original.length));
    assert.equal(view.payloadLength, GMP_PACKET_BYTES);
    const at = view.payloadAt;
    const message = parsed(original.slice(at + GMP_HEADER_BYTES, at + GMP_HEADER_BYTES + MAD_BYTES));
    assert.equal(message.type, type);
    assert.equal(bthDestQpn(original, at), GSI_QPN);
    assert.deepEqual([dethQkey(original, at + 12), dethSourceQpn(original, at + 12)], [GSI_QKEY, GSI_QPN]);

    const { source, destination, identification, trafficClass, hopLimit } = view;
    const made = new Uint8Array(original.length);
    const options = { identification, trafficClass, hopLimit };
    const headerBytes = writeIpUdp(made, 0, source, destination, GMP_PACKET_BYTES, options);
    assert.equal(headerBytes, at);
    writeGmp(made, at, bthPsn(original, at), writeCmMessage(message));
    const length = GMP_PACKET_BYTES - 4;
    writeIcrc(made, at + length, new Icrc().compute(source, destination, made, at, length, identification));
    assert.equal(toHex(made), toHex(original));
    assert.equal(readIcrc(made, at + length), readIcrc(original, at + length));
  });
}

test('a REQ of rping has the fields that rping was told to use', () => {
  const req = captured('REQ rping IPv4') as Req;
  const { primary, privateData, ...rest } = req;
  assert.deepEqual(rest, {
    type: 'REQ',
    transactionId: 0x00000002c691db24n,
    localCommId: 0x24db91c6,
    serviceId: serviceIdOf(PortSpace.TCP, 7174),
    caGuid: 0x505400fffe00000bn,
    qpn: 0x11,
    responderResources: 1,
    initiatorDepth: 1,
    remoteResponseTimeout: 20,
    localResponseTimeout: 20,
    transport: 0,
    flowControl: false,
    startingPsn: 0x494504,
    retryCount: 7,
    pkey: 0xffff,
    mtu: 3,
    rnrRetryCount: 7,
    maxCmRetries: 15,
    hasSrq: false,
    extendedTransport: 0,
    alternate: null,
  } satisfies Omit<Req, 'primary' | 'privateData'>);
  assert.deepEqual(
    { ...primary, localGid: formatGid(primary.localGid), remoteGid: formatGid(primary.remoteGid) },
    {
      localLid: 0xffff,
      remoteLid: 0xffff,
      localGid: '::ffff:10.88.0.2',
      remoteGid: '::ffff:10.88.0.1',
      flowLabel: (0xda77 * 31 + 7174) & 0xfffff,
      packetRate: 0,
      trafficClass: 0,
      hopLimit: 64,
      serviceLevel: 0,
      isSubnetLocal: false,
      ackTimeout: 19,
    },
  );
  const header = readCmaHeader(privateData, 0);
  assert.ok(header !== undefined);
  assert.equal(header.sourcePort, 0xda77);
  assert.equal(formatGid(header.source), '::ffff:10.88.0.2');
  assert.equal(formatGid(header.destination), '::ffff:10.88.0.1');
});

test('a REQ over IPv6, and one with a traffic class and an ACK timeout of its own', () => {
  const ipv6 = captured('REQ IPv6') as Req;
  assert.equal(formatGid(ipv6.primary.localGid), 'fd88::2');
  assert.equal(
    formatGid((readCmaHeader(ipv6.privateData, 0) as { destination: UdpAddress }).destination),
    'fd88::1',
  );
  const tos = captured('REQ tos 0x68 ack timeout 14') as Req;
  assert.deepEqual([tos.primary.trafficClass, tos.primary.ackTimeout], [0x68, 16]);
});

test('private data comes at full size with zeros behind it', () => {
  const req = captured('REQ private data') as Req;
  assert.equal(req.privateData.length, 92);
  assert.equal(text(req.privateData.subarray(CMA_HEADER_BYTES)), 'hello-from-client');
  assert.deepEqual(
    [req.responderResources, req.initiatorDepth, req.retryCount, req.rnrRetryCount, req.flowControl],
    [7, 9, 5, 4, true],
  );
  const rep = captured('REP private data') as Rep;
  assert.equal(rep.privateData.length, 196);
  assert.equal(text(rep.privateData), 'hello-from-server');
  assert.deepEqual(
    [rep.responderResources, rep.initiatorDepth, rep.rnrRetryCount, rep.ackDelay],
    [3, 5, 6, 15],
  );
});

test('rejects tell the message, the reason, and who cancelled', () => {
  const none = captured('REJ no listener') as Rej;
  assert.deepEqual([none.subject, none.reason, none.localCommId], [CmSubject.REQ, 8, 0]);
  const consumer = captured('REJ by application with private data') as Rej;
  assert.deepEqual([consumer.reason, text(consumer.privateData)], [28, 'go-away']);
  const cancel = captured('REJ cancel by active side') as Rej;
  assert.deepEqual([cancel.subject, cancel.reason, cancel.remoteCommId], [CmSubject.OTHER, 4, 0]);
  assert.equal(toHex(cancel.info), '505400fffe00000b');
});

test('an MRA asks for 65 seconds, and a DREQ names the queue pair of its receiver', () => {
  const mra = captured('MRA slow accept');
  assert.ok(mra.type === 'MRA');
  assert.deepEqual([mra.subject, mra.serviceTimeout, timeCodeMillis(24)], [CmSubject.REQ, 24, 65_536]);
  const dreq = captured('DREQ from server');
  assert.ok(dreq.type === 'DREQ');
  assert.deepEqual([dreq.localCommId, dreq.remoteCommId, dreq.qpn], [0xaacc1012, 0x26db91c6, 0x13]);
});

test('SIDR answers with a queue pair and its key, or with a status', () => {
  const answer = captured('SIDR_REP success') as SidrRep;
  assert.deepEqual([answer.status, answer.qkey, text(answer.privateData)], [0, 0x01234567, 'ud-server']);
  assert.equal(answer.serviceId, serviceIdOf(PortSpace.UDP, 7474));
  assert.equal((captured('SIDR_REP no listener') as SidrRep).status, SidrStatus.NO_SERVICE);
  const rejected = captured('SIDR_REP rejected') as SidrRep;
  assert.deepEqual([rejected.status, text(rejected.privateData)], [SidrStatus.REJECTED, 'ud-no']);
});

test('anything but a MAD of 256 bytes of this class, version and method is refused by name', () => {
  const mad = madOf(capturedPacket('REQ rping IPv4'));
  const changed = (at: number, value: number): Uint8Array => {
    const copy = mad.slice();
    copy[at] = value;
    return copy;
  };
  const cases: readonly (readonly [Uint8Array, CmDropReason])[] = [
    [mad.subarray(0, 255), CmDropReason.BAD_LENGTH],
    [Uint8Array.of(...mad, 0), CmDropReason.BAD_LENGTH],
    [new Uint8Array(0), CmDropReason.BAD_LENGTH],
    [changed(0, 2), CmDropReason.BAD_VERSION],
    [changed(1, 3), CmDropReason.WRONG_CLASS],
    [changed(2, 1), CmDropReason.BAD_VERSION],
    [changed(3, 1), CmDropReason.BAD_METHOD],
    [changed(17, 0x1b), CmDropReason.UNKNOWN_ATTRIBUTE],
    [changed(17, 0x19), CmDropReason.ALTERNATE_PATH],
    [changed(17, 0x1a), CmDropReason.ALTERNATE_PATH],
    [Uint8Array.from(mad).fill(0, 24, 28), CmDropReason.BAD_ID],
    [madOf(capturedPacket('DREQ from server')).fill(0, 28, 32), CmDropReason.BAD_ID],
  ];
  for (const [bytes, reason] of cases) assert.equal(parseCmMessage(bytes), reason, cmDropReasonName(reason));
});

test('any 256 bytes give a message or a reason, and a message survives being written and read', () => {
  const attributes = fc.constantFrom(...Object.values(CmAttribute), 0, 0xffff);
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 256, maxLength: 256 }), attributes, (bytes, attribute) => {
      bytes.set([1, 7, 2, 3], 0);
      bytes.set([attribute >>> 8, attribute & 255], 16);
      const message = parseCmMessage(bytes);
      if (typeof message === 'number') return;
      const written = writeCmMessage(message);
      assert.equal(written.length, MAD_BYTES);
      assert.deepEqual(parseCmMessage(written), message);
    }),
    { numRuns: 500 },
  );
});

test('an alternate path is told, and none is none', () => {
  const req = captured('REQ rping IPv4') as Req;
  const alternate: ReqPath = {
    ...req.primary,
    localLid: 7,
    packetRate: 3,
    serviceLevel: 5,
    isSubnetLocal: true,
  };
  const again = parsed(writeCmMessage({ ...req, alternate })) as Req;
  assert.deepEqual(again.alternate, alternate);
  assert.equal((parsed(writeCmMessage(req)) as Req).alternate, null);
});

test('a longer reject information than there is place for is cut', () => {
  const mad = madOf(capturedPacket('REJ no listener'));
  mad[33] = 0xff;
  assert.equal((parsed(mad) as Rej).info.length, 72);
});

test('a CMA header of another version, or with an address of the other family, is none', () => {
  const [source, destination] = ['192.0.2.1', '192.0.2.2'].map((ip) => parseGid(ip) as UdpAddress);
  const bytes = new Uint8Array(CMA_HEADER_BYTES);
  const written = { sourcePort: 513, source: source as UdpAddress, destination: destination as UdpAddress };
  writeCmaHeader(bytes, 0, written);
  assert.deepEqual(readCmaHeader(bytes, 0), written);
  for (const [at, value] of [
    [0, 1],
    [1, 0x50],
    [1, 0x00],
    [14, 1],
    [30, 1],
  ] as const) {
    const copy = bytes.slice();
    copy[at] = value;
    assert.equal(readCmaHeader(copy, 0), undefined, `byte ${at}`);
  }
  const mapped = bytes.slice();
  mapped[1] = 0x60;
  mapped.fill(0xff, 14, 16);
  assert.equal(readCmaHeader(mapped, 0), undefined);
  assert.equal(readCmaHeader(new Uint8Array(CMA_HEADER_BYTES), 0), undefined);
});

test('service IDs are a port space and a port', () => {
  assert.equal(serviceIdOf(PortSpace.TCP, 7174), 0x0000000001061c06n);
  assert.deepEqual([servicePort(0x1061c06n), portSpaceOf(0x1061c06n)], [7174, PortSpace.TCP]);
  assert.deepEqual([servicePort(0x10001061c06n), portSpaceOf(0x10001061c06n)], [-1, undefined]);
  assert.deepEqual(
    [PortSpace.TCP, PortSpace.UDP, PortSpace.IB].map((space) => hasCmaHeader(serviceIdOf(space, 1))),
    [true, true, true],
  );
  assert.equal(hasCmaHeader(0x1_0000_0000_0000n), false);
});

test('time codes and ACK timeouts are those that Linux computes', () => {
  assert.deepEqual(
    [8, 14, 16, 18, 19, 20, 24, 0].map(timeCodeMillis),
    [1, 64, 256, 1024, 2048, 4096, 65_536, 1],
  );
  assert.equal(ackTimeoutCode(18, 15), 19);
  assert.equal(ackTimeoutCode(16, 15), 17);
  assert.equal(ackTimeoutCode(13, 15), 16);
  assert.equal(ackTimeoutCode(31, 31), 31);
});

test('every message and every reason has a name, and places of private data end with the MAD or before a field', () => {
  assert.equal(cmAttributeName(CmAttribute.SIDR_REP), 'SIDR_REP');
  assert.equal(cmAttributeName(0x1b), 'attribute 0x1b');
  assert.equal(cmDropReasonName(CmDropReason.UNKNOWN_ID), 'cm_unknown_id');
  assert.equal(cmDropReasonName(999), 'cm_reason_999');
  for (const { at, bytes } of Object.values(PRIVATE_DATA)) assert.ok(at + bytes <= MAD_BYTES);
});
