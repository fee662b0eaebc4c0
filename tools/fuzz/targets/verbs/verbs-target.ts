/**
 * Calls of the verbs layer in any order, right and wrong, on two soft devices that talk to each other. The first step of
 * an input says how the program begins; each other one is a call or two.
 *
 * What it insists on: a wrong call is refused with an error that explains, and leaves nothing behind; a right one works;
 * requests complete once and in order; memory changes only where a region allows it; the census is right; and whatever
 * was done before, everything can be closed, and then nothing is left.
 */
import { isDeepStrictEqual } from 'node:util';
import { QpState } from '../../../../src/verbs/qp-state.js';
import { Choices } from '../../choices.js';
import { must, type Target } from '../../target.js';
import { number, wildAttributes } from './arguments.js';
import { attempt, isDone } from './call.js';
import { create } from './creating.js';
import { postReceives, postSends } from './posting.js';
import { type Entry, KINDS, type QpEntry } from './registry.js';
import { VerbsMemory } from './verbs-memory.js';
import { GIDS, VerbsWorld } from './verbs-world.js';

const STEP_BYTES = 24;
const MAX_STEPS = 64;
const ARENA_BYTES = 64 * 1024;

export class VerbsTarget implements Target {
  readonly name = 'verbs';
  readonly stepBytes = STEP_BYTES;
  readonly maxSteps = MAX_STEPS;
  readonly #choices = new Choices();
  readonly #memory = new VerbsMemory(ARENA_BYTES);

  /** Every opcode on every queue pair with a receive at the other side, and every kind of call. */
  seeds(): Uint8Array[] {
    const seeds: Uint8Array[] = [];
    for (let qp = 0; qp < 4; qp++) {
      for (let opcode = 0; opcode < 10; opcode++) {
        const receive = [80, 1, 0, 0, qp];
        const send = [3, 0, 0, qp, 0, opcode];
        seeds.push(input([], receive, receive, send, send, [110], [110]));
      }
    }
    for (let kind = 0; kind < 256; kind += 2)
      seeds.push(input([], [kind], [kind, 1, 0, 1], [kind, 0, 0, 2], [120]));
    return seeds;
  }

  async run(bytes: Uint8Array): Promise<number> {
    const choices = this.#choices.reset(bytes, 0, STEP_BYTES);
    const world = new VerbsWorld(this.#memory);
    await world.setUp(choices);
    for (let at = STEP_BYTES; at < bytes.length; at += STEP_BYTES) {
      await step(world, choices.reset(bytes, at, at + STEP_BYTES));
      world.memory.check('a call');
    }
    await world.end();
    return Math.max(1, world.calls);
  }
}

async function step(world: VerbsWorld, choices: Choices): Promise<void> {
  const kind = choices.u8();
  const device = choices.u8() & 1;
  world.calls++;
  if (kind < 80) postSends(world, device, choices);
  else if (kind < 110) postReceives(world, device, choices);
  else if (kind < 140) await askQueue(world, device, choices);
  else if (kind < 170) await modify(world, device, choices);
  else if (kind < 220) await create(world, device, kind - 170, choices);
  else if (kind < 240) await closeSomething(world, device, choices);
  else await other(world, device, kind, choices);
  if ((kind & 3) === 3 || (kind >= 110 && kind < 140)) await world.turn();
  world.objects.checkCensus(world.devices);
}

/** Takes completions, or arms a queue for them. */
async function askQueue(world: VerbsWorld, device: number, choices: Choices): Promise<void> {
  const how = choices.u8();
  if (how < 96) {
    world.pollAll();
    return;
  }
  const entry = world.objects.pick('cqs', device, choices);
  if (entry === undefined) return;
  if (how < 160) world.poll(entry, number(choices, 8, 0, 1, 2, 9));
  else {
    const result = await attempt(() => entry.object.reqNotify(choices.oneIn(2)));
    const isRight = !entry.closed && entry.object.channel !== null;
    must(isDone(result) === isRight, 'an open queue with a channel can be armed');
  }
}

async function modify(world: VerbsWorld, device: number, choices: Choices): Promise<void> {
  const entry = world.objects.pick('qps', device, choices);
  if (entry === undefined) return;
  const how = choices.u8();
  if (how < 100 && !entry.closed) await world.advance(entry);
  else if (how < 160) await force(world, entry, how & 1 ? QpState.ERR : QpState.RESET);
  else {
    const attributes = wildAttributes(choices, GIDS[1 - device] as string);
    const isReset = attributes.state === QpState.RESET && Object.keys(attributes).length === 1;
    await world.turn();
    const before = entry.closed ? null : await entry.object.query();
    // Nothing is awaited between this and the call: what completes in between would have been forgotten.
    if (isReset && !entry.closed) world.beforeReset(entry);
    const result = await attempt(() => entry.object.modify(attributes));
    if (before === null)
      must(!isDone(result) && result.code === 'ERR_RDMA_CLOSED', 'a closed object is closed');
    else if (!isDone(result))
      must(isDeepStrictEqual(await entry.object.query(), before), 'a call that is refused changes nothing');
    // Attributes of a RESET may be anything that is not named in the table.
    if (isDone(result) && attributes.state === QpState.RESET && !isReset) world.beforeReset(entry);
  }
}

async function force(world: VerbsWorld, entry: QpEntry, state: QpState): Promise<void> {
  if (entry.closed || (state === QpState.ERR && entry.object.state === QpState.RESET)) return;
  if (state === QpState.RESET) world.beforeReset(entry);
  await entry.object.modify({ state });
}

async function closeSomething(world: VerbsWorld, device: number, choices: Choices): Promise<void> {
  const entry = world.objects.pick(choices.pick(KINDS), device, choices) as Entry | undefined;
  if (entry === undefined) return;
  if (entry.kind === 'qps' && !entry.closed) world.beforeReset(entry as QpEntry);
  const piece = (entry as { piece?: number }).piece;
  const isClosed = await world.objects.close(entry);
  if (isClosed && piece !== undefined) world.memory.grant(piece, 0);
}

async function other(world: VerbsWorld, index: number, kind: number, choices: Choices): Promise<void> {
  const device = world.devices[index];
  const port = world.ports[index];
  if (device === undefined || port === undefined) return;
  if (kind < 242) {
    const result = await attempt(() => device.close());
    const hasObjects = Object.values(device.census()).some((count) => count > 0);
    must(!isDone(result) || !hasObjects || world.closedDevices[index] === true, 'a device in use stays open');
    if (isDone(result)) world.closedDevices[index] = true;
  } else if (kind < 246) port.cut = !port.cut;
  else if (kind < 249) {
    const srq = world.objects.pick('srqs', index, choices);
    const limit = number(choices, 2, 0, 8, 9);
    if (srq === undefined) return;
    const result = await attempt(() => srq.object.setLimit(limit));
    const isRight = !srq.closed && Number.isInteger(limit) && limit >= 0 && limit <= srq.object.maxWr;
    must(isDone(result) === isRight, 'a limit lies within the queue');
  } else if (kind < 252) await attempt(() => device.queryPort(number(choices, 1, 0, 2)));
  else await new Promise((resolve) => setImmediate(resolve));
}

/** Steps, each padded with zeros. */
function input(...steps: number[][]): Uint8Array {
  const bytes = new Uint8Array(steps.length * STEP_BYTES);
  for (const [i, values] of steps.entries()) bytes.set(values, i * STEP_BYTES);
  return bytes;
}
