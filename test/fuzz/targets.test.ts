/**
 * Every target can fail: a fault put into the code behind its back is found, in a number of inputs that the code as it
 * is comes through.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ReceiverMachine } from '../../src/cli/copy/receiver-machine.js';
import { SenderMachine } from '../../src/cli/copy/sender-machine.js';
import { Opener, TAG_BYTES } from '../../src/connection/fragments/sealing.js';
import { LifelineMachine } from '../../src/connection/lifeline/lifeline-machine.js';
import { MessageReceiver } from '../../src/connection/messages/message-receiver.js';
import { MessageSender } from '../../src/connection/messages/message-sender.js';
import { Registry } from '../../src/nvme/target/registry.js';
import { CmHost } from '../../src/roce/cm/cm-host.js';
import { CmMachine } from '../../src/roce/cm/cm-machine.js';
import { Identities } from '../../src/roce/cm/identities.js';
import { Cq } from '../../src/roce/completion/cq.js';
import { RemoteGrant } from '../../src/roce/memory/region.js';
import { RegionTable } from '../../src/roce/memory/region-table.js';
import { Nic } from '../../src/roce/nic.js';
import { IncomingMessage } from '../../src/roce/qp/incoming-message.js';
import { Qp } from '../../src/roce/qp/qp.js';
import { SgeTable } from '../../src/roce/qp/sge-table.js';
import { TransmitBatch } from '../../src/roce/transmit-batch.js';
import { ControlChannel } from '../../src/session/control-channel.js';
import { FrameDecoder } from '../../src/session/frame-decoder.js';
import { SoftCq } from '../../src/soft/soft-cq.js';
import { SoftMr } from '../../src/soft/soft-memory.js';
import { Random } from '../../testkit/random.js';
import { Mutator } from '../../tools/fuzz/mutator.js';
import { type CatalogEntry, runWhole } from '../../tools/fuzz/target.js';
import { OWN_PSN } from '../../tools/fuzz/targets/frames/live-session.js';
import { TARGETS } from '../../tools/fuzz/targets.js';

const SEED = 1234;
/** Inputs that the code as it is must come through. */
const INPUTS = 600;
/** Inputs in which a fault must be found; most show in the first hundred. */
const MAX_INPUTS = 6000;

/** What the target says of the first input that it objects to. */
async function firstObjection(name: string, inputs = MAX_INPUTS): Promise<string | null> {
  const target = await (TARGETS[name] as CatalogEntry).create();
  const mutator = new Mutator(new Random(SEED), target.stepBytes, target.maxSteps);
  const seeds = target.seeds();
  for (let i = 0; i < inputs; i++) {
    const parent = seeds[i % seeds.length] as Uint8Array;
    const input = i % 4 === 0 ? parent : i % 4 === 1 ? mutator.fresh() : mutator.mutate(seeds);
    try {
      await runWhole(target, input);
    } catch (error) {
      return String(error);
    }
  }
  return null;
}

type Methods<T> = { [K in keyof T]: T[K] extends (...args: never[]) => unknown ? K : never }[keyof T];

/** Puts `make(original)` in the place of a method for as long as `action` takes. */
async function sabotaged<T extends object, K extends Methods<T>>(
  prototype: T,
  method: K,
  make: (original: T[K]) => T[K],
  action: () => Promise<string | null>,
): Promise<string | null> {
  const original = prototype[method];
  prototype[method] = make(original);
  try {
    return await action();
  } finally {
    prototype[method] = original;
  }
}

for (const name of Object.keys(TARGETS)) {
  test(`${name}: the code as it is comes through`, async () => {
    assert.equal(await firstObjection(name, INPUTS), null, `seed ${SEED}`);
  });
}

test('wire: a bounds check of remote memory that is off by one', async () => {
  const objection = await sabotaged(
    RemoteGrant.prototype,
    'allows',
    (original) =>
      function (this: RemoteGrant, pd, qpn, access, va, length) {
        return (
          original.call(this, pd, qpn, access, va, length) ||
          original.call(this, pd, qpn, access, va - 1, length)
        );
      },
    () => firstObjection('wire'),
  );
  assert.match(
    objection ?? '',
    /out of bounds|memory changed that must not|a segment lies in its region|shows what it may|names memory inside/,
  );
});

test('wire: rights of remote memory that nobody asks for', async () => {
  const objection = await sabotaged(
    RemoteGrant.prototype,
    'allows',
    (original) =>
      function (this: RemoteGrant, pd, qpn, _access, va, length) {
        return original.call(this, pd, qpn, 0, va, length);
      },
    () => firstObjection('wire-noicrc'),
  );
  assert.match(objection ?? '', /memory changed that must not|shows what it may/);
});

test('wire: a region that lives on after it was deregistered', async () => {
  const objection = await sabotaged(
    RegionTable.prototype,
    'deregister',
    () => () => {},
    () => firstObjection('wire'),
  );
  assert.match(
    objection ?? '',
    /memory changed that must not|shows what it may|names memory inside|no region is left/,
  );
});

