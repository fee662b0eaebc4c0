/** Two soft devices of one host meet by rdma_cm, and data goes over the connection. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listen } from '../../src/cm/cm-server.js';
import { connect } from '../../src/cm/connect.js';
import { openEndpoint } from '../../src/endpoint/endpoint.js';
import { openDevice } from '../../src/open-device.js';
import { WorkCompletion } from '../../src/verbs/work-completion.js';
import { SendFlags, WrOpcode } from '../../src/verbs/work-request.js';

test('a client connects, sends, and disconnects', async () => {
  await using a = await openDevice('soft:127.0.0.2');
  await using b = await openDevice('soft:127.0.0.3');
  await using server = await listen(b, { port: 7174 });
  const udpPort = (await b.queryPort()).udpPort;
  await using clientEnd = await openEndpoint(a, { memory: 64 });
  await using serverEnd = await openEndpoint(b, { memory: 64 });
  serverEnd.qp.postRecv({ wrId: 1, sges: [{ mr: serverEnd.memory }] });
  const connecting = connect(a, {
    host: '127.0.0.3',
    port: 7174,
    udpPort,
    qp: clientEnd,
    privateData: Buffer.from('hello'),
  });
  const request = await server.next();
  assert.ok(request);
  assert.equal(Buffer.from(request.privateData.subarray(0, 5)).toString(), 'hello');
  const accepted = await request.accept({ qp: serverEnd, privateData: Buffer.from('welcome') });
  const connection = await connecting;
  assert.equal(Buffer.from(connection.privateData.subarray(0, 7)).toString(), 'welcome');
  clientEnd.qp.postSend({
    wrId: 2,
    opcode: WrOpcode.SEND,
    flags: SendFlags.SIGNALED,
    sges: [{ mr: clientEnd.memory }],
  });
  const wc = [new WorkCompletion()];
  assert.equal(await serverEnd.take(wc), 1);
  assert.equal(await clientEnd.take(wc), 1);
  const ending = await connection.disconnect();
  assert.deepEqual(ending, { type: 'disconnected', byPeer: false, answered: true });
  assert.deepEqual(await accepted.ended, { type: 'disconnected', byPeer: true, answered: true });
});
