/** Services other than those of RDMA_PS_TCP, at the wire: which service ID a REQ names, and what is before its private data. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CmDropReason } from '../../../src/roce/cm/cm-drop-reason.js';
import { CMA_HEADER_BYTES } from '../../../src/roce/cm/wire/cma-header.js';
import { serviceIdOf } from '../../../src/roce/cm/wire/service-id.js';
import { PortSpace } from '../../../src/verbs/connection-manager.js';
import { CM_PORT, CmHosts } from '../../../testkit/cm-hosts.js';

const SERVICE_AT = 32;
const GID_BYTES = 16;
const FLOW_LABEL_AT = 112;
const PRIVATE_AT = 164;
const NATIVE_SERVICE = 0x0002_c903_0042_1770n;

const hex = (bytes: Uint8Array, at: number, length: number): string =>
  Buffer.from(bytes.subarray(at, at + length)).toString('hex');

function ask(serviceId: bigint, privateData: string) {
  const hosts = new CmHosts();
  const [client, server] = [hosts.add('10.0.0.1'), hosts.add('10.0.0.2')];
  server.listen({ serviceId });
  client.connectTo(server, 0x11, {
    serviceId,
    sourcePort: 55_000,
    privateData: new TextEncoder().encode(privateData),
  });
  return { hosts, client, server, req: hosts.last('REQ') };
}

test('a REQ to a port of RDMA_PS_IB has the CMA header of Linux, and its service ID names the space', () => {
  const { server, req } = ask(serviceIdOf(PortSpace.IB, CM_PORT), 'hello');
  assert.equal(hex(req, SERVICE_AT, 8), '00000000013f1c06');
  assert.equal(hex(req, PRIVATE_AT, 4), '0040d6d8', 'version, IPv4, source port');
  assert.equal(hex(req, PRIVATE_AT + 4, GID_BYTES), `${'00'.repeat(12)}0a000001`);
  assert.equal(hex(req, PRIVATE_AT + 4 + GID_BYTES, GID_BYTES), `${'00'.repeat(12)}0a000002`);
  assert.equal(hex(req, PRIVATE_AT + CMA_HEADER_BYTES, 5), Buffer.from('hello').toString('hex'));
  const label = (55_000 * 31 + CM_PORT) & 0xfffff;
  assert.equal(hex(req, FLOW_LABEL_AT, 3), (label << 4).toString(16).padStart(6, '0'), 'of both ports');
  const { local, remote, peer } = server.take('request');
  assert.deepEqual([local.port, remote.port, peer.privateData.length], [CM_PORT, 55_000, 56]);
});

test('a REQ to a service ID of a program without rdma_cm carries its private data alone', () => {
  const { server, req } = ask(NATIVE_SERVICE, 'hello');
  assert.equal(hex(req, SERVICE_AT, 8), '0002c90300421770');
  assert.equal(hex(req, PRIVATE_AT, 92), Buffer.from('hello').toString('hex').padEnd(184, '0'));
  const { local, remote, peer } = server.take('request');
  assert.deepEqual(local, { host: '10.0.0.2', port: 0 });
  assert.deepEqual(remote, { host: '10.0.0.1', port: 0 });
  assert.equal(peer.privateData.length, 92);
});

test('port spaces are apart: who listens in the one is not found in the other', () => {
  const hosts = new CmHosts();
  const [client, server] = [hosts.add('10.0.0.1'), hosts.add('10.0.0.2')];
  server.listen({ serviceId: serviceIdOf(PortSpace.IB, CM_PORT) });
  client.connectTo(server, 0x11);
  assert.equal(client.take('rejected').reason, 8);
  client.connectTo(server, 0x12, { serviceId: serviceIdOf(PortSpace.IB, CM_PORT) });
  server.take('request');
});

test('a REQ to a port of RDMA_PS_IB without a CMA header is refused, as Linux does over Ethernet', () => {
  const { server, req } = ask(serviceIdOf(PortSpace.IB, CM_PORT), '');
  server.take('request');
  const other = new Uint8Array(req);
  other.fill(0, PRIVATE_AT);
  // Of another connection.
  other[27] = (other[27] as number) ^ 1;
  other[58] = 0x77;
  const { counters } = server.machine;
  server.hear(other, ask(serviceIdOf(PortSpace.IB, CM_PORT), '').client.address);
  assert.equal(counters.drops[CmDropReason.BAD_CMA_HEADER], 1);
});

test('both ends tell the other whether they have a shared receive queue', () => {
  for (const srq of [false, true]) {
    const hosts = new CmHosts();
    const [client, server] = [hosts.add('10.0.0.1'), hosts.add('10.0.0.2')];
    server.listen();
    client.connectTo(server, 0x11, { srq });
    const request = server.take('request');
    assert.equal(request.peer.srq, srq);
    assert.equal(((hosts.last('REQ')[75] as number) >> 3) & 1, Number(srq));
    const { qpn, privateData, ...depths } = request.peer;
    server.run(() =>
      server.machine.accept(request.id, { ...depths, qpn, privateData: new Uint8Array(), srq }, hosts.now),
    );
    assert.equal(client.take('response').peer.srq, srq);
    assert.equal(((hosts.last('REP')[51] as number) >> 4) & 1, Number(srq));
  }
});
