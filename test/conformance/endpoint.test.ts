/** Endpoints: one end of a queue pair, opened, brought up and closed as a whole, and how a program waits at it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Endpoint, type EndpointOptions, openEndpoint } from '../../src/endpoint/endpoint.js';
import { AccessFlags } from '../../src/verbs/access-flags.js';
import { toQKey } from '../../src/verbs/brands.js';
import type { Device } from '../../src/verbs/device.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { type PeerPath, toPeerPath } from '../../src/verbs/peer-path.js';
import { QpState, QpType } from '../../src/verbs/qp-state.js';
import { createCompletions, statusName, WcOpcode } from '../../src/verbs/work-completion.js';
import { SendFlags, WrOpcode } from '../../src/verbs/work-request.js';
import { assertSameBytes, ownGid, pattern, withDevice } from './harness.js';

const { REMOTE_READ, REMOTE_WRITE } = AccessFlags;
const BYTES = 4096;

/** As it would travel. */
const told = ({ address }: Endpoint): PeerPath => toPeerPath(JSON.parse(JSON.stringify(address)));

async function options(device: Device, more: EndpointOptions = {}): Promise<EndpointOptions> {
  const gidIndex = (await ownGid(device)).index;
  return { memory: BYTES, ...more, path: { gidIndex, ...more.path } };
}

async function withEnds(
  more: EndpointOptions,
  run: (a: Endpoint, b: Endpoint, device: Device) => Promise<void>,
): Promise<void> {
  await withDevice(async (device) => {
    const a = await openEndpoint(device, await options(device, more));
    const b = await openEndpoint(device, await options(device, more));
    try {
      await a.connect(told(b));
      await b.connect(told(a));
      await run(a, b, device);
    } finally {
      await a.close();
      await b.close();
    }
  });
}

const send = ({ qp, memory }: Endpoint, length = BYTES): void =>
  qp.postSend({
    wrId: 1,
    opcode: WrOpcode.SEND,
    flags: SendFlags.SIGNALED,
    sges: [{ mr: memory, length }],
  });
const receive = ({ qp, memory }: Endpoint, wrId = 2): void => qp.postRecv({ wrId, sges: [{ mr: memory }] });

/** One message from the first to the second, each awaiting its completion. */
async function pass(from: Endpoint, to: Endpoint): Promise<void> {
  receive(to);
  send(from);
  let open = 2;
  const isDone = (): boolean => open <= 0;
  const waits = [from, to].map((end) => {
    let taken = false;
    return end.until(
      () => taken || isDone(),
      () => {
        taken = true;
        open--;
      },
    );
  });
  await Promise.all(waits);
}

for (const wait of [{ sleeps: true }, { sleeps: false }, { looks: 0 }, { looks: 50 }]) {
  test(`two endpoints pass messages both ways, waiting with ${JSON.stringify(wait)}`, async () => {
    await withEnds({ wait }, async (a, b) => {
      for (let round = 0; round < 10; round++) {
        a.memory.bytes.set(pattern(BYTES, round));
        await pass(a, b);
        assertSameBytes(b.memory.bytes, pattern(BYTES, round), `there, ${round}`);
        b.memory.bytes.set(pattern(BYTES, round + 100));
        await pass(b, a);
        assertSameBytes(a.memory.bytes, pattern(BYTES, round + 100), `back, ${round}`);
      }
    });
  });
}

test('the queues of an endpoint are one, or one for sends and one for receives', async () => {
  await withEnds({ separateCqs: true }, async (a, b) => {
    assert.notEqual(a.sendCq, a.recvCq);
    await pass(a, b);
    await pass(b, a);
  });
  await withEnds({}, async (a) => assert.equal(a.sendCq, a.recvCq));
});

test('receives can be posted before the peer knows of the endpoint', async () => {
  await withDevice(async (device) => {
    const a = await openEndpoint(device, await options(device));
    const b = await openEndpoint(device, await options(device));
    assert.equal(b.qp.state, QpState.INIT);
    receive(b);
    await b.connect(told(a));
    await a.connect(told(b));
    send(a, 8);
    const [wc] = createCompletions(1);
    assert.ok(wc);
    assert.equal(await b.take([wc]), 1);
    assert.deepEqual([wc.opcode, wc.byteLen], [WcOpcode.RECV, 8]);
    await a.close();
    await b.close();
  });
});

