/** Devices that sockets without a connection beneath share. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { leaseDevice } from '../../src/net/device-pool.js';
import { openDevice } from '../../src/open-device.js';
import type { Device } from '../../src/verbs/device.js';
import { FREE_DEVICE } from '../../testkit/session-pair.js';

/** The pool itself keeps no process alive, as its sockets do. */
async function untilClosed(device: Device): Promise<void> {
  while (!device.closed) await delay(10);
}

test('who names the same device gets the same, opened once, until a while after the last has left', async () => {
  const [one, other] = await Promise.all([leaseDevice(FREE_DEVICE), leaseDevice(FREE_DEVICE)]);
  assert.equal(one.device, other.device);
  one.release();
  await delay(700);
  assert.equal(other.device.closed, false);
  other.release();
  const again = await leaseDevice(FREE_DEVICE);
  assert.equal(again.device, one.device, 'the next comes before the while is over');
  await delay(700);
  assert.equal(again.device.closed, false);
  again.release();
  await untilClosed(one.device);
  const anew = await leaseDevice(FREE_DEVICE);
  assert.notEqual(anew.device, one.device);
  assert.equal(anew.device.closed, false);
  anew.release();
  await untilClosed(anew.device);
});

test('an address that must be free is opened again as soon as its device has closed', async () => {
  const name = 'soft:127.0.0.1?port=54791';
  const first = await leaseDevice(name);
  first.release();
  await untilClosed(first.device);
  const second = await leaseDevice(name);
  second.release();
  await untilClosed(second.device);
});

test('a device that could not be opened is tried again by the next', async () => {
  const name = 'soft:127.0.0.1?port=54792';
  const holder = await openDevice(name);
  await assert.rejects(leaseDevice(name), { code: 'ERR_RDMA_ADDRESS' });
  await holder.close();
  const lease = await leaseDevice(name);
  lease.release();
  await untilClosed(lease.device);
});

test('a device that the program opened stays open', async () => {
  await using device = await openDevice(FREE_DEVICE);
  const lease = await leaseDevice(device);
  assert.equal(lease.device, device);
  lease.release();
  await delay(700);
  assert.equal(device.closed, false);
});
