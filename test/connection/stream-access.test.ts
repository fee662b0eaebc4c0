/** The program's side of streams on a table of which the peer is played: what is left of streams that are reset. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import {
  MessageFlag,
  type MessageHeader,
  MessageKind,
} from '../../src/connection/fragments/message-header.js';
import { type Control, Outbox } from '../../src/connection/fragments/outbox.js';
import { ConnectionStream } from '../../src/connection/program/connection-stream.js';
import { StreamAccess } from '../../src/connection/program/stream-access.js';
import { StreamOutlet } from '../../src/connection/streams/stream-outlet.js';
import { StreamTable } from '../../src/connection/streams/stream-table.js';
import { RdmaError } from '../../src/verbs/errors.js';

const STREAMS = 2;

/** All that leaves arrives, when `arrive` says so. */
class Sent extends Outbox {
  readonly #controls: Control[] = [];

  override control(control: Control): void {
    this.#controls.push(control);
  }

  arrive(): void {
    for (const { arrived } of this.#controls.splice(0)) arrived();
  }
}

function start(): { table: StreamTable; outbox: Sent; taken: ConnectionStream[]; access: StreamAccess } {
  const outbox = new Sent();
  const table = new StreamTable({ outbox, streams: STREAMS, windowBytes: 300_000 });
  const taken: ConnectionStream[] = [];
  const outlet: StreamOutlet = new StreamOutlet(table, {
    get programListener() {
      return access;
    },
  });
  const access: StreamAccess = new StreamAccess(
    { isEnding: false, onStream: (stream) => taken.push(stream.on('error', () => {})) > 0 },
    outlet,
    STREAMS,
  );
  process.nextTick(() => outlet.listenToStreams());
  table.takeTerms(STREAMS, 1000);
  return { table, outbox, taken, access };
}

const header = (kind: MessageKind, stream: number, flags: number, value: number): MessageHeader =>
  ({ kind, stream, flags, value, tag: 0 }) as MessageHeader;

/** `bytes` and the end, in ten fragments. */
function send(table: StreamTable, stream: number, bytes: number): void {
  for (let i = 0; i < 10; i++) {
    const flags = i === 9 ? MessageFlag.FIN : 0;
    table.onBytes(header(MessageKind.STREAM, stream, flags, (i * bytes) / 10), new Uint8Array(bytes / 10));
  }
}

const reset = (table: StreamTable, stream: number): void =>
  table.onReset(header(MessageKind.RESET, stream, 0, 0));

const WHENS = ['before anybody listens', 'in the same tick', 'later', 'while it is read'] as const;

for (const bytes of [1000, 250_000]) {
  // Of few bytes nothing is left when reading has begun.
  for (const when of WHENS.slice(0, bytes === 1000 ? 3 : 4)) {
    test(`a stream of ${bytes} bytes that the peer ends and resets, ${when}, is read whole and leaves nothing behind`, async () => {
      const { table, outbox, taken } = start();
      if (when !== 'before anybody listens') await turn();
      send(table, 1, bytes);
      if (when === 'later' || when === 'while it is read') await turn();
      if (when === 'while it is read') {
        taken[0]?.once('data', () => taken[0]?.pause());
        await turn();
      }
      reset(table, 1);
      await turn();
      outbox.arrive();
      assert.equal(table.size, 1, 'it counts while its bytes are not read');
      const [stream] = taken;
      assert.ok(stream !== undefined);
      stream.resume();
      for (let i = 0; i < 100 && !stream.closed; i++) await turn();
      assert.deepEqual([stream.readableEnded, stream.closed], [true, true]);
      assert.equal(stream.bytesRead, bytes);
      assert.deepEqual([table.size, table.openLimit], [0, STREAMS + 1]);
    });
  }
}

test('the table learns that bytes were read, and the program of the end', async () => {
  const { table, taken } = start();
  await turn();
  table.onBytes(header(MessageKind.STREAM, 1, 0, 0), new Uint8Array(1000));
  await turn();
  const [stream] = taken;
  assert.ok(stream !== undefined);
  stream.resume();
  await turn();
  assert.deepEqual([stream.bytesRead, table.unreadBytes(-1), stream.readableEnded], [1000, 0, false]);
  table.onBytes(header(MessageKind.STREAM, 1, MessageFlag.FIN, 1000), new Uint8Array(0));
  for (let i = 0; i < 10; i++) await turn();
  assert.equal(stream.readableEnded, true);
});

test('a reader that throws hears what comes after', async () => {
  const { table, taken } = start();
  await turn();
  const thrown: unknown[] = [];
  process.setUncaughtExceptionCaptureCallback((error) => void thrown.push(error));
  const send = (value: number): void =>
    table.onBytes(header(MessageKind.STREAM, 1, 0, value), new Uint8Array(10));
  send(0);
  await turn();
  const [stream] = taken;
  assert.ok(stream !== undefined);
  let read = 0;
  stream.on('data', ({ length }) => {
    read += length;
    if (read === 20) throw new Error('a bug of the program');
  });
  for (const value of [10, 20]) {
    await turn();
    send(value);
  }
  for (let i = 0; i < 10; i++) await turn();
  process.setUncaughtExceptionCaptureCallback(null);
  assert.deepEqual([read, thrown.length], [30, 1]);
});

test('a stream that the peer ended and reset makes room when its program destroys it unread', async () => {
  const { table, outbox, taken } = start();
  await turn();
  send(table, 1, 1000);
  await turn();
  reset(table, 1);
  outbox.arrive();
  await turn();
  assert.equal(table.size, 1);
  taken[0]?.destroy();
  await turn();
  assert.deepEqual([table.size, table.openLimit], [0, STREAMS + 1]);
});

test('a stream that is destroyed while it waits for a number is forgotten, though the program took all listeners off', async () => {
  let destroyed = 0;
  class Waiting extends ConnectionStream {
    override destroy(error?: Error): this {
      destroyed++;
      return super.destroy(error);
    }
  }
  const { access } = start();
  for (let i = 0; i < STREAMS; i++) access.open({});
  const stream = new Waiting({});
  access.seat(stream);
  assert.equal(stream.id, null);
  stream.removeAllListeners();
  stream.destroy();
  await turn();
  access.close();
  assert.equal(destroyed, 1, 'the end of the connection knows nothing of it');
});

for (const isInOrder of [true, false]) {
  test(`streams that came before anybody listened are told though the connection has ended ${isInOrder ? 'in order' : 'by a failure'}`, async () => {
    const { table, taken } = start();
    const bytes = 1000;
    send(table, 1, bytes);
    table.onBytes(header(MessageKind.STREAM, 2, 0, 0), new Uint8Array(bytes));
    const end = new RdmaError(isInOrder ? 'ERR_RDMA_CLOSED' : 'ERR_RDMA_CONNECTION_LOST', 'it is over');
    table.fail(end, isInOrder);
    await turn();
    const [whole, part] = taken as [ConnectionStream, ConnectionStream];
    const read = async (stream: ConnectionStream): Promise<{ length: number; error: unknown }> => {
      let length = 0;
      try {
        for await (const chunk of stream) length += (chunk as Buffer).length;
        return { length, error: null };
      } catch (error) {
        return { length, error };
      }
    };
    assert.deepEqual(await read(whole), { length: isInOrder ? bytes : 0, error: isInOrder ? null : end });
    assert.equal((await read(part)).error, end);
    assert.equal(table.size, 0);
  });
}
