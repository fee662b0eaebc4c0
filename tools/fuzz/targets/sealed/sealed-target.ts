/**
 * One-sided access of an encrypted connection, whose peer has the right keys and need not keep to the rules, over a
 * network that may change what lies in memory. Each step is a write of the peer, a message of it as it was, changed or
 * once more, or something made up.
 *
 * What it insists on: memory changes only where the peer may write, to exactly what it sealed, once for each write and in
 * order; bytes that were changed on the way are wiped and end the connection; what may not be read is not sent; reads
 * of ours end once, with what the peer answered; answers that are under way are bounded.
 */

import { MessageKind } from '../../../../src/connection/fragments/message-header.js';
import { SealedMemory } from '../../../../src/connection/memory/sealed-memory.js';
import type { DirectionKeys } from '../../../../src/session/session-data.js';
import { RdmaError } from '../../../../src/verbs/errors.js';
import { readFrom, writeTo } from '../../../../testkit/transfers.js';
import { Choices } from '../../choices.js';
import { must, type Target } from '../../target.js';

const STEP_BYTES = 12;
const MAX_STEPS = 64;
const BASE = 0x7000n;
/** Bytes 0 to 255 may be written and read, 256 to 383 read, the rest nothing. */
const MEMORY_BYTES = 512;
const WRITABLE = 256;
const READABLE = 384;
const MAX_ANSWERS = 16;
/** Ends of what may be used, and lengths that no memory has. */
const EDGES = [0, 1, 8, 64, 255, 256, 257, 383, 384, 385, 511, 512, 513, 0xffffffff];

interface Announced {
  readonly data: Buffer;
  readonly at: number;
  readonly plain: Uint8Array;
  readonly sealed: Uint8Array;
}

class Ended extends Error {}

class SealedWorld {
  readonly memory = new Uint8Array(MEMORY_BYTES);
  /** What the memory must be. */
  readonly model = new Uint8Array(MEMORY_BYTES);
  readonly announced: Announced[] = [];
  readonly sent: { readonly type: MessageKind; readonly data: Buffer; readonly done: () => void }[] = [];
  readonly reads: Promise<void>[] = [];
  readonly victim: SealedMemory;
  readonly peer: SealedMemory;
  messages = 0;
  /** How many writes of the peer were opened. */
  opened = 0;
  /** The newest answer to a read of ours. */
  answered: Buffer | null = null;
  #writing: Omit<Announced, 'data'> = { at: 0, plain: new Uint8Array(0), sealed: new Uint8Array(0) };

  constructor() {
    const [a, b] = [keysOf(1), keysOf(2)];
    this.victim = new SealedMemory({
      keys: { own: a, peer: b },
      maxMessageBytes: 100,
      peerMaxMessageBytes: 100,
      send: (type, data) => new Promise((done) => this.sent.push({ type, data: Buffer.from(data), done })),
      write: async () => {},
      find: (addr, length, right) => this.#find(addr, length, right === 'write' ? WRITABLE : READABLE),
    });
    this.peer = new SealedMemory({
      keys: { own: b, peer: a },
      maxMessageBytes: 100,
      peerMaxMessageBytes: 100,
      send: async (_, data) => {
        this.announced.push({ ...this.#writing, data: Buffer.from(data) });
        // This peer does not wait until its writes were opened.
        this.peer.onMessage(MessageKind.SEALED_OPENED, Buffer.from(data.subarray(0, 8)));
      },
      write: async (_, data) => {
        const sealed = new Uint8Array(data);
        this.#writing = { ...this.#writing, sealed };
        this.put(this.#writing.at, sealed);
      },
      find: () => undefined,
    });
    for (let i = 0; i < MEMORY_BYTES; i++) this.memory[i] = i * 7;
    this.model.set(this.memory);
  }

  #find(addr: bigint, length: number, end: number): Uint8Array | undefined {
    const at = addr - BASE;
    if (at < 0n || at + BigInt(length) > BigInt(end)) return undefined;
    return this.memory.subarray(Number(at), Number(at) + length);
  }

  /** RDMA WRITE of the peer, or somebody on the way. */
  put(at: number, data: Uint8Array): void {
    this.memory.set(data, at);
    this.model.set(data, at);
  }

  /** May be opened: in order, where the peer may write, and all its bytes are there. */
  isGood(write: Announced | null): write is Announced {
    if (write === null || this.announced.indexOf(write) < this.opened) return false;
    const end = write.at + write.sealed.length;
    return end <= WRITABLE && Buffer.compare(this.memory.subarray(write.at, end), write.sealed) === 0;
  }

  async write(at: number, plain: Uint8Array): Promise<void> {
    this.#writing = { ...this.#writing, at, plain };
    await this.peer.write(writeTo(BASE + BigInt(at), plain));
  }

  /** Hands a message in; `write`: it is that one as the peer announced it. */
  hear(type: MessageKind, data: Buffer, write: Announced | null): void {
    this.messages++;
    const isGood = this.isGood(write);
    try {
      this.victim.onMessage(type, data);
    } catch (error) {
      this.#checkRefusal(error, data, isGood);
      throw new Ended();
    }
    if (type === MessageKind.SEALED_WRITE) {
      must(isGood && write !== null, 'only a write as it was announced is opened, once and in order');
      this.model.set(write.plain, write.at);
      this.opened = this.announced.indexOf(write) + 1;
    }
    this.checkMemory();
  }

  #checkRefusal(error: unknown, data: Buffer, isGood: boolean): void {
    must(error instanceof RdmaError, `what is wrong is told by an RdmaError, not ${error}`);
    must(!isGood, 'a write as it was announced is opened');
    if (error.code === 'ERR_RDMA_INTEGRITY') {
      const at = Number(data.readBigUInt64BE(8) - BASE);
      const end = at + Number(data.readBigUInt64BE(16));
      must(end <= WRITABLE, 'nothing is opened where the peer may not write');
      this.model.fill(0, at, at + Number(data.readBigUInt64BE(16)));
    } else
      must(
        error.code === 'ERR_RDMA_PROTOCOL',
        `a rule that was broken is told as such, not as ${error.code}`,
      );
    this.victim.fail(error);
    this.checkMemory();
  }

  checkMemory(): void {
    must(
      Buffer.compare(this.memory, this.model) === 0,
      'memory changes as the peer sealed it, and nowhere else',
    );
  }
}

export class SealedTarget implements Target {
  readonly name = 'sealed';
  readonly stepBytes = STEP_BYTES;
  readonly maxSteps = MAX_STEPS;
  readonly #choices = new Choices();

