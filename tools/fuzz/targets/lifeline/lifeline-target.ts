/**
 * The machine that decides over the life of a connection, whole: meetings that succeed, fail and take their time, what is
 * told of the peer, failures of the link, time, closing and aborting, in any order.
 *
 * What it insists on is in lifeline-world.ts; and that a connection that was told to end comes to its end, whatever
 * happened before.
 */
import { RdmaError, type RdmaErrorCode } from '../../../../src/verbs/errors.js';
import { Choices } from '../../choices.js';
import { stepInput } from '../../step-input.js';
import { must, type Target } from '../../target.js';
import { LifelineWorld } from './lifeline-world.js';

const STEP_BYTES = 4;
const MAX_STEPS = 96;
const RECOVERY = [10_000, 0, 300, 50];
const KEEP_ALIVE = [5000, 0, 50];
const TOLD = ['heard', 'answered', 'peer-restarted', 'peer-left'] as const;
const TOLD_BRIEFLY = ['parted', 'peer-restarted', 'bye-done', 'close-told'] as const;
/** Of lives that are brief. */
const NOTICE = [null, 0, 700];
const CODES: readonly RdmaErrorCode[] = [
  'ERR_RDMA_CONNECTION_LOST',
  'ERR_RDMA_COMPLETION',
  'ERR_RDMA_TIMEOUT',
  'ERR_RDMA_TLS',
  'ERR_RDMA_PROTOCOL',
  'ERR_RDMA_REFUSED',
  'ERR_RDMA_NO_MEMORY',
];
const TIMES = [0, 1, 20, 70, 300, 1500, 6000, 20_000];

export class LifelineTarget implements Target {
  readonly name = 'lifeline';
  readonly stepBytes = STEP_BYTES;
  readonly maxSteps = MAX_STEPS;

  /**
   * A life without trouble, one with a lost link, one with a lost rendezvous, one that closes while it is down, and four
   * brief ones.
   */
  seeds(): readonly Uint8Array[] {
    const steps = (...list: readonly number[][]): Uint8Array => stepInput(STEP_BYTES, list);
    const up = [[0], [0]];
    return [
      steps(...up, [2], [1, 4], [6], [3], [0], [0]),
      steps(...up, [4], [0], [0], [2], [1, 7]),
      steps(...up, [8, 1], [5], [0], [0], [0], [2]),
      steps(...up, [4], [6], [0, 1], [1, 3], [0], [0], [3]),
      steps([0, 0, 0, 1], [0], [7], [6], [3], [7, 2], [0], [0]),
      steps([0, 0, 0, 2], [0], [7], [4], [0], [0], [0], [9], [9], [0], [0]),
      steps([0, 0, 0, 1], [0], [7], [9], [7, 3], [0], [0]),
      steps([0, 0, 0, 1], [0], [7], [9, 1, 0, 1], [0], [0]),
    ];
  }

  run(input: Uint8Array): number {
    const choices = new Choices();
    choices.reset(input, 0, STEP_BYTES);
    const recoveryMillis = choices.pick(RECOVERY);
    const keepAliveMillis = choices.pick(KEEP_ALIVE);
    const jitter = choices.u8() / 256;
    const noticeMillis = choices.pick(NOTICE);
    const brief = keepAliveMillis > 0 && noticeMillis !== null ? { noticeMillis } : undefined;
    const world = new LifelineWorld(recoveryMillis, keepAliveMillis, () => jitter, brief);
    for (let at = STEP_BYTES; at < input.length; at += STEP_BYTES) {
      choices.reset(input, at, at + STEP_BYTES);
      step(world, choices);
    }
    end(world);
    return world.inputs;
  }
}

function step(world: LifelineWorld, choices: Choices): void {
  switch (choices.below(10)) {
    case 0:
      world.answer(choices.oneIn(3) ? errorOf(choices) : undefined);
      break;
    case 1:
      world.pass(choices.pick(TIMES));
      break;
    case 2:
      world.progress();
      break;
    case 3:
      world.give({ type: 'quit-done' });
      break;
    case 4:
      world.give({ type: 'link-failed', error: errorOf(choices) });
      break;
    case 5:
      if (world.rendezvous !== 'open' && world.rendezvous !== 'parted') break;
      // One that is left stays so.
      if (world.rendezvous === 'open') world.rendezvous = 'lost';
      world.give({ type: 'rendezvous-ended', error: errorOf(choices) });
      break;
    case 6:
      world.give({ type: 'close' });
      break;
    case 7:
      if (world.rendezvous === 'parted') world.give({ type: choices.pick(TOLD_BRIEFLY) });
      else tell(world, choices.pick(TOLD));
      break;
    case 8:
      // It ends, and nobody watches it at the moment.
      if (world.rendezvous === 'open') world.rendezvous = choices.pick(['lost', 'left']);
      break;
    case 9:
      // What is freed has nothing more to tell.
      if (world.isEnded) break;
      if (choices.oneIn(2)) world.give({ type: 'abort', error: errorOf(choices) });
      else if (world.rendezvous === 'parted' && choices.oneIn(3))
        world.give({ type: 'peer-close', error: choices.oneIn(2) ? errorOf(choices) : undefined });
      else world.give({ type: world.hasPeerQuit ? 'peer-bye' : 'peer-quit' });
      break;
  }
}

/** The peer is watched while the connection is up; at other times what it does is not given to the machine. */
function tell(world: LifelineWorld, type: (typeof TOLD)[number]): void {
  if (!world.machine.isUp || world.rendezvous !== 'open') return;
  if (type === 'peer-left') world.rendezvous = 'left';
  world.give({ type });
}

const errorOf = (choices: Choices): RdmaError => new RdmaError(choices.pick(CODES), 'something went wrong');

/** Everything fails from now on, and the program closes: it comes to its end, with time alone. */
function end(world: LifelineWorld): void {
  world.give({ type: 'close' });
  const lost = new RdmaError('ERR_RDMA_CONNECTION_LOST', 'nobody is there');
  for (let turns = 0; !world.isEnded; turns++) {
    must(turns < 1000, 'a connection that closes comes to its end');
    const { asked } = world;
    if (asked === null) world.pass(1000);
    else world.answer(asked === 'meet' || asked === 'next-rendezvous' ? lost : undefined);
    if (asked === 'meet' && world.rendezvous === 'open') world.rendezvous = 'lost';
  }
}
