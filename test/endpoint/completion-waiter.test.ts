/** What a wait makes of completions that come together. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { type Endpoint, openEndpoint } from '../../src/endpoint/endpoint.js';
import { openDevice } from '../../src/open-device.js';
import { QpState } from '../../src/verbs/qp-state.js';
import { createCompletions, WcOpcode } from '../../src/verbs/work-completion.js';
import { SendFlags, WrOpcode } from '../../src/verbs/work-request.js';

const LIMIT_MILLIS = 5000;

for (const sleeps of [true, false]) {
  test(`a wait that is over does not fail by what came with it (${sleeps ? 'sleeps' : 'looks'})`, async () => {
    const device = await openDevice('soft:127.0.0.1?port=0');
    const a = await openEndpoint(device, { memory: 64, wait: { sleeps, timeoutMillis: LIMIT_MILLIS } });
    const b = await openEndpoint(device, { memory: 64 });
    await a.connect(b.address);
    await b.connect(a.address);
    a.qp.postRecv({ wrId: 1, sges: [{ mr: a.memory }] });
    b.qp.postRecv({ wrId: 2, sges: [{ mr: b.memory }] });
    a.qp.postSend({ wrId: 3, opcode: WrOpcode.SEND, flags: SendFlags.SIGNALED, sges: [{ mr: a.memory }] });
    assert.equal(await b.take(createCompletions(1), LIMIT_MILLIS), 1);
    await acknowledged(a);
    // The receive is flushed behind the completion of the send, and both are taken in one look.
    await a.qp.modify({ state: QpState.ERR });
    let sent = 0;
    let received = 0;
    const wait = (isDone: () => boolean) =>
      a.until(isDone, ({ opcode }) => {
        if (opcode === WcOpcode.RECV) received++;
        else sent++;
      });
    await wait(() => sent === 1);
    await assert.rejects(async () => wait(() => received === 1), {
      code: 'ERR_RDMA_COMPLETION',
      status: 'WR_FLUSH_ERR',
    });
    for (const object of [a, b, device]) await object.close();
  });
}

/** Until all that was sent is acknowledged, which the program has not asked for yet. */
async function acknowledged({ qp }: Endpoint): Promise<void> {
  const deadline = performance.now() + LIMIT_MILLIS;
  while (qp.progress?.acknowledged !== qp.progress?.sent || qp.progress?.sent === 0) {
    assert.ok(performance.now() < deadline, 'no acknowledgement came');
    await turn();
  }
}