test('wire: the length of a packet that nobody checks', async () => {
  const objection = await sabotaged(
    IncomingMessage.prototype,
    'checkLength',
    () => () => 0,
    () => firstObjection('wire'),
  );
  assert.match(objection ?? '', /Error|Finding|InvariantViolation/);
});

test('wire: a request that completes twice', async () => {
  const objection = await sabotaged(
    Cq.prototype,
    'push',
    (original) =>
      function (this: Cq, ...args) {
        original.apply(this, args);
        original.apply(this, args);
      },
    () => firstObjection('wire'),
  );
  assert.match(objection ?? '', /was not posted, or completed before/);
});

test('wire: a throw out of receive', async () => {
  const objection = await sabotaged(
    Nic.prototype,
    'receive',
    (original) =>
      function (this: Nic, datagram, now) {
        if (datagram.length < 12) throw new RangeError('too short for me');
        original.call(this, datagram, now);
      },
    () => firstObjection('wire'),
  );
  assert.match(objection ?? '', /too short for me/);
});

test('frames: a decoder that loses frames', async () => {
  const objection = await sabotaged(
    FrameDecoder.prototype,
    'push',
    (original) =>
      function* (this: FrameDecoder, chunk) {
        for (const decoded of original.call(this, chunk))
          if (!decoded.ok || decoded.frame.type !== 'ping') yield decoded;
      },
    () => firstObjection('frames'),
  );
  assert.match(objection ?? '', /finds the frames|what was received|all frames of an orderly peer/);
});

test('frames: an error frame that tells our PSN', async () => {
  const objection = await sabotaged(
    ControlChannel.prototype,
    'fail',
    (original) =>
      function (this: ControlChannel, error) {
        original.call(this, error, `my PSN is ${OWN_PSN}`);
      },
    () => firstObjection('frames'),
  );
  assert.match(objection ?? '', /does not hold our PSN/);
});

test('frames: a session that says everything forty times', async () => {
  const objection = await sabotaged(
    ControlChannel.prototype,
    'send',
    (original) =>
      function (this: ControlChannel, frame) {
        for (let i = 0; i < 40; i++) original.call(this, frame);
      },
    () => firstObjection('frames'),
  );
  assert.match(objection ?? '', /says little|a sign of life/);
});

test('verbs: pieces of memory that nobody checks', async () => {
  const objection = await sabotaged(
    SgeTable.prototype,
    'allows',
    () => () => true,
    () => firstObjection('verbs'),
  );
  assert.match(objection ?? '', /no memory changes that must not|lies in its region|Error/);
});

test('verbs: a region that is closed and still counted', async () => {
  const objection = await sabotaged(
    SoftMr.prototype,
    'close',
    () => async () => {},
    () => firstObjection('verbs'),
  );
  assert.match(objection ?? '', /the census counts|what nobody uses can be closed/);
});

test('verbs: a poll that believes what it is asked for', async () => {
  const objection = await sabotaged(
    SoftCq.prototype,
    'poll',
    () =>
      function (this: SoftCq, into, max = into.length) {
        return this.engine.poll(into, max);
      },
    () => firstObjection('verbs'),
  );
  assert.match(
    objection ?? '',
    /poll fills what it was given|posted and had not completed|holds 0 to capacity entries/,
  );
});

test('verbs: a completion that is lost', async () => {
  let count = 0;
  const objection = await sabotaged(
    Qp.prototype,
    'completeSend',
    (original) =>
      function (this: Qp, wqe, status) {
        if (++count % 16 !== 0) original.call(this, wqe, status);
      },
    () => firstObjection('verbs'),
  );
  assert.match(objection ?? '', /complete in order|all requests of .* completed/);
});

test('messages: a receiver that overlooks what is against the rules', async () => {
  const objection = await sabotaged(
    MessageReceiver.prototype,
    'onFragment',
    (original) =>
      function (this: MessageReceiver, slot, length) {
        try {
          return original.call(this, slot, length);
        } catch {
          // Nothing to see here.
          return false;
        }
      },
    () => firstObjection('messages'),
  );
  assert.match(objection ?? '', /should end in ERR_RDMA_PROTOCOL/);
});

test('messages: a sender that does not hear what the peer has taken', async () => {
  const objection = await sabotaged(
    MessageSender.prototype,
    'onPeerLimit',
    () => () => {},
    () => firstObjection('messages'),
  );
  assert.match(objection ?? '', /gets everything|should end in ERR_RDMA_PROTOCOL/);
});

test('messages: a receiver that takes two receives for one', async () => {
  const objection = await sabotaged(
    MessageReceiver.prototype,
    'onFragment',
    (original) =>
      function (this: MessageReceiver, slot, length) {
        return original.call(this, slot ^ 1, length);
      },
    () => firstObjection('messages'),
  );
  assert.match(objection ?? '', /Finding/);
});