test('an endpoint is brought up with the smaller values of both sides and the options of its own', async () => {
  await withDevice(async (device) => {
    const path = { timeout: 10, retryCount: 3, rnrRetry: 2, minRnrTimer: 5, trafficClass: 0x20, hopLimit: 9 };
    const a = await openEndpoint(device, await options(device, { access: REMOTE_READ, path, rdAtomic: 4 }));
    const b = await openEndpoint(device, await options(device, { mtu: 256, rdAtomic: 1 }));
    await a.connect(told(b), { retryCount: 4 });
    const snapshot = await a.qp.query();
    const { timeout, retryCount, rnrRetry, minRnrTimer, maxRdAtomic, maxDestRdAtomic, pathMtu } = snapshot;
    assert.deepEqual([snapshot.state, timeout, retryCount, rnrRetry], [QpState.RTS, 10, 4, 2]);
    assert.deepEqual([minRnrTimer, maxRdAtomic, maxDestRdAtomic, pathMtu], [5, 1, 4, 256]);
    assert.deepEqual([snapshot.sqPsn, snapshot.rqPsn], [a.address.psn, b.address.psn]);
    assert.equal(snapshot.accessFlags, REMOTE_READ);
    // Linux replaces the hop limit by that of the route.
    assert.equal(snapshot.av?.trafficClass, 0x20);
    assert.ok([9, 64].includes(snapshot.av?.hopLimit ?? 0));
    await a.close();
    await b.close();
  });
});

test('the peer may do what the endpoint was opened for, and nothing without it', async () => {
  const write = async (a: Endpoint, b: Endpoint): Promise<string> => {
    const remote = { remoteAddr: b.memory.addr, rkey: b.memory.rkey };
    const sges = [{ mr: a.memory }];
    a.qp.postSend({ wrId: 1, opcode: WrOpcode.RDMA_WRITE, flags: SendFlags.SIGNALED, sges, ...remote });
    const [wc] = createCompletions(1);
    assert.ok(wc);
    assert.equal(await a.take([wc]), 1);
    return statusName(wc.status);
  };
  await withEnds({ access: REMOTE_WRITE }, async (a, b) => {
    a.memory.bytes.fill(7);
    assert.equal(await write(a, b), 'SUCCESS');
    assert.equal(b.memory.bytes[BYTES - 1], 7);
  });
  await withEnds({}, async (a, b) => assert.match(await write(a, b), /^REM_(ACCESS|INV_REQ)_ERR$/));
});

test('endpoints of UC and UD come up as well', async () => {
  await withEnds({ type: QpType.UC }, async (a, b) => {
    receive(b);
    send(a, 16);
    assert.equal(await b.take(createCompletions(1)), 1);
  });
  await withDevice(async (device) => {
    const path = { qkey: toQKey(0x11) };
    const end = await openEndpoint(device, await options(device, { type: QpType.UD, path }));
    await end.connect(null);
    assert.deepEqual([end.qp.state, (await end.qp.query()).qkey], [QpState.RTS, 0x11]);
    await end.close();
  });
});

test('an endpoint closes what it opened and what it was given to keep, in order, and nothing else', async () => {
  await withDevice(async (device) => {
    const pd = await device.allocPd();
    const end = await openEndpoint(device, await options(device, { pd, separateCqs: true }));
    const closed: string[] = [];
    for (const name of ['first', 'second']) {
      end.keep({
        async [Symbol.asyncDispose]() {
          closed.push(name);
          assert.ok(end.qp.closed && !end.memory.closed);
        },
      });
    }
    const more = await end.register(new ArrayBuffer(64));
    await end.close();
    await end.close();
    assert.deepEqual(closed, ['second', 'first']);
    assert.deepEqual(
      [more.closed, end.memory.closed, end.channel.closed, pd.closed],
      [true, true, true, false],
    );
    await pd.close();
  });
});

