import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  copyAddress,
  formatGid,
  formatIp,
  isIpv4,
  parseGid,
  sameGid,
  UdpAddress,
  withoutZone,
} from '../../src/verbs/address.js';

function parsed(text: string): UdpAddress {
  const address = parseGid(text);
  assert.ok(address !== undefined, `${text} was refused`);
  return address;
}

const words = (a: UdpAddress): number[] => [a.w0, a.w1, a.w2, a.w3].map((word) => word >>> 0);

test('an IPv4 address becomes a mapped GID', () => {
  const address = parsed('127.0.0.1');
  assert.deepEqual(words(address), [0, 0, 0xffff, 0x7f000001]);
  assert.equal(address.port, 0);
  assert.equal(isIpv4(address), true);
  assert.equal(formatGid(address), '::ffff:127.0.0.1');
  assert.equal(formatIp(address), '127.0.0.1');
  assert.ok(sameGid(address, parsed('::ffff:127.0.0.1')));
  assert.ok(sameGid(address, parsed('0:0:0:0:0:FFFF:7f00:0001')));
  assert.deepEqual(words(parsed('255.255.255.255')), [0, 0, 0xffff, 0xffffffff]);
});

test('words are int32 so that equal addresses compare equal', () => {
  const address = parsed('fe80::ffff:ffff:ffff:ffff');
  assert.deepEqual([address.w0, address.w1, address.w2, address.w3], [0xfe800000 | 0, 0, -1, -1]);
});

test('IPv6 text is read and written as RFC 5952 has it', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['::', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['2001:0DB8::0001', '2001:db8::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
    ['::2:3:4:5:6:7:8', '0:2:3:4:5:6:7:8'],
    ['0:0:3:4:5:6:0:0', '::3:4:5:6:0:0'],
    ['fe80:0:0:0:0:0:0:0', 'fe80::'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
    ['1:2:3:4:5:6:1.2.3.4', '1:2:3:4:5:6:102:304'],
    ['::1.2.3.4', '::102:304'],
    ['::ffff:0:0', '::ffff:0.0.0.0'],
  ];
  for (const [text, canonical] of cases) {
    assert.equal(formatGid(parsed(text)), canonical);
    assert.equal(isIP(canonical), 6);
  }
});

test('what is not an address is refused', () => {
  const texts = [
    '',
    ' ',
    ':',
    ':::',
    '1',
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.256',
    '01.2.3.4',
    '1.2.3.4 ',
    '+1.2.3.4',
  ]
    .concat([
      '1:2:3:4:5:6:7',
      '1:2:3:4:5:6:7:8:9',
      '1::2::3',
      '12345::',
      'g::',
      ':1:2:3:4:5:6:7',
      '1:2:3:4:5:6:7:',
    ])
    .concat([
      'fe80::1%eth0',
      '127.0.0.1%lo',
      '1.2.3.4::',
      '1.2.3.4:5::',
      '::1.2.3.4:5',
      '::1.2.3',
      '[::1]',
      '::1/64',
    ])
    .concat([
      '1:2:3:4:5:6:7:1.2.3.4',
      '1:2:3:4:5:6:7:8::',
      '::1:2:3:4:5:6:7:8',
      '1.2.3.٤',
      '::ffff:1.2.3.256',
    ]);
  for (const text of texts) assert.equal(parseGid(text), undefined, JSON.stringify(text));
});

const anyWord = fc.oneof(fc.constantFrom(0, 1, 0xffff, 0x10000), fc.integer({ min: 0, max: 0xffffffff }));

test('every address survives the way through its text', () => {
  fc.assert(
    fc.property(anyWord, anyWord, anyWord, anyWord, (w0, w1, w2, w3) => {
      const address = Object.assign(new UdpAddress(), { w0: w0 | 0, w1: w1 | 0, w2: w2 | 0, w3: w3 | 0 });
      assert.ok(sameGid(parsed(formatGid(address)), address));
      assert.ok(sameGid(parsed(formatIp(address)), address));
      assert.equal(isIP(formatIp(address)), isIpv4(address) ? 4 : 6);
    }),
    { numRuns: 1000 },
  );
});

test('the same texts are accepted as by node:net, zones aside', () => {
  const piece = fc.constantFrom(':', '::', '.', '0', '1', 'ff', '12ab', '255', '256', '00', '%', '1.2.3.4');
  const text = fc.oneof(
    fc.array(piece, { maxLength: 17 }).map((pieces) => pieces.join('')),
    fc.ipV6(),
    fc.ipV4(),
  );
  fc.assert(
    fc.property(text, (candidate) => {
      assert.equal(
        parseGid(candidate) !== undefined,
        !candidate.includes('%') && isIP(candidate) !== 0,
        candidate,
      );
    }),
    { numRuns: 3000 },
  );
});

test('comparing ignores the port, copying takes it along', () => {
  const a = parsed('2001:db8::7');
  a.port = 4791;
  const b = new UdpAddress();
  assert.equal(sameGid(a, b), false);
  copyAddress(a, b);
  assert.deepEqual(b, a);
  b.port = 1;
  assert.equal(sameGid(a, b), true);
  for (const word of ['w0', 'w1', 'w2', 'w3'] as const) {
    copyAddress(a, b);
    b[word] ^= 1;
    assert.equal(sameGid(a, b), false, word);
  }
});

test('a zone belongs to a link-local address, and to no other text', () => {
  assert.equal(withoutZone('fe80::1%eth0'), 'fe80::1');
  assert.equal(withoutZone('FEBF:0::1%3'), 'FEBF:0::1');
  for (const text of [
    'fe80::1',
    'fe80::1%',
    'fd00::1%eth0',
    '192.0.2.1%eth0',
    'fe80',
    'fe8::1%eth0',
    'name%fe80::1',
    '%',
    '',
  ]) {
    assert.equal(withoutZone(text), text);
  }
});
