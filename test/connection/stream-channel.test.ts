import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { StreamChannel, type StreamChannelOptions } from '../../src/connection/streams/stream-channel.js';
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

test('an end that the peer has is told before the close that came right behind it', async () => {
  let answer = (): void => {};
  const ending = new Promise<void>((resolve) => {
    answer = resolve;
  });
  const plane = { endStream: () => ending } as unknown as StreamChannelOptions['plane'];
  const channel = new StreamChannel({ id: 1, plane, onOver() {}, onSettled() {} });
  const heard: string[] = [];
  channel.listener = {
    onReadable: () => heard.push('readable'),
    onClosed: () => heard.push('closed'),
    onReset: () => heard.push('reset'),
  };
  channel.end(() => heard.push('ended'));
  // Completions are taken in a tick, and ticks come before the promises that are settled there.
  process.nextTick(() => {
    answer();
    channel.onClosed(new RdmaError('ERR_RDMA_CLOSED', 'the connection is closed'));
  });
  await turn();
  assert.deepEqual(heard, ['ended', 'closed']);
});
