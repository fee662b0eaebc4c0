import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { ByteStream, type ByteStreamOptions } from '../../src/connection/program/byte-stream.js';
import { MemoryChannel } from '../../testkit/byte-channels.js';

function attached(options: ByteStreamOptions = {}): { stream: ByteStream; channel: MemoryChannel } {
  const [channel] = MemoryChannel.pair();
  const stream = new ByteStream(options);
  stream.attach(channel);
  return { stream, channel };
}

/** Events in the order in which they came. */
function eventsOf(stream: Duplex): string[] {
  const events: string[] = [];
  for (const name of ['end', 'finish', 'close'] as const) stream.on(name, () => events.push(name));
  stream.on('error', (error: Error) => events.push(`error ${error.message}`));
  return events;
}

test('What is written before there is a channel goes out in order when it comes, each long chunk as it is', async () => {
  const [channel] = MemoryChannel.pair();
  const stream = new ByteStream();
  const chunks = ['one', 'two', 'three'].map((text) => Buffer.from(text.repeat(2000)));
  for (const chunk of chunks) stream.write(chunk);
  stream.end();
  await turn();
  stream.attach(channel);
  channel.deliver();
  await turn();
  assert.deepEqual(
    channel.written.map(({ data }) => data),
    [chunks[1], chunks[2], null],
    'the end goes with the last bytes',
  );
  assert.equal(channel.written[0]?.data, chunks[1], 'the very chunk, not a copy');
  channel.deliver();
  await once(stream, 'finish');
  assert.ok(Buffer.concat(channel.peer.arrived).equals(Buffer.concat(chunks)));
  assert.equal(stream.bytesWritten, 22_000);
});

test('Short chunks that Node hands over together leave as one, in order, and each write is done', async () => {
  const { stream, channel } = attached();
  const done: string[] = [];
  stream.cork();
  stream.write('head ', () => done.push('head'));
  stream.write('and body', () => done.push('body'));
  stream.uncork();
  await turn();
  assert.deepEqual(
    channel.written.map(({ data }) => String(Buffer.from(data ?? []))),
    ['head and body'],
  );
  channel.deliver();
  await turn();
  assert.deepEqual(done, ['head', 'body']);
  assert.equal(stream.bytesWritten, 13);
});

test('A write is done when the channel has done all of its chunks, not before', async () => {
  const { stream, channel } = attached();
  const done: string[] = [];
  for (const name of ['a', 'b', 'c']) stream.write(name.repeat(5000), () => done.push(name));
  await turn();
  assert.deepEqual(done, []);
  channel.deliver();
  await turn();
  assert.deepEqual(done, ['a']);
  channel.written.shift()?.done();
  await turn();
  assert.deepEqual(done, ['a']);
  channel.deliver();
  await turn();
  assert.deepEqual(done, ['a', 'b', 'c']);
});

test('A reader who stops stops the taking of bytes from the channel; nothing is lost when it goes on', async () => {
  const { stream, channel } = attached({ readableHighWaterMark: 4 });
  stream.on('readable', () => {});
  for (const text of ['abcd', 'efgh', 'ijkl', 'mnop']) channel.arrived.push(Buffer.from(text));
  channel.listener?.onReadable();
  await turn();
  assert.ok(channel.arrived.length >= 2, `${channel.arrived.length} chunks still wait in the channel`);
  const taken: string[] = [];
  for (let bytes = stream.read(); bytes !== null || channel.arrived.length > 0; bytes = stream.read()) {
    if (bytes !== null) taken.push(String(bytes));
    await turn();
  }
  assert.equal(taken.join(''), 'abcdefghijklmnop');
  assert.equal(stream.bytesRead, 16);
});

test('Each direction ends by itself; the stream closes when both have, without an error', async () => {
  const { stream, channel } = attached();
  const events = eventsOf(stream);
  stream.resume();
  stream.end('bye');
  channel.deliver();
  await turn();
  channel.deliver();
  await turn();
  assert.deepEqual(events, ['finish']);
  channel.peer.end(() => {});
  channel.peer.deliver();
  await once(stream, 'close');
  assert.deepEqual(events, ['finish', 'end', 'close']);
  assert.deepEqual(channel.closed, [null]);
});

