/** The soft device's small print: flags that must reach the engine, objects of other devices, ports, events, captures. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { openDevice } from '../../src/open-device.js';
import { CqArm } from '../../src/roce/completion/cq.js';
import { Datagram } from '../../src/roce/datagram.js';
import { Flow } from '../../src/roce/flow.js';
import { TransmitBatch } from '../../src/roce/transmit-batch.js';
import { Icrc } from '../../src/roce/wire/icrc.js';
import { DgramPort } from '../../src/soft/dgram-port.js';
import type { SoftCq } from '../../src/soft/soft-cq.js';
import type { SoftQp } from '../../src/soft/soft-qp.js';
import { AccessFlags } from '../../src/verbs/access-flags.js';
import { copyAddress } from '../../src/verbs/address.js';
import { toPsn } from '../../src/verbs/brands.js';
import { type PathOptions, toInit, toRtr, toRts } from '../../src/verbs/bring-up.js';
import type { CompletionChannel, CompletionQueue } from '../../src/verbs/completion-queue.js';
import type { Device, ProtectionDomain } from '../../src/verbs/device.js';
import { EventQueue } from '../../src/verbs/event-queue.js';
import type { MemoryRegion } from '../../src/verbs/memory-region.js';
import { QpState } from '../../src/verbs/qp-state.js';
import type { QueuePair } from '../../src/verbs/queue-pair.js';
import { createCompletions } from '../../src/verbs/work-completion.js';
import { SendFlags, WrOpcode } from '../../src/verbs/work-request.js';
import { toAddress } from '../../testkit/nic-pair.js';

const WRONG = { code: 'ERR_RDMA_INVALID_ARGUMENT' };
const PATIENCE_MILLIS = 3000;

interface Side {
  readonly device: Device;
  readonly pd: ProtectionDomain;
  readonly channel: CompletionChannel;
  readonly cq: CompletionQueue;
  readonly mr: MemoryRegion;
  readonly qp: QueuePair;
}

async function openSide(name = 'soft:127.0.0.1?port=0'): Promise<Side> {
  const device = await openDevice(name);
  const pd = await device.allocPd();
  const channel = await device.createCompletionChannel();
  const cq = await device.createCq({ capacity: 64, channel });
  const mr = await pd.regMr(new Uint8Array(4096), AccessFlags.LOCAL_WRITE | AccessFlags.REMOTE_WRITE);
  return { device, pd, channel, cq, mr, qp: await pd.createQp({ sendCq: cq, recvCq: cq }) };
}

async function closeSide({ qp, mr, cq, channel, pd, device }: Side): Promise<void> {
  for (const object of [qp, mr, cq, channel, pd, device]) await object.close();
}

async function tie(one: Side, other: Side, options: PathOptions = {}): Promise<void> {
  const path = { psn: toPsn(0), mtu: 1024 as const, rdAtomic: 4 };
  const pathTo = async ({ device, qp }: Side) => {
    const { udpPort = 4791 } = await device.queryPort();
    return { ...path, gid: '::ffff:127.0.0.1', udpPort, qpn: qp.qpn };
  };
  for (const [side, peer] of [
    [one, other],
    [other, one],
  ] as const) {
    await toInit(side.qp, 15);
    await toRtr(side.qp, path, await pathTo(peer), options);
    await toRts(side.qp, path, await pathTo(peer), options);
  }
}

/** What comes first: the promise's value, or nothing for long. */
const orNothing = <T>(promise: Promise<T>): Promise<T | 'nothing'> =>
  Promise.race([promise, delay(PATIENCE_MILLIS, 'nothing' as const, { ref: false })]);

let one: Side;
let other: Side;
before(async () => {
  one = await openSide();
  other = await openSide();
  await tie(one, other);
});
after(async () => {
  await closeSide(one);
  await closeSide(other);
});

test('what comes before the wrong request of a batch is sent, without another call', async () => {
  other.qp.postRecv({ wrId: 1, sges: [{ mr: other.mr }] });
  other.cq.reqNotify();
  const good = { wrId: 2, opcode: WrOpcode.SEND, sges: [{ mr: one.mr, length: 8 }] };
  assert.throws(() => one.qp.postSendBatch([good, { ...good, wrId: 0.5 }]), WRONG);
  assert.equal(await orNothing(other.channel.next()), other.cq);
  assert.equal(other.cq.poll(createCompletions(2)), 1);
});

test('pieces of another device are refused in receives of several pieces, and take no place', () => {
  const { receives } = (one.qp as SoftQp).engine;
  const before = receives.count;
  assert.throws(() => one.qp.postRecv({ wrId: 1, sges: [{ mr: one.mr }, { mr: other.mr }] }), WRONG);
  assert.throws(() => one.qp.postRecv({ wrId: 1, sges: [{ mr: other.mr }] }), WRONG);
  assert.equal(receives.count, before);
});

test('flags of a request reach the engine, and an address of more than 64 bits does not', () => {
  const { queue } = (one.qp as SoftQp).engine.requester;
  for (const flags of [0, SendFlags.FENCE, SendFlags.SOLICITED, SendFlags.SIGNALED]) {
    one.qp.postSend({ wrId: 3, opcode: WrOpcode.SEND, flags, sges: [{ mr: one.mr, length: 1 }] });
    const wqe = queue.at(queue.tail - 1);
    assert.deepEqual(
      [wqe.fence, wqe.solicited, wqe.signaled],
      [flags === SendFlags.FENCE, flags === SendFlags.SOLICITED, flags === SendFlags.SIGNALED],
    );
  }
  const write = { wrId: 4, opcode: WrOpcode.RDMA_WRITE, rkey: 1 as never };
  assert.throws(() => one.qp.postSend({ ...write, remoteAddr: 2n ** 64n }), WRONG);
  assert.throws(() => one.qp.postSend({ ...write, remoteAddr: -1n }), WRONG);
  assert.throws(() => one.qp.postSend({ ...write, remoteAddr: 2 ** 53 }), WRONG);
});

