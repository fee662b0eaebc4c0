/** A program that takes the last message and ends its queue pair within the same turn of the event loop. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Endpoint, openEndpoint } from '../../src/endpoint/endpoint.js';
import { openDevice } from '../../src/open-device.js';
import { QpState } from '../../src/verbs/qp-state.js';
import { createCompletions, statusName, WcStatus } from '../../src/verbs/work-completion.js';
import { SendFlags, WrOpcode } from '../../src/verbs/work-request.js';

const LIMIT_MILLIS = 5000;

/** Looks without a turn of the event loop, as programs do that poll. */
function pollUntil(endpoint: Endpoint, isDone: () => boolean): void {
  const deadline = performance.now() + LIMIT_MILLIS;
  while (!isDone()) assert.ok(performance.now() < deadline, `${endpoint.device.name}: nothing came in`);
}

const ENDINGS = {
  'closes its queue pair': async ({ qp }: Endpoint) => qp.close(),
  'moves it to ERR and closes it': async ({ qp }: Endpoint) => {
    void qp.modify({ state: QpState.ERR });
    await qp.close();
  },
};

for (const [title, end] of Object.entries(ENDINGS)) {
  test(`a message is acknowledged although its receiver ${title} at once`, async (t) => {
    const device = await openDevice('soft:127.0.0.1?port=0');
    if ((await device.queryPort()).exactIcrc === false)
      return t.skip('packets come in by turns of the loop only');
    const [a, b] = [await openEndpoint(device, { memory: 64 }), await openEndpoint(device, { memory: 64 })];
    await a.connect(b.address, { timeout: 12, retryCount: 2 });
    await b.connect(a.address);
    b.qp.postRecv({ wrId: 1, sges: [{ mr: b.memory }] });
    a.qp.postSend({ wrId: 2, opcode: WrOpcode.SEND, flags: SendFlags.SIGNALED, sges: [{ mr: a.memory }] });
    const taken = createCompletions(1);
    pollUntil(b, () => b.recvCq.poll(taken) === 1);
    assert.equal(statusName(taken[0]?.status ?? WcStatus.GENERAL_ERR), 'SUCCESS');
    await end(b);
    assert.equal(await a.take(taken, LIMIT_MILLIS), 1);
    assert.equal(statusName(taken[0]?.status ?? WcStatus.GENERAL_ERR), 'SUCCESS');
    await a.close();
    await b.close();
    await device.close();
  });
}
