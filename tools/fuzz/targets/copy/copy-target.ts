/**
 * A hostile peer of a copy: messages of both ends in any order with fields that lie, as JSON that may be damaged, to a receiver and
 * to a sender that work as their drivers do.
 *
 * What it insists on: nothing throws; a message that was read comes out the same again; slots are taken once; bytes of a file follow
 * each other and end at its size; open files are bounded; paths stay inside; after a fault nothing is accepted; a sender's slots are
 * as many as before, and a file is settled once.
 */
import { pathFault } from '../../../../src/cli/copy/copy-path.js';
import {
  type CopyMessage,
  MAX_UNSETTLED,
  readCopyMessage,
  writeCopyMessage,
} from '../../../../src/cli/copy/copy-wire.js';
import { ReceiverMachine } from '../../../../src/cli/copy/receiver-machine.js';
import { SenderMachine } from '../../../../src/cli/copy/sender-machine.js';
import { Choices } from '../../choices.js';
import { stepInput } from '../../step-input.js';
import { must, type Target } from '../../target.js';

const STEP_BYTES = 12;
const MAX_STEPS = 64;
const SLOTS = 3;
const SLOT_BYTES = 64;
const HASH = '0'.repeat(64);
const PATHS = [
  'a',
  '',
  'a/b',
  '../a',
  '/a',
  'a/../../b',
  '.',
  'a//b',
  'a\0',
  '\ud800',
  'a\\b',
  'x'.repeat(300),
];
const SIZES = [64, 0, 1, 63, 65, 128, 200, Number.MAX_SAFE_INTEGER];
const TYPES = [
  'entry',
  'piece',
  'hole',
  'done',
  'gone',
  'skipped',
  'end',
  'total',
  'have',
  'taken',
  'stored',
  'failed',
  'ended',
  'open',
  'opened',
  'refused',
] as const;

export class CopyTarget implements Target {
  readonly name = 'copy';
  readonly stepBytes = STEP_BYTES;
  readonly maxSteps = MAX_STEPS;

  /** Whole copies, and each message once. */
  seeds(): readonly Uint8Array[] {
    const steps = (...list: readonly number[][]): Uint8Array => stepInput(STEP_BYTES, list);
    return [
      steps([0, 0], [0, 1], [0, 3], [0, 6]),
      steps([0, 0, 0, 0, 5], [0, 1], [0, 1, 0, 1], [0, 3], [0, 6]),
      steps([1, 0], [1, 8], [1, 9], [1, 10], [1, 12]),
      ...PATHS.map((_, i) => steps([0, 0, 0, i])),
      ...SIZES.map((_, i) => steps([0, 0, 0, 0, i], [0, 2], [0, 1], [0, 3])),
      ...TYPES.flatMap((_, i) => [
        steps([0, i]),
        steps([1, i]),
        steps([0, 0], [0, i]),
        steps([1, 0], [1, i]),
      ]),
    ];
  }

  run(input: Uint8Array): number {
    const world = new CopyWorld();
    const choices = new Choices();
    for (let at = 0; at < input.length; at += STEP_BYTES) {
      choices.reset(input, at, at + STEP_BYTES);
      if (choices.below(2) === 0) world.toReceiver(choices);
      else world.toSender(choices);
    }
    return Math.max(1, Math.ceil(input.length / STEP_BYTES));
  }
}

class CopyWorld {
  readonly #receiver = new ReceiverMachine(SLOTS, SLOT_BYTES);
  readonly #sender = new SenderMachine(SLOTS);
  readonly #arrived = new Map<number, number>();
  readonly #busy = new Set<number>();
  readonly #taken: number[] = [];
  readonly #settled = new Set<number>();
  #lastId = 0;
  #lastSent = 0;
  #isReceiverFaulty = false;
  #isSenderFaulty = false;

