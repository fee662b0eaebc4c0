/**
 * One end of an rsocket and a peer that does as it likes: private data with one thing wrong, immediates of every kind, any
 * entries in the tables, acknowledgements at any time; and a program that writes, reads, offers memory and leaves.
 *
 * Beside the checks of the machine itself it insists that terms are refused or usable; that exactly the messages that break a
 * rule are; that nothing is read that was not announced, nothing written outside of what the peer has announced; and that
 * after a fault nothing happens any more.
 */
import {
  type RsocketTerms,
  readPrivateData,
  toldIomapEntries,
  writePrivateData,
} from '../../../../src/net/rsocket/wire/private-data.js';
import { CURL, RIOSTREAM } from '../../../../testkit/rsocket-captured.js';
import { Choices } from '../../choices.js';
import { stepInput } from '../../step-input.js';
import { must, type Target } from '../../target.js';
import { RsocketWorld } from './rsocket-world.js';

const STEP_BYTES = 8;
const MAX_STEPS = 96;
const CAPTURED = [CURL.request, CURL.reply, RIOSTREAM.request];
/** Steps that hold which private data is meant, and what is wrong with it. */
const HEADER_STEPS = 1;

export class RsocketTarget implements Target {
  readonly name = 'rsocket';
  readonly stepBytes = STEP_BYTES;
  readonly maxSteps = MAX_STEPS;

  /** A peer that writes and hears, one that announces, one that offers memory, ends of either side. */
  seeds(): readonly Uint8Array[] {
    const steps = (...list: readonly number[][]): Uint8Array => stepInput(STEP_BYTES, list);
    return [
      steps([0], [0, 0, 10], [4], [5, 20], [6], [3]),
      steps([1], [5, 200], [6], [1, 1, 0, 0, 60], [3], [5, 200], [3], [6]),
      steps([2], [1, 2], [8], [6], [3]),
      steps([0], [5, 9], [7, 0], [6], [3], [2, 1], [3], [6]),
      steps([0], [2], [7, 1], [6], [3]),
    ];
  }

  run(input: Uint8Array): number {
    const choices = new Choices();
    choices.reset(input, 0, STEP_BYTES * HEADER_STEPS);
    const peer = termsFrom(choices);
    if (peer === undefined) return 1;
    const world = new RsocketWorld(peer);
    for (let at = STEP_BYTES * HEADER_STEPS; at < input.length; at += STEP_BYTES) {
      choices.reset(input, at, at + STEP_BYTES);
      step(world, choices);
      world.check();
    }
    return 1 + world.messages;
  }
}

/** Terms that were read are those that were written. */
function termsFrom(choices: Choices): RsocketTerms | undefined {
  const bytes = Buffer.from(choices.pick(CAPTURED), 'hex');
  const changes = choices.below(3);
  for (let i = 0; i < changes; i++) bytes[choices.below(bytes.length)] = choices.u8();
  const terms = readPrivateData(choices.oneIn(16) ? bytes.subarray(0, choices.below(41)) : bytes);
  if (typeof terms === 'string') return undefined;
  must(terms.bufferBytes > 0 && terms.tableEntries >= 2, 'terms can be used');
  must(Number.isSafeInteger(terms.bufferAddr + terms.bufferBytes), 'buffers have addresses');
  must(Number.isSafeInteger(terms.tableAddr + 16 * terms.tableEntries), 'tables have addresses');
  if (toldIomapEntries(terms.iomapEntries) === terms.iomapEntries) {
    must(same(readPrivateData(writePrivateData(terms)), terms), 'terms survive the way');
  }
  return terms;
}

function step(world: RsocketWorld, choices: Choices): void {
  switch (choices.below(10)) {
    case 0:
      world.hearData(choices.pick([0, 1, 3, 5, 2]), choices.u16() % 200, choices.oneIn(8));
      break;
    case 1:
      world.hearEntry(choices);
      break;
    case 2:
      world.hearControl(choices.pick([0, 2, 1, 3, 0x1fffffff]), choices.u8() % 2);
      break;
    case 3:
      world.acknowledge();
      break;
    case 4:
      world.read(choices.u8());
      break;
    case 5:
      world.write(choices.u8());
      break;
    case 6:
      world.post();
      break;
    case 7:
      if (choices.u8() % 2 === 0) world.machine.endWriting();
      else world.close();
      break;
    case 8:
      if (choices.oneIn(3)) world.machine.iomaps.withdraw(choices.below(4));
      else world.machine.iomaps.offer({ offset: 0, addr: 4096, rkey: 1, bytes: 10 });
      break;
    case 9:
      if (choices.oneIn(6)) world.machine.receivedOther();
      else world.machine.keepAlive();
      break;
  }
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