test('messages: a seal that nobody looks at', async () => {
  const objection = await sabotaged(
    Opener.prototype,
    'open',
    (original) =>
      function (this: Opener, header, sealed) {
        const payload = sealed.subarray(0, Math.max(0, sealed.length - TAG_BYTES));
        return original.call(this, header, sealed) ?? Buffer.from(payload);
      },
    () => firstObjection('messages'),
  );
  assert.match(objection ?? '', /should end in ERR_RDMA_INTEGRITY/);
});

test('lifeline: a machine that does not hear of what was freed', async () => {
  const objection = await sabotaged(
    LifelineMachine.prototype,
    'handle',
    (original) =>
      function (this: LifelineMachine, input, now, channel) {
        return input.type === 'destroyed' ? [] : original.call(this, input, now, channel);
      },
    () => firstObjection('lifeline'),
  );
  assert.match(objection ?? '', /Finding: nothing will happen any more/);
});

test('cm: a queue pair 1 that sends longer packets', async () => {
  const objection = await sabotaged(
    TransmitBatch.prototype,
    'commit',
    (original) =>
      function (this: TransmitBatch, flow, headerLength, payloadLength) {
        original.call(this, flow, headerLength, payloadLength + 4);
      },
    () => firstObjection('cm'),
  );
  assert.match(objection ?? '', /a packet of 284 bytes leaves|Error/);
});

test('cm: a manager that remembers what is no message', async () => {
  const objection = await sabotaged(
    CmMachine.prototype,
    'receive',
    (original) =>
      function (this: CmMachine, mad, from, to, now) {
        const copy = mad.slice();
        copy.set([1, 7, 2, 3], 0);
        original.call(this, copy, from, to, now);
      },
    () => firstObjection('cm'),
  );
  assert.match(objection ?? '', /what is no message is counted|nothing but messages of 256 bytes/);
});

test('cm: identities that never count unfinished requests', async () => {
  const objection = await sabotaged(
    Identities.prototype,
    'mayOpen',
    () => () => 'yes' as const,
    () => firstObjection('cm'),
  );
  assert.match(objection ?? '', /unfinished requests are bounded/);
});

test('cm: a manager that answers twice', async () => {
  const objection = await sabotaged(
    CmHost.prototype,
    'reply',
    (original) =>
      function (this: CmHost, connection, message) {
        this.send(connection, message);
        return original.call(this, connection, message);
      },
    () => firstObjection('cm'),
  );
  assert.match(objection ?? '', /one answer at most/);
});

test('nvme: a target that takes every host for one that may come', async () => {
  const objection = await sabotaged(
    Registry.prototype,
    'connect',
    (original) =>
      function (this: Registry, command, data, queue, nowMillis) {
        return original.call(this, command, { ...data, hostNqn: 'nqn.2026-01.test:a' }, queue, nowMillis);
      },
    () => firstObjection('nvme'),
  );
  assert.match(objection ?? '', /it is the host's own|only the host that may comes in/);
});

test('copy: a slot that is taken although its bytes are still needed', async () => {
  const objection = await sabotaged(
    ReceiverMachine.prototype,
    'receive',
    (original) =>
      function (this: ReceiverMachine, message) {
        if (message.type === 'piece') this.released(message.slot);
        return original.call(this, message);
      },
    () => firstObjection('copy'),
  );
  assert.match(objection ?? '', /a slot is taken once|bytes lie in a slot/);
});

test('copy: a slot that is written twice', async () => {
  const objection = await sabotaged(
    SenderMachine.prototype,
    'takeSlot',
    (original) =>
      function (this: SenderMachine) {
        return original.call(this) ?? 0;
      },
    () => firstObjection('copy'),
  );
  assert.match(objection ?? '', /a slot is written by one at a time/);
});

test('a peer may fail while its frames wait: what nobody took is lost, but for the word that it was up', async () => {
  const target = await (TARGETS['frames'] as CatalogEntry).create();
  const steps = [
    '0000000000000000000000000000000000000000000000000000000000000000',
    'da7fa273e3576ad080b05aea60501b0000000000000000000000000000000000',
    'dbe66a0000000000000000000000000000000000000000000000000000000000',
    '60b78fa40defb92102ab0db89ff998fc877631a54ea65da6ffb8fa0603aaafb9',
    'a13dacce68ec2d471c20095284f4009d3c76b22226c6272a73f1c3386618183f',
  ];
  await runWhole(target, Buffer.from(steps.join(''), 'hex'));
});

for (const [what, name, input] of [
  [
    'a peer may take half of all numbers more than were sent',
    'messages',
    'c269231483102f000000000000000000000000000000000000000000000000006f390d237907fffff8f592d2ebf2f5d210000000000000000000000000000000a7af000000000000000000000000000000000000000000000000000000000000',
  ],
  [
    'a connection whose time to end in order is over does not ask its peer any more',
    'lifeline',
    '57000000000000003dce37d3',
  ],
] as const)
  test(what, async () => {
    const target = await (TARGETS[name] as CatalogEntry).create();
    await runWhole(target, Buffer.from(input, 'hex'));
  });
