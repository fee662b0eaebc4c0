import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { StreamChannel, type StreamChannelOptions } from '../../src/connection/stream-channel.js';
import { RdmaError } from '../../src/verbs/errors.js';

test('whoever begins to listen after the stream was reset hears of it, once', async () => {
  const plane = {} as StreamChannelOptions['plane'];
  const channel = new StreamChannel({ id: 1, plane, onOver() {}, onSettled() {} });
  channel.onReset(new RdmaError('ERR_RDMA_CONNECTION_LOST', 'the connection is lost'));
  await turn();
  const heard: string[] = [];
  channel.listener = {
    onReadable: () => heard.push('readable'),
    onClosed: () => heard.push('closed'),
    onReset: (error) => heard.push((error as RdmaError).code),
  };
  await turn();
  assert.deepEqual(heard, ['ERR_RDMA_CONNECTION_LOST']);
});
