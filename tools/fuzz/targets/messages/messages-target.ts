/**
 * Fragments of a hostile peer into the sender and receiver of a connection. The first step of an input sizes the
 * connection; each other one is a fragment, or something that the program or the network does. A connection that
 * refused its peer is followed by a new one.
 *
 * What it insists on: exactly the fragments that break a rule are refused, with ERR_RDMA_PROTOCOL; messages arrive
 * whole, once, in order; receives and slots are neither lost nor used twice; what nobody takes does not pile up; every
 * message that is sent ends once, and successfully only if the peer has it.
 */
import { HEADER_BYTES } from '../../../../src/connection/fragments/message-header.js';
import { TAG_BYTES } from '../../../../src/connection/fragments/sealing.js';
import { Choices } from '../../choices.js';
import { must, type Target } from '../../target.js';
import { FragmentCrafter } from './fragment-crafter.js';
import { MessageWorld, settle, type Tamper } from './message-world.js';
import type { WorldPlan } from './world-plan.js';

const STEP_BYTES = 32;
const MAX_STEPS = 96;
/** The first kind of step that is a new link. */
const RECONNECT = 240;
const TAGS = [0, 1, 2, 0xff, 0xffff] as const;

export class MessagesTarget implements Target {
  readonly name = 'messages';
  readonly stepBytes = STEP_BYTES;
  readonly maxSteps = MAX_STEPS;
  readonly #choices = new Choices();

  /**
   * A conversation of every plan, each damage once, and a peer that floods a program which takes nothing, over one link and
   * over links that fail again and again.
   */
  seeds(): Uint8Array[] {
    const seeds: Uint8Array[] = [];
    for (let plan = 0; plan < 16; plan++)
      seeds.push(
        input(
          [plan & 3, plan >> 2, plan & 1, 0, plan],
          [],
          [],
          [176, 3],
          [],
          [200],
          [200],
          [],
          [190],
          [208],
          [],
        ),
      );
    for (let field = 0; field < 9; field++)
      for (let value = 0; value < 8; value++)
        seeds.push(input([], [100, 0, 0, 0, field, 0, value, 1], [], []));
    for (const length of [0, 1, 2, 5]) {
      const flood = Array.from({ length: 90 }, () => [0, 0, length]);
      seeds.push(input([], ...flood), input([2, 0, 3], ...flood));
      const relapses = flood.map((step, i) => (i % 6 === 5 ? [RECONNECT] : step));
      seeds.push(input([], ...relapses), input([2, 0, 3], ...relapses));
    }
    return seeds;
  }

  async run(bytes: Uint8Array): Promise<number> {
    const choices = this.#choices.reset(bytes, 0, STEP_BYTES);
    const plan = pickPlan(choices);
    let fragments = 0;
    let world = begin(plan);
    // A peer that seals leaves room for the tag.
    const plainBytes = Math.max(HEADER_BYTES, plan.slotBytes - (plan.encrypted ? TAG_BYTES : 0));
    const crafter = new FragmentCrafter(plainBytes, plan.maxMessageBytes, plan.encrypted);
    for (let at = STEP_BYTES; at < bytes.length; at += STEP_BYTES) {
      if (world.failure !== undefined) {
        await world.end();
        world = begin(plan);
        crafter.restart();
      }
      fragments += step(world, crafter, choices.reset(bytes, at, at + STEP_BYTES));
      await settle();
      world.checkDelivered();
    }
    await world.end();
    return Math.max(1, fragments);
  }
}

function pickPlan(choices: Choices): WorldPlan {
  const slots = choices.pick([4, 1, 2, 16]);
  const slotBytes = choices.pick([64, 25, 128, 48]);
  // Our own slots always have room for a byte.
  const encrypted = slotBytes > HEADER_BYTES + TAG_BYTES && choices.oneIn(2);
  return {
    slots,
    slotBytes,
    maxMessageBytes: choices.pick([300, 0, 1, 5000]),
    messageWindowBytes: choices.pick([256, 25, 1000]),
    streams: choices.pick([3, 0, 1]),
    streamWindowBytes: choices.pick([100, 1, 1000]),
    peerSlots: choices.pick([4, 1, 3, 1000]),
    peerSlotBytes: choices.pick([64, 64, 25, 26, 4096, 24, 1, 41, 40]),
    peerMaxMessageBytes: choices.pick([2000, 2000, 0, 100]),
    peerMessageWindowBytes: choices.pick([1000, 25, 64]),
    peerStreams: choices.pick([3, 0, 1]),
    peerStreamWindowBytes: choices.pick([100, 1, 5000]),
    encrypted,
    brief: choices.oneIn(2),
  };
}

