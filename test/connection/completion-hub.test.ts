/** Completions of many connections in few queues: who gets what, who has room, and who waits for whom. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  CompletionGroup,
  type CompletionHandler,
  CompletionHub,
} from '../../src/connection/link/completion-hub.js';
import { openDevice } from '../../src/open-device.js';
import type { CompletionChannel, CompletionQueue } from '../../src/verbs/completion-queue.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { QpState } from '../../src/verbs/qp-state.js';
import { WcStatus, type WorkCompletion } from '../../src/verbs/work-completion.js';
import { recoveryOf } from '../../testkit/recovery-of.js';
import { connectTo, FREE_DEVICE, serverIsEmpty, startServer } from '../../testkit/session-pair.js';
import { within } from '../../testkit/within.js';

interface Entry {
  readonly qpn: number;
  readonly wrId: number;
  readonly status?: WcStatus;
}

/** A queue that holds what the test says. */
class Queue {
  readonly capacity = 64;
  readonly entries: Entry[] = [];
  polls = 0;
  error: RdmaError | undefined;

  reqNotify(): void {}

  async close(): Promise<void> {}

  poll(into: readonly WorkCompletion[]): number {
    this.polls++;
    if (this.error !== undefined) throw this.error;
    const entries = this.entries.splice(0, into.length);
    for (const [i, { qpn, wrId, status = WcStatus.SUCCESS }] of entries.entries())
      Object.assign(into[i] ?? assert.fail(), { qpn, wrId, status });
    return entries.length;
  }
}

class Rig {
  readonly sends = new Queue();
  readonly receives = new Queue();
  readonly log: string[] = [];
  readonly #channel: { onEvent: (() => void) | null; close(): Promise<void> } = {
    onEvent: null,
    async close() {},
  };
  readonly group: CompletionGroup;

  constructor() {
    const queue = (one: Queue): CompletionQueue => one as unknown as CompletionQueue;
    const channel = this.#channel as unknown as CompletionChannel;
    this.group = new CompletionGroup(channel, queue(this.sends), queue(this.receives));
  }

  fire(): void {
    this.#channel.onEvent?.();
  }

  /** Writes down what comes for a queue pair; `also` is called for every receive. */
  listen(qpn: number, also: () => void = () => {}): () => void {
    const note = (what: string): unknown => this.log.push(`${qpn} ${what}`);
    const handler: CompletionHandler = {
      onFailureAhead: () => note('failure ahead'),
      onReceive: ({ wrId }) => {
        note(`received ${wrId}`);
        also();
      },
      onSend: ({ wrId, status }) => note(status === WcStatus.SUCCESS ? `sent ${wrId}` : `failed ${wrId}`),
      onDrained: () => note('drained'),
      onBroken: ({ code }) => note(code),
      onAsyncEvent: ({ type }) => note(type),
    };
    this.group.listen(qpn, handler);
    return () => this.group.unlisten(qpn, handler);
  }
}

const nextTurn = (): Promise<void> => new Promise(setImmediate);

test('each queue pair gets its own, receives first and in their order; what is for nobody is dropped', () => {
  const rig = new Rig();
  rig.listen(1);
  const stop = rig.listen(2);
  rig.sends.entries.push({ qpn: 1, wrId: 10 });
  rig.receives.entries.push(
    { qpn: 2, wrId: 1 },
    { qpn: 1, wrId: 2 },
    { qpn: 3, wrId: 9 },
    { qpn: 2, wrId: 3 },
  );
  rig.fire();
  assert.deepEqual(rig.log.splice(0), ['2 received 1', '1 received 2', '2 received 3', '1 sent 10']);
  stop();
  rig.receives.entries.push({ qpn: 2, wrId: 4 }, { qpn: 1, wrId: 5 });
  rig.fire();
  assert.deepEqual(rig.log, ['1 received 5']);
});

test('a queue pair hears of its failure before what succeeded with it, and others do not hear of it', () => {
  const rig = new Rig();
  rig.listen(1);
  rig.listen(2);
  const status = WcStatus.RETRY_EXC_ERR;
  rig.sends.entries.push({ qpn: 1, wrId: 1 }, { qpn: 2, wrId: 2 }, { qpn: 1, wrId: 3, status });
  rig.fire();
  assert.deepEqual(rig.log, ['1 failure ahead', '1 sent 1', '2 sent 2', '1 failed 3', '1 drained']);
});

test('what is drained from inside of a handler comes when its turn is', () => {
  const rig = new Rig();
  rig.listen(1, () => rig.group.drain());
  for (let wrId = 0; wrId < 40; wrId++) rig.receives.entries.push({ qpn: 1, wrId });
  rig.fire();
  assert.deepEqual(
    rig.log,
    Array.from({ length: 40 }, (_, wrId) => `1 received ${wrId}`),
  );
});

