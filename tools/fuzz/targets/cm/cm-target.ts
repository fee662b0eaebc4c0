/**
 * The communication manager: spoiled copies of captured messages, requests and answers that look live, and calls of its
 * programs, in any order and at any time.
 *
 * What it insists on is in cm-world.ts.
 */
import { Choices } from '../../choices.js';
import { stepInput } from '../../step-input.js';
import type { Target } from '../../target.js';
import { answerTo, capturedMad, request, spoil } from './cm-crafter.js';
import { CmWorld, OWN, PEERS, SERVICES } from './cm-world.js';

const STEP_BYTES = 12;
const MAX_STEPS = 64;
const TIMES = [0, 1, 60, 1000, 2100, 9000, 70_000, 130_000];
const TIMEOUTS = [20_000, 1, 900, 200_000];
const BACKLOGS = [16, 1, 3];

/** Steps by their first byte. */
const Step = {
  REQUEST: 0,
  ANSWER: 1,
  ACCEPT: 2,
  CONNECT: 3,
  TIME: 4,
  CAPTURED: 5,
  PROGRAM: 6,
  LOOKUP: 7,
  RAW: 8,
} as const;
const STEPS = Object.keys(Step).length;

export class CmTarget implements Target {
  readonly name = 'cm';
  readonly stepBytes = STEP_BYTES;
  readonly maxSteps = MAX_STEPS;

  /** Lives as they should be: asked and asking, rejected, looked up; and too many requests. */
  seeds(): readonly Uint8Array[] {
    const steps = (...list: readonly number[][]): Uint8Array => stepInput(STEP_BYTES, list);
    const { REQUEST, ANSWER, ACCEPT, CONNECT, TIME, CAPTURED, PROGRAM, LOOKUP } = Step;
    return [
      steps([0], [REQUEST], [ACCEPT], [ANSWER], [PROGRAM, 0, 2], [ANSWER, 0, 0, 4], [TIME, 4]),
      steps([0], [CONNECT], [ANSWER], [PROGRAM, 0, 1], [ANSWER, 0, 0, 3], [TIME, 4]),
      steps([0], [REQUEST], [REQUEST], [PROGRAM, 0, 0], [REQUEST], [TIME, 7]),
      steps([0], [LOOKUP], [ANSWER], [LOOKUP, 0, 1], [TIME, 3], [ANSWER]),
      steps([0], ...[0, 2].flatMap((peer) => [0, 1, 2].map((id) => [REQUEST, peer, 0, 0, id, 0, 0, 0, id]))),
      ...[0, 7, 12, 18].map((packet) => steps([0], [CAPTURED, packet], [ACCEPT], [TIME, 6])),
      steps([0], [CONNECT], [ANSWER, 0, 0, 1, 0, 31], [TIME, 5], [ANSWER, 0, 0, 2], [TIME, 7]),
    ];
  }

  run(input: Uint8Array): number {
    const choices = new Choices();
    choices.reset(input, 0, STEP_BYTES);
    const world = new CmWorld(choices.pick(BACKLOGS));
    for (let at = STEP_BYTES; at < input.length; at += STEP_BYTES) {
      choices.reset(input, at, at + STEP_BYTES);
      step(world, choices);
    }
    world.end();
    return world.hostile;
  }
}

function step(world: CmWorld, choices: Choices): void {
  const kind = choices.below(STEPS);
  const peer = choices.pick(PEERS);
  switch (kind) {
    case Step.REQUEST:
      world.hear(spoil(request(peer, OWN, choices), choices), peer, faultOf(choices));
      break;
    case Step.ANSWER: {
      // The newest first.
      const message = world.sent.at(-1 - choices.below(Math.max(world.sent.length, 1)));
      if (message !== undefined)
        world.hear(spoil(answerTo(message, choices), choices), peer, faultOf(choices));
      break;
    }
    case Step.ACCEPT:
      world.accept(handle(world, choices));
      break;
    case Step.CONNECT:
      if (peer.w3 >>> 24 === 10) world.connect(peer, choices.pick(SERVICES), choices.pick(TIMEOUTS));
      break;
    case Step.TIME:
      world.pass(TIMES[peerless(peer, choices)] ?? 0);
      break;
    case Step.CAPTURED:
      world.hear(spoil(capturedMad(choices), choices), peer, faultOf(choices));
      break;
    case Step.PROGRAM:
      program(world, choices);
      break;
    case Step.LOOKUP:
      if (choices.oneIn(2)) world.answer(handle(world, choices), choices.below(3));
      else if (peer.w3 >>> 24 === 10) world.lookUp(peer, choices.pick(SERVICES), choices.pick(TIMEOUTS));
      break;
    case Step.RAW: {
      const mad = new Uint8Array(256);
      while (!choices.done) mad[choices.u8()] = choices.u8();
      world.hear(spoil(mad, choices), peer, faultOf(choices));
    }
  }
}

/** Headers are right most of the time. */
const faultOf = (choices: Choices): number => (choices.oneIn(4) ? choices.u8() % 40 : 0);

/** The choice of a peer is one of a time here. */
const peerless = (peer: (typeof PEERS)[number], choices: Choices): number =>
  Math.min(PEERS.indexOf(peer) + choices.below(4), TIMES.length - 1);

const handle = ({ handles }: CmWorld, choices: Choices): number =>
  handles.at(-1 - choices.below(Math.max(handles.length, 1))) ?? 0;

function program(world: CmWorld, choices: Choices): void {
  const what = choices.below(4);
  const id = handle(world, choices);
  if (what === 0) world.reject(id);
  else if (what === 1) world.establish(id);
  else if (what === 2) world.disconnect(id);
  else world.close(id);
}
