/** Devices, ports, GIDs, protection domains and what a device says about itself. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openEndpoint } from '../../src/endpoint/endpoint.js';
import { openDevice } from '../../src/open-device.js';
import { AccessFlags } from '../../src/verbs/access-flags.js';
import { PATH_MTUS } from '../../src/verbs/mtu.js';
import { deviceName, End, ownGid, withDevice } from './harness.js';

test('the attributes are whole numbers that a program can plan with', () =>
  withDevice(async (device) => {
    for (const [name, value] of Object.entries(device.attributes)) {
      if (name === 'atomics' || name === 'instantRegistration') assert.equal(typeof value, 'boolean');
      else assert.ok(Number.isSafeInteger(value) && value >= 0, `${name} is ${value}`);
    }
    const { maxQps, maxQpWr, maxSge, maxCqs, maxCqe, maxMrs, maxMrBytes, maxPds } = device.attributes;
    for (const value of [maxQps, maxQpWr, maxSge, maxCqs, maxCqe, maxMrs, maxMrBytes, maxPds]) {
      assert.ok(value > 0);
    }
  }));

test('the port is active and says its MTU, message size and link layer', () =>
  withDevice(async (device) => {
    const port = await device.queryPort();
    assert.equal(port.state, 'ACTIVE');
    assert.ok(PATH_MTUS.includes(port.activeMtu));
    assert.ok(port.maxMessageBytes >= 65_536);
    assert.ok(['Ethernet', 'InfiniBand'].includes(port.linkLayer));
    assert.ok(port.udpPort > 0 && port.udpPort < 65_536);
    assert.deepEqual(await device.queryPort(1), port, 'port 1 is the default');
    await assert.rejects(device.queryPort(200), { code: 'ERR_RDMA_INVALID_ARGUMENT', message: /port/ });
  }));

test('every GID has an index, a text address and a type', () =>
  withDevice(async (device) => {
    const gids = await device.queryGids();
    assert.ok(gids.length > 0);
    assert.equal(new Set(gids.map(({ index }) => index)).size, gids.length, 'indices are unique');
    for (const { gid, type } of gids) {
      assert.match(gid, /^[0-9a-f:]+(\.\d+){0,3}$/);
      assert.ok(['IB', 'RoCE v1', 'RoCE v2'].includes(type));
    }
    assert.ok((await ownGid(device)).gid.length > 2);
  }));

test('opening the same device twice gives two devices that count their objects apart', () =>
  withDevice(async (first) => {
    await withDevice(async (second) => {
      const pd = await first.allocPd();
      assert.equal(first.census().pds, 1);
      assert.equal(second.census().pds, 0);
      await pd.close();
    });
  }));

test('a device with open objects refuses to close, says which, and still works', () =>
  withDevice(async (device) => {
    const end = await End.open(device);
    await assert.rejects(device.close(), {
      code: 'ERR_RDMA_IN_USE',
      message: /1 pds.*1 cqs.*1 channels.*1 qps/,
    });
    await assert.rejects(end.pd.close(), { code: 'ERR_RDMA_IN_USE' });
    await assert.rejects(end.cq.close(), { code: 'ERR_RDMA_IN_USE' });
    await assert.rejects(end.channel.close(), { code: 'ERR_RDMA_IN_USE' });
    const mr = await end.pd.regMr(new Uint8Array(16), AccessFlags.LOCAL_WRITE);
    assert.equal(device.census().mrs, 1);
    await mr.close();
    await end.close();
  }));

test('closing is idempotent, and what is closed says so', () =>
  withDevice(async (device) => {
    const pd = await device.allocPd();
    const channel = await device.createCompletionChannel();
    const cq = await device.createCq({ capacity: 8, channel });
    const qp = await pd.createQp({ sendCq: cq, recvCq: cq });
    const mr = await pd.regMr(new Uint8Array(64), AccessFlags.LOCAL_WRITE);
    for (const object of [mr, qp, cq, channel, pd]) {
      assert.equal(object.closed, false);
      await Promise.all([object.close(), object.close()]);
      await object.close();
      assert.equal(object.closed, true);
    }
    const closed = { code: 'ERR_RDMA_CLOSED' };
    await assert.rejects(qp.modify({ state: 0 }), closed);
    await assert.rejects(qp.query(), closed);
    assert.throws(() => qp.postRecv({ wrId: 1 }), closed);
    assert.throws(() => cq.poll([]), closed);
    assert.throws(() => cq.reqNotify(), closed);
    await assert.rejects(channel.next(), closed);
    await assert.rejects(pd.regMr(new Uint8Array(1), 0), closed);
    await assert.rejects(pd.createAh({ dgid: '::1' }), closed);
  }));

test('a device that is closed by force closes its objects first', async () => {
  const device = await openDevice(deviceName);
  const endpoint = await openEndpoint(device, { memory: 64 });
  await endpoint.register(new Uint8Array(16));
  const pd = await device.allocPd();
  if (device.attributes.maxSrqs > 0) await pd.createSrq({ maxWr: 4 });
  await assert.rejects(device.close(), { code: 'ERR_RDMA_IN_USE' });
  await device.close({ force: true });
  assert.deepEqual(new Set(Object.values(device.census())), new Set([0]));
  const { qp, memory, recvCq, channel } = endpoint;
  for (const object of [qp, memory, recvCq, channel, pd, device]) assert.equal(object.closed, true);
  // Those who close what is closed already do no harm.
  await endpoint.close();
});

test('a closed device refuses everything', async () => {
  let escaped: Awaited<Parameters<Parameters<typeof withDevice>[0]>[0]> | undefined;
  await withDevice(async (device) => {
    escaped = device;
  });
  assert.ok(escaped !== undefined);
  const closed = { code: 'ERR_RDMA_CLOSED' };
  await escaped.close();
  assert.equal(escaped.closed, true);
  await assert.rejects(escaped.allocPd(), closed);
  await assert.rejects(escaped.queryPort(), closed);
  await assert.rejects(escaped.queryGids(), closed);
  await assert.rejects(escaped.createCq({ capacity: 1 }), closed);
  await assert.rejects(escaped.createCompletionChannel(), closed);
});

test('counters are numbers by name', () =>
  withDevice(async (device) => {
    const counters = device.counters();
    assert.ok(Object.keys(counters).length > 0, `${deviceName} counts nothing`);
    for (const [name, value] of Object.entries(counters)) assert.ok(Number.isFinite(value), name);
  }));