test('one event brings no more than it may, and the rest comes in the next turns', async () => {
  const rig = new Rig();
  rig.listen(1);
  for (let wrId = 0; wrId < 2000; wrId++) rig.receives.entries.push({ qpn: 1, wrId });
  rig.sends.entries.push({ qpn: 1, wrId: 5000 });
  rig.fire();
  assert.equal(rig.receives.polls, 16);
  assert.equal(rig.log.at(-1), '1 sent 5000', 'nor does one queue hold up the other');
  while (rig.receives.entries.length > 0) await nextTurn();
  assert.equal(rig.log.length, 2001);
});

test('queues that are lost end all that use them', () => {
  const rig = new Rig();
  rig.listen(1);
  rig.listen(2);
  rig.receives.error = new RdmaError('ERR_RDMA_INVALID_STATE', 'completions were lost');
  rig.fire();
  assert.deepEqual(rig.log, ['1 ERR_RDMA_INVALID_STATE', '2 ERR_RDMA_INVALID_STATE']);
});

test('queues have room for all that their connections may have under way, and go with the last', async () => {
  await using device = await openDevice(FREE_DEVICE);
  const hub = CompletionHub.of(device);
  assert.equal(CompletionHub.of(device), hub);
  const needs = { sends: 100, receives: 7 };
  const seats = await Promise.all(Array.from({ length: 40 }, () => hub.take(needs)));
  const connections = new Map<CompletionGroup, number>();
  for (const { group } of seats) connections.set(group, (connections.get(group) ?? 0) + 1);
  for (const [{ sendCq, recvCq }, count] of connections) {
    assert.ok(sendCq.capacity >= count * needs.sends);
    assert.ok(recvCq.capacity >= count * needs.receives);
  }
  assert.equal(connections.size, 2, 'as few as there may be');
  const { cqs, channels } = device.census();
  assert.deepEqual([cqs, channels], [4, 2]);
  for (const needs of [
    { sends: 100, receives: 1 },
    { sends: 1, receives: 100 },
  ]) {
    const more = await Promise.all(Array.from({ length: 100 }, () => hub.take(needs)));
    for (const seat of more) {
      const { sendCq, recvCq } = seat.group;
      const here = more.filter(({ group }) => group === seat.group).length;
      const before = connections.get(seat.group) ?? 0;
      assert.ok(sendCq.capacity >= before * 100 + here * needs.sends, 'sends');
      assert.ok(recvCq.capacity >= before * 7 + here * needs.receives, 'receives');
    }
    for (const seat of more) await seat.release();
  }
  await seats[0]?.release();
  await seats[0]?.release();
  const again = await hub.take(needs);
  assert.equal(again.group, seats[0]?.group, 'a place that is free is taken');
  const large = await hub.take({ sends: 100_000, receives: 1 });
  assert.equal(large.group.sendCq.capacity, 100_000);
  for (const seat of [...seats, again, large]) await seat.release();
  assert.deepEqual([device.census().cqs, device.census().channels], [0, 0]);
});

test('connections of a device share two completion queues and a channel', async () => {
  const device = await openDevice(FREE_DEVICE);
  const server = await startServer(undefined, { device });
  const clients = await Promise.all(Array.from({ length: 5 }, () => connectTo(server)));
  while (server.connections.size < 5) await nextTurn();
  const { cqs, channels, qps } = device.census();
  assert.deepEqual([cqs, channels, qps], [2, 1, 5]);
  await Promise.all(clients.map((client) => client.close()));
  await serverIsEmpty(server);
  assert.equal(device.census().cqs, 0);
  await server.close();
  await device.close();
});

test('connections whose queues are lost recover with others, and new ones do not get the lost ones', async () => {
  const device = await openDevice(FREE_DEVICE);
  const server = await startServer(async (connection) => void (await connection.closed), { device });
  const client = await connectTo(server, { device, recoveryMillis: 5_000 });
  const seat = await CompletionHub.of(device).take({ sends: 1, receives: 1 });
  const { sendCq, recvCq } = seat.group;
  const pd = await device.allocPd();
  const capacity = { maxSendWr: 1, maxRecvWr: 4096, maxSendSge: 1, maxRecvSge: 1, maxInlineData: 0 };
  const flood = await pd.createQp({ sendCq, recvCq, capacity });
  await flood.modify({ state: QpState.INIT, port: 1, pkeyIndex: 0, accessFlags: 0 });
  for (let wrId = 0; wrId <= recvCq.capacity; wrId++) flood.postRecv({ wrId, sges: [] });
  const recovered = recoveryOf(client);
  await flood.modify({ state: QpState.ERR });
  await within(recovered, 8000);
  const sent = client.send(Buffer.from('on other queues'));
  for (const connection of server.connections)
    assert.equal(Buffer.from((await connection.receive())?.data ?? []).toString(), 'on other queues');
  await sent;
  await flood.close();
  await pd.close();
  await seat.release();
  assert.equal(device.census().cqs, 2, 'the lost ones are gone');
  await client.close();
  await serverIsEmpty(server);
  await server.close();
  assert.equal(device.census().cqs, 0);
  await device.close();
});