test('an endpoint that cannot be opened or connected leaves nothing behind', async () => {
  await withDevice(async (device) => {
    const tooMuch = { maxSendWr: device.attributes.maxQpWr + 1 };
    const wrong: [EndpointOptions, RegExp][] = [
      [{ capacity: tooMuch, cqCapacity: 16 }, /maxSendWr/],
      [{ memory: new Uint8Array(0) }, /at least one byte/],
      [{ access: AccessFlags.LOCAL_WRITE }, /REMOTE_WRITE, REMOTE_READ/],
      [{ path: { gidIndex: 250 } }, /no GID with the index 250/],
      [{ cqCapacity: 0 }, /completion queue holds/],
      [{ wait: { looks: -1 } }, /looks/],
      [{ wait: { timeoutMillis: 0 } }, /timeoutMillis/],
    ];
    for (const [more, message] of wrong) {
      const code = 'ERR_RDMA_INVALID_ARGUMENT';
      await assert.rejects(openEndpoint(device, await options(device, more)), { code, message });
      assert.ok(
        Object.values(device.census()).every((count) => count === 0),
        String(message),
      );
    }
    const end = await openEndpoint(device, await options(device));
    await assert.rejects(end.connect(null), {
      code: 'ERR_RDMA_INVALID_ARGUMENT',
      message: /path of its peer/,
    });
    await end.close();
  });
});

test('an endpoint without memory says so', async () => {
  await withDevice(async (device) => {
    const end = await openEndpoint(device, await options(device, { memory: 0 }));
    assert.throws(() => end.memory, { message: /has no memory/ });
    assert.equal(device.census().mrs, 0);
    await end.close();
  });
});

test('a wait that is over at once is no promise', async () => {
  await withEnds({}, async (a) => {
    assert.equal(
      a.until(
        () => true,
        () => assert.fail('nothing to take'),
      ),
      undefined,
    );
  });
});

for (const sleeps of [true, false]) {
  test(`a wait in vain ends with what to look at, sleeping: ${sleeps}`, async () => {
    const wait = { sleeps, timeoutMillis: 400, hint: 'is the light on?' };
    await withEnds({ wait }, async (a, b) => {
      const never = async (): Promise<void> =>
        a.until(
          () => false,
          () => {},
        );
      await assert.rejects(never(), { code: 'ERR_RDMA_TIMEOUT', message: /0\.4 s: is the light on\?/ });
      // It is no end: what comes later can be awaited.
      await pass(b, a);
      assert.equal(await a.take(createCompletions(1), 20), 0);
    });
  });

  test(`a failed completion ends the wait, after what succeeded with it, sleeping: ${sleeps}`, async () => {
    await withEnds({ wait: { sleeps } }, async (a, b) => {
      receive(b, 5);
      send(a);
      assert.equal(await a.take(createCompletions(1)), 1);
      await b.qp.modify({ state: QpState.ERR });
      receive(b, 6);
      const taken: number[] = [];
      const wait = async (): Promise<void> =>
        b.until(
          () => false,
          ({ wrId }) => taken.push(wrId),
        );
      await assert.rejects(wait(), { code: 'ERR_RDMA_COMPLETION', status: 'WR_FLUSH_ERR' });
      assert.deepEqual(taken, [5]);
    });
  });

  test(`a wait ends with the error that it is told, and so do those after it, sleeping: ${sleeps}`, async () => {
    await withEnds({ wait: { sleeps } }, async (a) => {
      const never = async (): Promise<void> =>
        a.until(
          () => false,
          () => {},
        );
      const running = never();
      a.waiter.giveUp(new RdmaError('ERR_RDMA_CONNECTION_LOST', 'the session has ended'));
      for (const waiting of [running, never()]) {
        await assert.rejects(waiting, { code: 'ERR_RDMA_CONNECTION_LOST' });
      }
    });
  });
}

test('closing an endpoint ends a wait at it', async () => {
  await withEnds({}, async (a) => {
    const waiting = Promise.resolve(
      a.until(
        () => false,
        () => {},
      ),
    );
    await Promise.all([assert.rejects(waiting, { code: 'ERR_RDMA_CLOSED' }), a.close()]);
  });
});

test('two waits at a time are refused', async () => {
  await withEnds({}, async (a, b) => {
    receive(a);
    const first = a.take(createCompletions(1));
    await assert.rejects(a.take(createCompletions(1)), { code: 'ERR_RDMA_INVALID_STATE' });
    send(b);
    assert.equal(await first, 1);
  });
});
