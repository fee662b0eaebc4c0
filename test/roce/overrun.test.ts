/** A completion queue in overrun costs what its own queue pairs cost, however many others the NIC has. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Nic } from '../../src/roce/nic.js';
import { QpState, QpType } from '../../src/verbs/qp-state.js';
import { toAddress } from '../../testkit/nic-pair.js';
import { Random } from '../../testkit/random.js';

test('an overrun fails the queue pairs of its queue, and looks at no other', () => {
  const nic = new Nic({ addresses: [toAddress('10.0.0.1')], random: new Random(1).u32 });
  const capacity = { maxSendWr: 1, maxRecvWr: 4, maxSendSge: 1, maxRecvSge: 1, maxInlineData: 0 };
  const createQp = (cq = nic.createCq(1)) =>
    nic.createQp({ type: QpType.RC, pd: 1, sendCq: cq, recvCq: cq, srq: null, signalAll: true, capacity }, 0);
  let looks = 0;
  for (let i = 0; i < 100; i++) {
    const other = createQp();
    for (const name of ['sendCq', 'recvCq'] as const) {
      const cq = other[name];
      Object.defineProperty(other, name, { get: () => [++looks, cq][1] });
    }
  }
  const small = nic.createCq(1);
  const [flushed, user, gone] = [createQp(small), createQp(small), createQp(small)];
  for (const qp of [flushed, user]) qp.modify({ state: QpState.INIT, pkeyIndex: 0, port: 1, accessFlags: 0 });
  nic.destroyQp(gone, 0);
  for (let i = 0; i < 3; i++) flushed.postRecv({ wrId: i });
  flushed.modify({ state: QpState.ERR });
  assert.equal(small.overrun, true);
  assert.equal(user.state, QpState.ERR, 'it completes into the queue that overran');
  assert.equal(looks, 0);
});
