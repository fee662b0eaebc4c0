/** Who may begin a handshake, and who is forgotten. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { admissionLimits, ConnectGate } from '../../src/session/connect-gate.js';
import { networkOf } from '../../src/session/network-of.js';

function makeGate(limits = {}) {
  const clock = { now: 0 };
  const gate = new ConnectGate(admissionLimits(limits), () => clock.now);
  return { clock, gate };
}

test('one address has so many connections and no more; another is not affected; what it gives back it may use', () => {
  const { gate } = makeGate({ maxPerAddress: 2 });
  assert.equal(gate.enter('192.0.2.1'), undefined);
  assert.equal(gate.enter('192.0.2.1'), undefined);
  assert.match(gate.enter('192.0.2.1') ?? '', /more than 2 connections at once/);
  assert.equal(gate.enter('192.0.2.2'), undefined);
  gate.leave('192.0.2.1');
  gate.leave('192.0.2.1');
  assert.equal(gate.enter('192.0.2.1'), undefined);
});

test('a burst is followed by the rate, and a pause gives the burst back', () => {
  const { gate, clock } = makeGate({ connectsPerSecond: 10, burst: 3 });
  const connect = (): boolean => {
    const admitted = gate.enter('192.0.2.1') === undefined;
    gate.leave('192.0.2.1');
    return admitted;
  };
  assert.deepEqual([connect(), connect(), connect(), connect()], [true, true, true, false]);
  clock.now = 99;
  assert.equal(connect(), false);
  clock.now = 150;
  assert.deepEqual([connect(), connect()], [true, false]);
  clock.now = 10_000;
  assert.deepEqual([connect(), connect(), connect(), connect()], [true, true, true, false]);
});

test('addresses that left long ago are forgotten, those that hold a connection are not', () => {
  const { gate, clock } = makeGate({ connectsPerSecond: 10, burst: 10 });
  gate.enter('192.0.2.99');
  for (let i = 0; i < 50; i++) {
    gate.enter(`198.51.100.${i}`);
    gate.leave(`198.51.100.${i}`);
  }
  assert.equal(gate.known, 51);
  clock.now = 1000;
  gate.enter('203.0.113.1');
  assert.equal(gate.known, 2, 'one that stays keeps none of the others known');
  gate.leave('192.0.2.99');
  clock.now = 3000;
  gate.enter('203.0.113.2');
  assert.equal(gate.known, 2, 'the visitor and the one that is still connected');
});

test('an attacker with many addresses cannot make the list grow without bound', () => {
  const { gate } = makeGate();
  for (let i = 0; i < 70_000; i++) gate.enter(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`);
  assert.ok(gate.known <= 65_536);
});

test('an attacker with many addresses does not have those forgotten that hold connections', () => {
  const { gate } = makeGate({ maxPerAddress: 1 });
  assert.equal(gate.enter('192.0.2.1'), undefined);
  for (let i = 0; i < 70_000; i++) {
    const address = `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;
    gate.enter(address);
    gate.leave(address);
  }
  assert.match(gate.enter('192.0.2.1') ?? '', /more than 1 connections at once/);
});

test('IPv6 counts by /64, mapped IPv4 as IPv4', () => {
  assert.equal(networkOf('2001:db8::1'), networkOf('2001:0db8:0:0:ffff:1:2:3'));
  assert.notEqual(networkOf('2001:db8::1'), networkOf('2001:db8:0:1::1'));
  assert.equal(networkOf('::1'), '0:0:0:0::/64');
  assert.equal(networkOf('fe80::1%eth0'), 'fe80:0:0:0::/64');
  assert.equal(networkOf('::ffff:192.0.2.7'), '192.0.2.7');
});

test('limits are integers above 0', () => {
  assert.throws(() => admissionLimits({ burst: 0 }), { code: 'ERR_RDMA_INVALID_ARGUMENT' });
  assert.throws(() => admissionLimits({ maxPerAddress: 1.5 }), /admission.maxPerAddress/);
});
