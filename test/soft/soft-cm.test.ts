/** The communication manager of a soft device: how it keeps time with the NIC, what it tells when, and what it lets go. */
import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import { mock, test } from 'node:test';
import { openEndpoint } from '../../src/endpoint/endpoint.js';
import { openDevice } from '../../src/open-device.js';
import { serviceIdOf } from '../../src/roce/cm/wire/service-id.js';
import { Datagram } from '../../src/roce/datagram.js';
import { Nic } from '../../src/roce/nic.js';
import { SoftCm } from '../../src/soft/soft-cm.js';
import type { CmNamed } from '../../src/soft/soft-cm-owner.js';
import { copyAddress } from '../../src/verbs/address.js';
import { toQpn } from '../../src/verbs/brands.js';
import { type CmRequest, PortSpace } from '../../src/verbs/connection-manager.js';
import { LiveObjects } from '../../src/verbs/live-objects.js';
import { QpType } from '../../src/verbs/qp-state.js';
import { CmHosts, cmParameters } from '../../testkit/cm-hosts.js';
import { toAddress } from '../../testkit/nic-pair.js';

const OWN = '10.0.0.1';
const REPEAT_MILLIS = 1000;
const LOOKUP = {
  remote: { host: '10.0.0.9', port: 7 },
  privateData: new Uint8Array(0),
  timeoutMillis: 60_000,
};

/** Of a NIC that nobody drives. */
function openAlone(): { readonly cm: SoftCm; readonly nic: Nic } {
  let random = 1;
  const nic = new Nic({ addresses: [toAddress(OWN)], random: () => ++random });
  const host = { name: `soft:${OWN}`, nic, live: new LiveObjects(), afterPost: () => {} };
  return { nic, cm: new SoftCm(host, { random: () => ++random, maxMtu: 1024 }) };
}

/** Times after which something is due at a time that comes back smaller from microseconds. */
function* oddTimes(): Generator<number> {
  for (let step = 0; step < 20_000; step++) {
    const now = (step * 0.997_495 * 1000) / 1000;
    const due = now + REPEAT_MILLIS;
    if ((due * 1000) / 1000 < due) yield now;
  }
}

test('what the machine waits for is over when the NIC wakes it, whatever the clock said at the beginning', () => {
  const clock = mock.method(performance, 'now');
  try {
    let count = 0;
    for (const now of oddTimes()) {
      if (++count > 50) break;
      clock.mock.mockImplementation(() => now);
      const { cm, nic } = openAlone();
      cm.lookUp(LOOKUP, () => assert.fail('nobody answers'));
      const dueAt = nic.nextDeadline();
      nic.handleTimeout(dueAt);
      assert.ok(nic.nextDeadline() > dueAt, `the next time after ${now} ms`);
      assert.equal(cm.counters()['cm_retransmitted'], 1, 'it asks again');
    }
    assert.ok(count > 10, `there are such times: ${count}`);
  } finally {
    clock.mock.restore();
  }
});

test('a lookup whose listener closes before its program is told is refused, not left in silence', async () => {
  const { cm } = openAlone();
  const listener = await cm.listenDatagram({ host: null, port: 7, backlog: 4 }, () =>
    assert.fail('the listener is closed'),
  );
  const hosts = new CmHosts();
  const client = hosts.add('10.0.0.9');
  client.run(() =>
    client.machine.lookUp(
      {
        serviceId: serviceIdOf(PortSpace.UDP, 7),
        remote: toAddress(OWN),
        local: client.address,
        privateData: new Uint8Array(0),
        timeoutMillis: 5000,
      },
      0,
    ),
  );
  const datagram = new Datagram();
  copyAddress(client.address, datagram.source);
  copyAddress(toAddress(OWN), datagram.destination);
  cm.onGmp(hosts.last('SIDR_REQ'), datagram, 1);
  const answering = mock.method(cm.machine, 'answerLookup');
  await listener.close();
  assert.equal(cm.deliver(), true);
  assert.deepEqual(
    answering.mock.calls.map(({ arguments: [, { status }] }) => status),
    [2],
  );
  assert.equal(cm.counters()['cm_sent'], 1);
});

test('who lets a queue pair go takes its first packet from nobody who waits for it since', () => {
  const { cm, nic } = openAlone();
  const cq = nic.createCq(4);
  const capacity = { maxSendWr: 1, maxRecvWr: 1, maxSendSge: 1, maxRecvSge: 1, maxInlineData: 0 };
  const qp = nic.createQp(
    { type: QpType.RC, pd: 1, sendCq: cq, recvCq: cq, srq: null, signalAll: true, capacity },
    0,
  );
  const establishing = mock.method(cm.machine, 'establish');
  const ids: CmNamed[] = [1, 2].map((handle) => ({ handle, awaitedQpn: null }));
  for (const id of ids) cm.awaitFirstPacket(id, toQpn(qp.qpn));
  cm.forget(ids[0] as CmNamed);
  cm.onFirstPacket(qp.qpn);
  cm.onFirstPacket(qp.qpn);
  assert.deepEqual(
    establishing.mock.calls.map(({ arguments: [handle] }) => handle),
    [2],
  );
});

test('a listener that throws takes no news from others, and the program sees what it threw', async () => {
  const { cm } = openAlone();
  const told: string[] = [];
  const listeners = process.listeners('unhandledRejection');
  process.removeAllListeners('unhandledRejection');
  const thrown = new Promise((resolve) => process.once('unhandledRejection', resolve));
  cm.tellSoon(() => {
    throw new Error('of a listener');
  });
  cm.tellSoon(() => told.push('the next'));
  assert.equal(cm.deliver(), true);
  assert.deepEqual(told, ['the next']);
  const error = await thrown;
  for (const listener of listeners) process.on('unhandledRejection', listener);
  assert.match(String(error), /of a listener/);
  assert.equal(cm.deliver(), false);
});

test('a device that is closed by force tells nothing within the call, and everybody before it is closed', async () => {
  const device = await openDevice('soft:127.0.0.1?port=0');
  const manager = await device.connectionManager();
  const told: string[] = [];
  const { udpPort } = await device.queryPort();
  manager.lookUp({ ...LOOKUP, remote: { host: '127.0.0.99', port: 7 } }, ({ type }) =>
    told.push(`lookup ${type}`),
  );
  const giveUp = manager.lookUp({ ...LOOKUP, remote: { host: '127.0.0.99', port: 7 } }, () =>
    told.push('given up'),
  );
  const end = await openEndpoint(device);
  let request: CmRequest | undefined;
  const listener = await manager.listen({ host: null, port: 0, backlog: 1 }, (given) => {
    request = given;
  });
  const asking = {
    remote: listener.address,
    udpPort,
    timeoutMillis: 60_000,
    ...cmParameters(end.qp.qpn),
  };
  manager.connect(asking, ({ type }) => told.push(`client ${type}`));
  while (request === undefined) await new Promise((resolve) => setImmediate(resolve));
  const closing = device.close({ force: true });
  giveUp();
  assert.equal(told.length, 0, 'nothing within the call');
  // Nobody has listened until now.
  request.onEvent(({ type }) => told.push(`server ${type}`));
  await closing;
  assert.deepEqual(told.sort(), ['client failed', 'lookup failed', 'server failed']);
});