test('Without allowHalfOpen the end of the peer ends this direction too', async () => {
  const { stream, channel } = attached({ allowHalfOpen: false });
  stream.resume();
  channel.peer.end(() => {});
  channel.peer.deliver();
  await once(stream, 'end');
  await turn();
  channel.deliver();
  await once(stream, 'close');
  assert.deepEqual(channel.closed, [null]);
});

test('destroy closes the channel once with its error, and a write that waits learns of it', async () => {
  const { stream, channel } = attached();
  const events = eventsOf(stream);
  const reason = new Error('enough');
  const answers: unknown[] = [];
  stream.write('x', (error) => answers.push(error));
  stream.destroy(reason);
  stream.destroy();
  for (let i = 0; i < 10; i++) await turn();
  assert.deepEqual(answers, [reason]);
  assert.deepEqual(events, ['error enough', 'close']);
  assert.deepEqual(channel.closed, [reason]);
  assert.equal(channel.listener, null);
});

test('A write that waits is answered when the stream is destroyed without a reason, also before it has a channel', async () => {
  const [channel] = MemoryChannel.pair();
  const stream = new ByteStream();
  const answers = answersOf(stream);
  stream.destroy();
  for (let i = 0; i < 10; i++) await turn();
  assert.deepEqual(answers, [null, 'ERR_STREAM_DESTROYED', 'ERR_STREAM_DESTROYED']);
  stream.attach(channel);
  assert.equal(channel.closed.length, 1);
  assert.equal(channel.written.length, 0);
});

/** Writes twice and ends; how each was answered. */
function answersOf(stream: Duplex): (string | null | undefined)[] {
  const answers: (string | null | undefined)[] = [];
  const take = (error?: NodeJS.ErrnoException | null): void => void answers.push(error?.code ?? null);
  stream.write('under way', take);
  stream.write('waits', take);
  stream.end(take);
  return answers;
}

test('destroy without a reason is no error of the stream, as with any Duplex, whatever was being written', async () => {
  const silent = new Duplex({ read() {}, write() {} });
  for (const stream of [silent, attached().stream, new ByteStream()]) {
    const events = eventsOf(stream);
    const answers = answersOf(stream);
    await turn();
    stream.destroy();
    for (let i = 0; i < 10; i++) await turn();
    assert.equal(stream.errored, null);
    assert.deepEqual(events, ['close']);
    const told = [null, 'ERR_STREAM_DESTROYED', 'ERR_STREAM_DESTROYED'];
    // A plain Duplex forgets a write that it never answers, and with it the rest.
    assert.deepEqual(answers, stream === silent ? [] : told);
  }
});

test('An end that waits when the stream is destroyed without a reason fails, and the stream does not', async () => {
  const { stream } = attached();
  const events = eventsOf(stream);
  const answers: unknown[] = [];
  stream.end((error?: NodeJS.ErrnoException | null) => answers.push(error?.code));
  await turn();
  stream.destroy();
  for (let i = 0; i < 10; i++) await turn();
  assert.deepEqual([answers, events, stream.errored], [['ERR_STREAM_DESTROYED'], ['close'], null]);
});

test('A reset ends the stream at once; what was not read is gone', async () => {
  const { stream, channel } = attached();
  const events = eventsOf(stream);
  const error = new Error('reset');
  channel.listener?.onReset(error);
  await turn();
  assert.deepEqual(events, ['error reset', 'close']);
  assert.deepEqual(channel.closed, [error]);
});

test('When the channel has closed, all that is there is read first, beyond any mark; then comes its error', async () => {
  const { stream, channel } = attached({ readableHighWaterMark: 1 });
  for (const text of ['ab', 'cd', 'ef']) channel.arrived.push(Buffer.from(text));
  channel.listener?.onClosed(new Error('over'));
  assert.equal(channel.arrived.length, 0, 'taken before the carrier is gone');
  await turn();
  assert.equal(stream.destroyed, false);
  let text = '';
  await assert.rejects(async () => {
    for await (const bytes of stream) text += String(bytes);
  }, /over/);
  assert.equal(text, 'abcdef');
});

test('When the channel has closed, a reader of a whole direction sees its end before the error of the other one', async () => {
  const { stream, channel } = attached();
  const events = eventsOf(stream);
  const written = new Promise<unknown>((resolve) => stream.write('never arrives', resolve));
  stream.on('data', (bytes) => events.push(String(bytes)));
  channel.peer.write(Buffer.from('all'), () => {});
  channel.peer.end(() => {});
  channel.peer.deliver();
  channel.listener?.onClosed(new Error('over'));
  assert.match(String(await written), /over/);
  await turn();
  assert.deepEqual(events, ['all', 'end', 'error over', 'close']);
});