function begin(plan: WorldPlan): MessageWorld {
  const world = new MessageWorld(plan);
  world.attach(0);
  return world;
}

/** Returns how many fragments arrived. */
function step(world: MessageWorld, crafter: FragmentCrafter, choices: Choices): number {
  if (world.failure !== undefined) return 0;
  const kind = choices.u8();
  if (kind >= 156) {
    happen(world, kind, choices);
    return 0;
  }
  if (world.qp.receives.length === 0) return 0;
  const { model, sent, plan } = world;
  // The newest that the peer may say, or what it said last.
  const newest = (sent.received + plan.peerSlots) >>> 0;
  const limit = kind % 4 === 1 ? model.peerLimit : newest;
  if (kind < 146) crafter.next(model, limit, choices);
  else crafter.raw(choices);
  if (kind >= 106 && kind < 136) crafter.damage(choices);
  const tamper = world.plan.encrypted && choices.oneIn(12) ? pickTamper(choices) : null;
  must(world.deliver(crafter.bytes.slice(0, crafter.length), tamper), 'a receive was there');
  return 1;
}

/** What somebody without the keys can do: change bytes, cut, lengthen, or send again what he has seen. */
function pickTamper(choices: Choices): Tamper {
  const how = choices.below(5);
  const value = choices.u8();
  const flip = 1 << (value & 7);
  return (sealed, earlier) => {
    const bytes = sealed.slice();
    if (how === 0) bytes[value % bytes.length] = (bytes[value % bytes.length] as number) ^ flip;
    else if (how === 1) bytes[bytes.length - 1] = (bytes[bytes.length - 1] as number) ^ flip;
    else if (how === 2) return bytes.subarray(0, Math.max(0, bytes.length - 1 - (value & 31)));
    else if (how === 3) return bytes.fill(value);
    return earlier[value % Math.max(1, earlier.length)] ?? bytes;
  };
}

function happen(world: MessageWorld, kind: number, choices: Choices): void {
  if (kind < 176) world.useStream(choices.below(5), choices.below(8), choices.pick([1, 7, 40, 200]));
  else if (kind < 196) {
    const data = new Uint8Array(choices.pick([7, 0, 1, 39, 40, 41, 300, 2000]));
    for (let i = 0; i < data.length; i++) data[i] = i * 11 + kind;
    world.send(choices.pick(TAGS), data);
  } else if (kind < 214) world.take();
  else if (kind < RECONNECT) for (let i = choices.below(6); i >= 0; i--) world.complete();
  else if (kind < 252) reconnect(world, choices);
  else if (kind === 252) world.quit();
  else if (kind === 253 && world.plan.brief) world.close(choices.below(27));
}

/** The link is lost, and another one comes up; the peer may have got more than our side knows. */
function reconnect(world: MessageWorld, choices: Choices): void {
  world.detach();
  // Between the parameters and the link the program may take messages.
  for (let i = choices.pick([0, 0, 0, 1, 4]); i > 0; i--) world.take();
  const { received, underWay } = world.sent;
  const right = received + choices.below(underWay.length + 1);
  const wrong = [received - 1, received + underWay.length + 1, 0xffffffff];
  world.attach((choices.oneIn(6) ? choices.pick(wrong) : right) >>> 0);
}

/** Steps, each padded with zeros. */
function input(...steps: number[][]): Uint8Array {
  const bytes = new Uint8Array(steps.length * STEP_BYTES);
  for (const [i, values] of steps.entries()) bytes.set(values, i * STEP_BYTES);
  return bytes;
}
