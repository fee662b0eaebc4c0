/** The verbs objects of a connection: everything is freed, whatever is under way. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withDefaults } from '../../src/connection/options.js';
import { ConnectionResources } from '../../src/connection/resources.js';
import { StepReporter } from '../../src/connection/steps.js';
import { openDevice } from '../../src/open-device.js';
import { RdmaError } from '../../src/verbs/errors.js';

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
