/** What two ends agreed on, from the messages that Linux sent for it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  parametersOfRep,
  parametersOfReq,
  pathOfRep,
  pathOfReq,
  reqMtu,
} from '../../../src/roce/cm/bring-up-paths.js';
import type { Rep } from '../../../src/roce/cm/wire/rep.js';
import type { Req } from '../../../src/roce/cm/wire/req.js';
import { cmAddress, cmMessage } from '../../../testkit/cm-hosts.js';
import { capturedPacket, madOf } from '../../../testkit/cm-packets.js';

const REQ = cmMessage(madOf(capturedPacket('REQ private data'))) as Req;
const REP = cmMessage(madOf(capturedPacket('REP private data'))) as Rep;
const [SERVER, CLIENT] = [cmAddress('10.88.0.1'), cmAddress('10.88.0.2')];
const NOTHING = new Uint8Array(0);

test('the client has the attributes that Linux gave its queue pair', () => {
  const { peer, own, options } = pathOfRep(REQ, REP, SERVER, 1024, 18, undefined);
  assert.deepEqual(peer, {
    gid: '::ffff:10.88.0.1',
    udpPort: 4791,
    qpn: REP.qpn,
    psn: REQ.startingPsn,
    mtu: 1024,
    rdAtomic: 3,
  });
  // max_rd_atomic is what the server serves, max_dest_rd_atomic what it wants.
  assert.deepEqual(own, { psn: REP.startingPsn, mtu: 1024, rdAtomic: 5, initiatorDepth: 9 });
  assert.deepEqual(options, {
    trafficClass: 0,
    flowLabel: 0x16767,
    timeout: 19,
    retryCount: 5,
    rnrRetry: 6,
  });
});

test('the server has what the client asked for', () => {
  const { peer, own, options } = pathOfReq(REQ, CLIENT, 1024, 0x4c7d8b);
  assert.equal(REP.startingPsn, 0x4c7d8b);
  assert.deepEqual([peer.qpn, peer.psn, peer.rdAtomic], [REQ.qpn, 0x4c7d8b, 7]);
  assert.deepEqual([own.psn, own.rdAtomic, own.initiatorDepth], [REQ.startingPsn, 9, 7]);
  assert.deepEqual([options.retryCount, options.rnrRetry, options.timeout], [5, 4, 19]);
});

test('each end is told the wishes of the other', () => {
  const asked = parametersOfReq(REQ, NOTHING);
  assert.deepEqual(
    [asked.responderResources, asked.initiatorDepth, asked.retryCount, asked.rnrRetryCount],
    [7, 9, 5, 4],
  );
  assert.equal(asked.flowControl, true);
  const answered = parametersOfRep(REQ, REP);
  assert.deepEqual([answered.responderResources, answered.initiatorDepth, answered.rnrRetryCount], [3, 5, 6]);
  assert.equal(answered.retryCount, 5);
});

test('a peer gets no more READs than it was offered, and a program that knows its timeout has it', () => {
  const greedy = { ...REP, initiatorDepth: 255 };
  assert.equal(pathOfRep(REQ, greedy, SERVER, 1024, 16, undefined).own.rdAtomic, 7);
  assert.equal(pathOfRep(REQ, REP, SERVER, 1024, 16, undefined).options.timeout, 17);
  assert.equal(pathOfRep(REQ, REP, SERVER, 1024, 16, 12).options.timeout, 12);
});

test('an ACK timeout of 0 becomes 1, since 0 would be never; an MTU that is none is told', () => {
  const req = { ...REQ, primary: { ...REQ.primary, ackTimeout: 0 } };
  assert.equal(pathOfReq(req, CLIENT, 1024, 1).options.timeout, 1);
  assert.deepEqual(
    [0, 1, 5, 6, 15].map((mtu) => reqMtu({ ...REQ, mtu })),
    [undefined, 256, 4096, undefined, undefined],
  );
});
