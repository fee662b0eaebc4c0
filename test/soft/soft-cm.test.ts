/** The communication manager of a soft device alone: how it keeps time with the NIC. */
import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import { mock, test } from 'node:test';
import { Nic } from '../../src/roce/nic.js';
import { SoftCm } from '../../src/soft/soft-cm.js';
import { LiveObjects } from '../../src/verbs/live-objects.js';
import { toAddress } from '../../testkit/nic-pair.js';

const REPEAT_MILLIS = 1000;
const LOOKUP = {
  remote: { host: '10.0.0.9', port: 7 },
  privateData: new Uint8Array(0),
  timeoutMillis: 60_000,
};

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
      let random = 1;
      const nic = new Nic({ addresses: [toAddress('10.0.0.1')], random: () => ++random });
      const host = { name: 'soft:10.0.0.1', nic, live: new LiveObjects(), afterPost: () => {} };
      const cm = new SoftCm(host, { random: () => ++random, maxMtu: 1024 });
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
