/** The verbs objects of a connection: everything is freed, whatever is under way. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { StepReporter } from '../../src/connection/common/steps.js';
import { ConnectionResources } from '../../src/connection/link/resources.js';
import type { Connection } from '../../src/connection/program/connection.js';
import { insidesOf } from '../../src/connection/program/insides.js';
import { withDefaults } from '../../src/connection/terms/options.js';
import { openDevice } from '../../src/open-device.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { connectTo, startServer } from '../../testkit/session-pair.js';
import { within } from '../../testkit/within.js';

test('memory that is being registered when a connection ends is freed with it', async () => {
  await using device = await openDevice('soft:127.0.0.1');
  const resources = await ConnectionResources.create(
    device,
    withDefaults({ bufferBytes: 0 }),
    new StepReporter(1, undefined),
  );
  const { pd } = resources;
  const regMr = pd.regMr.bind(pd);
  let goOn: () => void = () => {};
  const slow = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  pd.regMr = async (...given) => {
    await slow;
    return regMr(...given);
  };
  const registering = resources.register(new Uint8Array(8), 0);
  const destroyed = resources.destroy();
  await assert.rejects(resources.register(new Uint8Array(8), 0), RdmaError);
  setImmediate(goOn);
  await destroyed;
  await registering;
  assert.ok(Object.values(device.census()).every((count) => count === 0));
});

test('memory that is being given back when a connection ends is gone before its domain', async () => {
  await using device = await openDevice('soft:127.0.0.1');
  const resources = await ConnectionResources.create(
    device,
    withDefaults({}),
    new StepReporter(1, undefined),
  );
  const before = resources.bufferBytes;
  const more = await resources.takeBuffer(4096, 0);
  assert.equal(resources.bufferBytes, before + 4096);
  const close = more.close.bind(more);
  more.close = async () => {
    await new Promise(setImmediate);
    return close();
  };
  resources.freeBuffer(more);
  assert.equal(resources.bufferBytes, before);
  await resources.destroy();
  assert.ok(Object.values(device.census()).every((count) => count === 0));
});

const refused = async (): Promise<never> => {
  throw new RdmaError('ERR_RDMA_IN_USE', 'the device does not let it go');
};

test('what cannot be freed keeps nothing else, and is told; memory that the device may still use is given to nobody', async () => {
  await using device = await openDevice('soft:127.0.0.1');
  const limits = withDefaults({ bufferBytes: 64 });
  const resources = await ConnectionResources.create(device, limits, new StepReporter(1, undefined));
  const { messageMr } = resources;
  const close = messageMr.close.bind(messageMr);
  messageMr.close = refused;
  await assert.rejects(resources.destroy(), { code: 'ERR_RDMA_IN_USE' });
  const { mrs, qps, cqs } = device.census();
  assert.deepEqual({ mrs, qps, cqs }, { mrs: 1, qps: 0, cqs: 0 });
  const next = await ConnectionResources.create(device, limits, new StepReporter(2, undefined));
  assert.notEqual(next.messageMr.bytes.buffer, messageMr.bytes.buffer);
  await next.destroy();
  await close();
  await resources.pd.close();
});

test('a connection whose objects cannot be freed ends all the same, and says why', async () => {
  const server = await startServer();
  const arrived = once(server, 'connection');
  const client = await connectTo(server);
  await arrived;
  const { pd } = insidesOf(client as Connection).dataPath.resources;
  const close = pd.close.bind(pd);
  pd.close = async () => {
    await close();
    return refused();
  };
  await within(client.close(), 10_000);
  const error = await within(client.closed, 10_000);
  assert.equal(error?.code, 'ERR_RDMA_IN_USE');
  await server.close();
});