  seeds(): Uint8Array[] {
    const seeds = [
      input([0, 4, 0, 64], [40]),
      input([0, 4, 0, 64], [40], [60, 0, 1]),
      input([0, 4, 5, 9], [40]),
      input([0, 4, 0, 64], [0, 90, 0, 9], [40], [40], [60]),
      input([0, 4, 0, 8], [80, 3], [40]),
      input([160, 20], [200], [180, 0, 0, 1]),
    ];
    for (let edge = 0; edge < EDGES.length; edge++) {
      seeds.push(input([120, 0, edge]), input([120, edge, 1]), input([0, 1, 0, 8], [100, edge, 1], [40]));
      seeds.push(input([160, 20], [180, 0, 0, edge], [200]), input([0, 3, 0, 9], [140, edge], [40]));
    }
    for (let i = 0; i < 20; i++) seeds.push(input(...Array.from({ length: 20 }, () => [120, 0, 1])));
    return seeds;
  }

  async run(bytes: Uint8Array): Promise<number> {
    const world = new SealedWorld();
    try {
      for (let at = 0; at < bytes.length; at += STEP_BYTES) {
        await this.#step(world, this.#choices.reset(bytes, at, at + STEP_BYTES));
        world.checkMemory();
        must(world.sent.filter(isAnswer).length <= MAX_ANSWERS, 'answers that are under way are bounded');
      }
    } catch (error) {
      if (!(error instanceof Ended)) throw error;
    }
    world.victim.fail(new RdmaError('ERR_RDMA_CONNECTION_LOST', 'over'));
    // One that is never settled would be seen as a hang.
    await Promise.allSettled(world.reads);
    world.checkMemory();
    return Math.max(1, world.messages);
  }

  async #step(world: SealedWorld, choices: Choices): Promise<void> {
    const kind = choices.u8();
    if (kind < 40) await world.write(...pickWrite(choices));
    else if (kind < 60) this.#announce(world, choices.below(2), false);
    else if (kind < 80) this.#announce(world, -1 - choices.below(2), choices.oneIn(2));
    else if (kind < 100) this.#spoil(world, choices);
    else if (kind < 120) this.#change(world, choices);
    else if (kind < 140) this.#ask(world, choices);
    else if (kind < 160) this.#announceWrongly(world, choices);
    else if (kind < 180) world.reads.push(expectRead(world, choices));
    else if (kind < 220) await this.#answer(world, choices, kind >= 200);
    else if (kind < 240) for (const { done } of world.sent.splice(0, choices.below(4))) done();
    else
      world.hear(
        pickType(choices),
        Buffer.from(Array.from({ length: choices.below(48) }, () => choices.u8())),
        null,
      );
  }