test('When the channel has closed, its error is told behind the end though the program took all listeners off', async () => {
  for (const isReadBefore of [false, true]) {
    const { stream, channel } = attached();
    stream.pause();
    stream.on('error', () => {});
    channel.peer.write(Buffer.from('all'), () => {});
    channel.peer.end(() => {});
    channel.peer.deliver();
    await turn();
    if (isReadBefore) assert.equal(String(stream.read()), 'all');
    channel.listener?.onClosed(new Error('over'));
    stream.removeAllListeners();
    const events = eventsOf(stream);
    if (!isReadBefore) assert.equal(String(stream.read()), 'all');
    await turn();
    assert.deepEqual(events, ['end', 'error over', 'close'], `read before: ${isReadBefore}`);
  }
});

test('When the channel has closed, a stream of which both directions are whole ends in order', async () => {
  const { stream, channel } = attached();
  const events = eventsOf(stream);
  stream.end();
  await turn();
  channel.deliver();
  channel.peer.write(Buffer.from('all'), () => {});
  channel.peer.end(() => {});
  channel.peer.deliver();
  channel.listener?.onClosed(new Error('over'));
  await turn();
  stream.resume();
  await once(stream, 'close');
  assert.deepEqual(events, ['finish', 'end', 'close']);
});

test('When the channel closes right behind the answer to the end, before Node has heard of it, the stream ends in order', async () => {
  const { stream, channel } = attached();
  const events = eventsOf(stream);
  stream.resume();
  channel.peer.end(() => {});
  channel.peer.deliver();
  stream.end('last');
  await turn();
  channel.deliver();
  channel.listener?.onClosed(new Error('over'));
  await turn();
  await turn();
  assert.deepEqual(events, ['end', 'finish', 'close']);
});

test('When the channel has closed, a writer that never reads learns of it from its write', async () => {
  const { stream, channel } = attached();
  const events = eventsOf(stream);
  channel.arrived.push(Buffer.from('nobody reads this'));
  channel.listener?.onClosed(new Error('over'));
  await turn();
  assert.deepEqual(events, []);
  const written = new Promise<unknown>((resolve) => stream.write('x', resolve));
  assert.match(String(await written), /over/);
  await turn();
  assert.deepEqual(events, ['error over', 'close']);
  assert.equal(channel.written.length, 0);
});

test('A signal destroys the stream with an AbortError', async () => {
  const controller = new AbortController();
  const { stream, channel } = attached({ signal: controller.signal });
  controller.abort();
  const [error] = await once(stream, 'error').catch((error: unknown) => [error]);
  assert.equal((error as Error).name, 'AbortError');
  assert.equal(channel.closed.length, 1);
});

test('A signal that has aborted already destroys the stream when the constructors of its subclasses are done', async () => {
  class Subclass extends ByteStream {
    readonly #parting = 'said goodbye';
    readonly heard: string[] = [];

    override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
      this.heard.push(this.#parting);
      super._destroy(error, callback);
    }
  }
  const stream = new Subclass({ signal: AbortSignal.abort() });
  const written = new Promise<unknown>((resolve) => stream.write('x', resolve));
  const [error] = await once(stream, 'error').catch((error: unknown) => [error]);
  assert.equal((error as Error).name, 'AbortError');
  assert.equal(await written, error);
  assert.deepEqual(stream.heard, ['said goodbye']);
});

test('A subclass has its own words for errors of the channel: everybody is told those, and of other errors as they are', async () => {
  class Subclass extends ByteStream {
    protected override told(error: Error): Error {
      return new Error(`the channel said: ${error.message}`);
    }
  }
  for (const call of ['onReset', 'onClosed'] as const) {
    const [channel] = MemoryChannel.pair();
    const stream = new Subclass();
    stream.attach(channel);
    const events = eventsOf(stream);
    const written = new Promise<unknown>((resolve) => stream.write('x', resolve));
    channel.listener?.[call](new Error('over'));
    const error = await written;
    await turn();
    assert.equal(stream.errored, error);
    assert.deepEqual(events, ['error the channel said: over', 'close']);
  }
  const stream = new Subclass();
  const own = new Error('of the program');
  stream.on('error', () => {}).destroy(own);
  assert.equal(stream.errored, own);
});