  toReceiver(choices: Choices): void {
    const message = this.#craft(choices);
    if (message === undefined) return;
    const order = this.#receiver.receive(message);
    if (typeof order === 'string') {
      this.#isReceiverFaulty = true;
      return;
    }
    must(!this.#isReceiverFaulty, 'nothing is accepted after a fault');
    must(this.#receiver.unsettled <= MAX_UNSETTLED, 'open files are bounded');
    if (message.type === 'entry') this.#lastId = message.id;
    switch (order.do) {
      case 'prepare':
        must(pathFault(order.entry.path) === undefined, 'paths stay inside');
        if (choices.oneIn(5)) return;
        this.#have(order.entry.id, choices.oneIn(3) ? Math.min(order.entry.size, 10) : 0);
        return;
      case 'take':
      case 'skip': {
        const before = this.#arrived.get(order.entry.id);
        must(before !== undefined, 'bytes come after what is there was told');
        must(order.offset === before || order.offset === 0, 'bytes follow each other');
        const length = 'length' in order ? order.length : 0;
        must(length > 0 && order.offset + length <= order.entry.size, 'bytes lie in their file');
        this.#arrived.set(order.entry.id, order.offset + length);
        if (order.do === 'take') this.#takeSlot(order.slot, order.length, choices);
        return;
      }
      case 'finish':
        must(this.#arrived.get(order.entry.id) === order.entry.size, 'a file that is done is whole');
        if (!choices.oneIn(5)) this.#receiver.settled();
    }
  }

  #have(id: number, bytes: number): void {
    this.#receiver.prepared(id, bytes);
    this.#arrived.set(id, bytes);
  }

  #takeSlot(slot: number, length: number, choices: Choices): void {
    must(slot < SLOTS && length <= SLOT_BYTES, 'bytes lie in a slot');
    must(!this.#busy.has(slot), 'a slot is taken once');
    this.#busy.add(slot);
    if (choices.oneIn(2)) return;
    this.#busy.delete(slot);
    this.#receiver.released(slot);
  }

  toSender(choices: Choices): void {
    if (choices.oneIn(3)) this.#work(choices);
    const message = this.#craft(choices);
    if (message === undefined) return;
    const news = this.#sender.receive(message);
    if (typeof news === 'string') {
      this.#isSenderFaulty = true;
      return;
    }
    must(!this.#isSenderFaulty, 'nothing is accepted after a fault');
    if (news.news === 'taken') {
      const { slot } = message as { slot: number };
      must(this.#taken.includes(slot), 'only slots that were written are given back');
      this.#taken.splice(this.#taken.indexOf(slot), 1);
    }
    if (news.news === 'stored') {
      must(!this.#settled.has(news.id), 'a file is stored once');
      this.#settled.add(news.id);
    }
    if (news.news === 'have') must(news.bytes <= 100, 'nobody has more of a file than there is');
  }

  #work(choices: Choices): void {
    if (this.#sender.mayAnnounce && choices.oneIn(2)) this.#lastSent = this.#sender.announce('file', 100);
    const slot = this.#sender.takeSlot();
    if (slot !== undefined) {
      must(!this.#taken.includes(slot), 'a slot is written by one at a time');
      this.#taken.push(slot);
    }
    must(this.#taken.length <= SLOTS, 'there are no more slots than the receiver has');
    if (choices.oneIn(2)) this.#sender.done(this.#lastSent);
    if (choices.oneIn(9)) this.#sender.gone(this.#lastSent);
    if (choices.oneIn(9)) this.#sender.end();
    must(this.#sender.unsettled <= MAX_UNSETTLED, 'announced files are bounded');
  }

  /** A message that fits often, by way of its bytes, which may be damaged. */
  #craft(choices: Choices): CopyMessage | undefined {
    const { tag, text } = writeCopyMessage(this.#fields(choices));
    const bytes = Buffer.from(text);
    if (choices.oneIn(16)) bytes[choices.below(bytes.length)] = choices.u8();
    const read = readCopyMessage(choices.oneIn(32) ? choices.u16() : tag, bytes);
    if (typeof read === 'string') return undefined;
    const again = writeCopyMessage(read);
    must(
      JSON.stringify(readCopyMessage(again.tag, Buffer.from(again.text))) === JSON.stringify(read),
      'a message that was read can be written and read again',
    );
    return read;
  }

  #fields(choices: Choices): CopyMessage {
    const type = choices.pick(TYPES);
    const lie = choices.below(4);
    const path = choices.pick(PATHS);
    const size = choices.pick(SIZES);
    const head = [...this.#arrived.keys()].find((one) => !this.#settled.has(one)) ?? 1;
    const id =
      lie === 1 ? choices.u8() : type === 'entry' ? this.#lastId + 1 : lie === 2 ? this.#lastSent : head;
    const offset = lie === 3 ? choices.u8() : (this.#arrived.get(id) ?? 0);
    const length = 1 + (choices.u8() % (SLOT_BYTES + 1));
    const slot = choices.below(SLOTS + 1);
    const fields: Record<string, object> = {
      entry: { id, kind: choices.oneIn(4) ? 'directory' : 'file', path, size, mode: 0o644, mtimeMillis: 0 },
      piece: { id, offset, length, slot },
      hole: { id, offset, length },
      done: { id, sha256: HASH },
      gone: { id, reason: path },
      skipped: { path, reason: path },
      end: {},
      total: { files: size, bytes: size },
      have: { id, bytes: choices.u8(), sha256: HASH },
      taken: { slot },
      stored: { id },
      failed: { id, reason: path },
      ended: {},
      open: { v: 1, want: 'get', path, slots: 1 + slot, slotBytes: length },
      opened: { found: 'nothing', slots: 1 + slot, slotBytes: length },
      refused: { reason: path },
    };
    return { type, ...fields[type] } as CopyMessage;
  }
}