  /** An announcement of the peer as it is: the next one and `ahead` more, or an old one. */
  #announce(world: SealedWorld, ahead: number, isWhole: boolean): void {
    const write = world.announced[world.opened + ahead];
    // A repetition of all of it: also of what lay in memory.
    if (write !== undefined && isWhole) world.put(write.at, write.sealed);
    if (write !== undefined) world.hear(MessageKind.SEALED_WRITE, write.data, write);
  }

  /** A third party changes a sealed byte on its way. */
  #spoil(world: SealedWorld, choices: Choices): void {
    const write = world.announced[world.opened];
    if (write === undefined || write.plain.length === 0) return;
    const at = write.at + choices.below(write.plain.length);
    world.put(at, Uint8Array.of((world.memory[at] as number) ^ (1 << choices.below(8))));
  }

  /** The next announcement with a bit of it changed. */
  #change(world: SealedWorld, choices: Choices): void {
    const write = world.announced[world.opened];
    if (write === undefined) return;
    const data = Buffer.from(write.data);
    const at = choices.below(data.length);
    data[at] = (data[at] as number) ^ (1 << choices.below(8));
    world.hear(MessageKind.SEALED_WRITE, data, null);
  }

  /** Nothing that was sealed, with every number near where it begins to be wrong. */
  #announceWrongly(world: SealedWorld, choices: Choices): void {
    const data = Buffer.alloc(40 + (choices.oneIn(8) ? choices.below(3) - 1 : 0));
    data.writeBigUInt64BE(BigInt(choices.below(4) + world.announced.length), 0);
    data.writeBigUInt64BE(BASE + BigInt(choices.pick(EDGES)) - (choices.oneIn(4) ? 1n : 0n), 8);
    data.writeBigUInt64BE(BigInt(choices.pick(EDGES)), 16);
    world.hear(MessageKind.SEALED_WRITE, data, null);
  }

  /** The peer asks for our memory. */
  #ask(world: SealedWorld, choices: Choices): void {
    const [at, length] = [choices.pick(EDGES), choices.pick(EDGES)];
    const data = Buffer.alloc(16 + (choices.oneIn(16) ? 1 : 0));
    data.writeUInt32BE(choices.u8(), 0);
    data.writeBigUInt64BE(BASE + BigInt(at) - (choices.oneIn(8) ? 1n : 0n), 4);
    data.writeUInt32BE(length, 12);
    const before = world.sent.length;
    world.hear(MessageKind.SEALED_READ, data, null);
    const answer = world.sent[before];
    const from = Number(data.readBigUInt64BE(4) - BASE);
    must(from >= 0 && from + length <= READABLE, 'what may not be read is refused');
    must(answer !== undefined && isAnswer(answer), 'what may be read is answered');
    const wanted = Buffer.concat([data.subarray(0, 4), world.memory.subarray(from, from + length)]);
    must(answer.data.equals(wanted), 'an answer is the memory that was asked for');
  }

  /** The peer answers a read of ours, rightly or not. */
  async #answer(world: SealedWorld, choices: Choices, isRight: boolean): Promise<void> {
    await turnOfPromises();
    const asked = world.sent.find(({ type }) => type === MessageKind.SEALED_READ);
    if (asked !== undefined) {
      world.sent.splice(world.sent.indexOf(asked), 1);
      asked.done();
    }
    const number =
      asked !== undefined && (isRight || choices.oneIn(2)) ? asked.data.readUInt32BE(0) : choices.u8();
    const length = isRight && asked !== undefined ? asked.data.readUInt32BE(12) : choices.pick(EDGES) % 1024;
    let answer: Buffer = Buffer.alloc(4 + length, 0xa5);
    answer.writeUInt32BE(number, 0);
    if (!isRight && world.answered !== null && choices.oneIn(2)) answer = world.answered;
    const wasDue =
      asked !== undefined &&
      answer.readUInt32BE(0) === asked.data.readUInt32BE(0) &&
      answer.length - 4 === asked.data.readUInt32BE(12);
    world.answered = answer;
    world.hear(MessageKind.SEALED_DATA, answer, null);
    must(wasDue, 'memory that nobody asked for is refused');
  }
}

/** A read of ours, which must end with what the peer answers, or not at all. */
async function expectRead(world: SealedWorld, choices: Choices): Promise<void> {
  const into = new Uint8Array(1 + choices.below(200));
  try {
    await world.victim.read(readFrom(BASE, into));
  } catch (error) {
    must(error instanceof RdmaError, `a read fails with an RdmaError, not ${error}`);
    return;
  }
  must(
    into.every((byte) => byte === 0xa5),
    'a read that is done has what the peer answered',
  );
}

const turnOfPromises = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const isAnswer = ({ type }: { readonly type: MessageKind }): boolean => type === MessageKind.SEALED_DATA;
const pickType = (choices: Choices): MessageKind =>
  choices.pick([
    MessageKind.SEALED_WRITE,
    MessageKind.SEALED_READ,
    MessageKind.SEALED_DATA,
    MessageKind.SEALED_OPENED,
  ]);

/** Mostly inside of what the peer may write. */
function pickWrite(choices: Choices): [at: number, plain: Uint8Array] {
  const at = choices.below(WRITABLE);
  const beyond = choices.oneIn(6) ? 1 + choices.below(64) : 0;
  const plain = new Uint8Array(beyond > 0 ? WRITABLE - at + beyond : choices.below(WRITABLE - at + 1));
  for (let i = 0; i < plain.length; i++) plain[i] = at + i * 3 + 1;
  return [at, plain];
}

function keysOf(seed: number): DirectionKeys {
  return { key: Buffer.alloc(32, seed), iv: Buffer.alloc(12, seed + 64) };
}

/** Steps, each padded with zeros. */
function input(...steps: number[][]): Uint8Array {
  const bytes = new Uint8Array(steps.length * STEP_BYTES);
  for (const [i, step] of steps.entries()) bytes.set(step, i * STEP_BYTES);
  return bytes;
}