test('limits and queues that cannot be are refused', async () => {
  const srq = await one.pd.createSrq({ maxWr: 4 });
  await srq.setLimit(srq.maxWr);
  await assert.rejects(srq.setLimit(srq.maxWr + 1), WRONG);
  await srq.close();
  const closed = await one.device.createCq({ capacity: 4 });
  await closed.close();
  await assert.rejects(one.pd.createQp({ sendCq: closed, recvCq: one.cq }), WRONG);
  await assert.rejects(one.pd.createQp({ sendCq: one.cq, recvCq: closed }), WRONG);
});

test('a queue that is armed for everything stays so', async () => {
  const cq = (await one.device.createCq({ capacity: 4, channel: one.channel })) as SoftCq;
  cq.reqNotify(true);
  assert.equal(cq.engine.arm, CqArm.SOLICITED);
  cq.reqNotify();
  cq.reqNotify(true);
  assert.equal(cq.engine.arm, CqArm.ALL);
  await cq.close();
});

test('a queue that lost completions says so once what it kept is taken', async () => {
  const cq = await one.device.createCq({ capacity: 2 });
  const qp = await one.pd.createQp({ sendCq: cq, recvCq: cq });
  await toInit(qp, 0);
  for (let wrId = 0; wrId < 3; wrId++) qp.postRecv({ wrId });
  await qp.modify({ state: QpState.ERR });
  const into = createCompletions(4);
  assert.equal(cq.poll(into), 2);
  assert.throws(() => cq.poll(into), { code: 'ERR_RDMA_INVALID_STATE' });
  await qp.close();
  await cq.close();
});

test('a queue waits once among the events of a channel; whoever waits learns that it closed', async () => {
  class Events extends EventQueue {
    close(): void {
      this.end();
    }
  }
  const events = new Events();
  events.deliver(one.cq);
  events.deliver(one.cq);
  assert.equal(await events.next(), one.cq);
  let outcome = 'waits';
  void events.next().catch(({ code }: { code: string }) => {
    outcome = code;
  });
  await new Promise(setImmediate);
  assert.equal(outcome, 'waits');
  events.close();
  await new Promise(setImmediate);
  assert.equal(outcome, 'ERR_RDMA_CLOSED');
});

test('only "congestion experienced" is a mark; that a sender knows of it is none', async (t) => {
  const { exactIcrc } = await one.device.queryPort();
  if (exactIcrc !== true) return t.skip('node:dgram does not show the traffic class');
  for (const [trafficClass, isMark] of [
    [1, false],
    [2, false],
    [3, true],
  ] as const) {
    const sender = await openSide();
    const receiver = await openSide();
    await tie(sender, receiver, { trafficClass });
    receiver.qp.postRecv({ wrId: 1, sges: [{ mr: receiver.mr }] });
    receiver.cq.reqNotify();
    sender.qp.postSend({ wrId: 2, opcode: WrOpcode.SEND, sges: [{ mr: sender.mr, length: 8 }] });
    assert.equal(await orNothing(receiver.channel.next()), receiver.cq);
    const { congestionMarks = 0 } = receiver.qp.counters();
    assert.equal(congestionMarks > 0, isMark, `traffic class ${trafficClass}`);
    await closeSide(sender);
    await closeSide(receiver);
  }
});

test('a port of node:dgram tells the source port, and is writable again when what waited has left', async () => {
  const icrc = new Icrc();
  const [from, to] = [
    await DgramPort.open(toAddress('127.0.0.1', 0), icrc),
    await DgramPort.open(toAddress('127.0.0.1', 0), icrc),
  ];
  const arrived = new Promise<number>((resolve) => {
    to.listener = {
      onReadable: () => {
        const datagram = new Datagram();
        if (to.receive() === 0) return;
        to.read(0, datagram);
        resolve(datagram.source.port);
      },
      onWritable: () => {},
    };
  });
  const writable = new Promise<boolean>((resolve) => {
    from.listener = { onReadable: () => {}, onWritable: () => resolve(from.writable) };
  });
  const batch = new TransmitBatch(64);
  const flow = new Flow();
  copyAddress(from.address, flow.source);
  copyAddress(to.address, flow.destination);
  flow.destination.port = to.address.port;
  for (let i = 0; i < 64; i++) {
    batch.begin();
    batch.commit(flow, 12, 0);
  }
  while (from.writable) from.send(batch);
  assert.equal(await orNothing(arrived), from.address.port);
  assert.equal(await orNothing(writable), true);
  await from.close();
  await to.close();
});

test('a comment in a capture stands at one packet', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'queuepair-comment-'));
  try {
    const file = join(folder, 'run.pcapng');
    const sender = await openSide(`soft:127.0.0.1?port=0&capture=${file}`);
    const receiver = await openSide();
    await tie(sender, receiver);
    sender.device.annotate('the only comment');
    for (let wrId = 0; wrId < 3; wrId++) {
      receiver.qp.postRecv({ wrId, sges: [{ mr: receiver.mr }] });
      receiver.cq.reqNotify();
      sender.qp.postSend({ wrId, opcode: WrOpcode.SEND, sges: [{ mr: sender.mr, length: 8 }] });
      assert.equal(await orNothing(receiver.channel.next()), receiver.cq);
      receiver.cq.poll(createCompletions(4));
    }
    await closeSide(sender);
    await closeSide(receiver);
    assert.equal(readFileSync(file).toString('latin1').split('the only comment').length - 1, 1);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
