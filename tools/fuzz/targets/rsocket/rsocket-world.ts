/** One machine, and a model of what its peer may do and has been told. */
import { MAX_CONTROLS, RsocketMachine } from '../../../../src/net/rsocket/rsocket-machine.js';
import { PostKind, type RsocketPost } from '../../../../src/net/rsocket/rsocket-post.js';
import type { RsocketTerms } from '../../../../src/net/rsocket/wire/private-data.js';
import type { Choices } from '../../choices.js';
import { must } from '../../target.js';

const HALF_BYTES = 100;
const CREDITS = 6;
const IOMAP_ENTRIES = 2;
const SEND_RING_BYTES = 400;
const MAX_MESSAGE_BYTES = 64;
const MAX_POSTS = 12;
const TABLE_BYTES = 2 * 16 + IOMAP_ENTRIES * 24;
const MAX_ADDRESS = 2n ** 53n - 1n;

interface Buffer {
  readonly addr: number;
  readonly bytes: number;
  used: number;
}

export class RsocketWorld {
  readonly machine: RsocketMachine;
  messages = 0;
  readonly #table = new DataView(new ArrayBuffer(TABLE_BYTES));
  readonly #peer: RsocketTerms;
  /** Of the peer, in the order in which they are used. */
  readonly #buffers: Buffer[];
  /** What the peer may have sent, and has. */
  #mayBytes = HALF_BYTES;
  #sentBytes = 0;
  #mayMessages = CREDITS;
  #sentMessages = 0;
  #consumedWhole = 0;
  /** Lengths of what is unread. */
  readonly #unread: number[] = [];
  #announced = 1;
  #outstanding: PostKind[] = [];
  #isPeerDone = false;
  #isClosed = false;

  constructor(peer: RsocketTerms) {
    this.#peer = peer;
    this.#buffers = [{ addr: peer.bufferAddr, bytes: peer.bufferBytes, used: 0 }];
    this.machine = new RsocketMachine({
      own: {
        isBigEndian: false,
        knowsIomap: true,
        credits: CREDITS,
        iomapEntries: IOMAP_ENTRIES,
        tableAddr: 0x1000,
        tableRkey: 1,
        tableEntries: 2,
        bufferAddr: 0x100000,
        bufferRkey: 2,
        bufferBytes: HALF_BYTES,
      },
      peer,
      table: new Uint8Array(this.#table.buffer),
      sendRingBytes: SEND_RING_BYTES,
      maxMessageBytes: MAX_MESSAGE_BYTES,
      maxPosts: MAX_POSTS,
    });
  }

  /** A message of a data kind (or one that only looks so), of the length that it names or of another. */
  hearData(kind: number, bytes: number, lies: boolean): void {
    const isInHalf = (this.#sentBytes % HALF_BYTES) + bytes <= HALF_BYTES;
    const isRight =
      kind === 0 &&
      !lies &&
      bytes > 0 &&
      !this.#isPeerDone &&
      this.#sentMessages < this.#mayMessages &&
      this.#sentBytes + bytes <= this.#mayBytes &&
      isInHalf;
    this.#hear((kind << 29) | bytes, lies ? bytes + 1 : bytes, isRight);
    if (this.machine.fault !== undefined) return;
    this.#sentBytes += bytes;
    this.#sentMessages += 1;
    this.#unread.push(bytes);
    this.#dropIfClosed();
  }

  /** An announcement or an offer, with whatever entry. */
  hearEntry(choices: Choices): void {
    const isOffer = choices.oneIn(2);
    const limit = choices.oneIn(3) ? choices.u16() : 6;
    const bytes = choices.pick(isOffer ? [24, 0, 16] : [16, 0, 24]);
    const length = choices.u8();
    const addr = choices.oneIn(5) ? MAX_ADDRESS - BigInt(choices.u8()) : BigInt(choices.u8() + 1) * 4096n;
    if (isOffer) this.#hearOffer(choices.below(4), bytes, addr, length);
    else this.#hearAnnouncement(limit, bytes, addr, length);
  }

  hearControl(value: number, bytes: number): void {
    const isKnown = value <= 2;
    this.#hear((7 << 29) | value, bytes, isKnown);
    if (this.machine.fault === undefined && value !== 1) this.#isPeerDone = true;
  }

  close(): void {
    this.machine.close();
    this.#isClosed = true;
    this.#dropIfClosed();
  }

  acknowledge(): void {
    if (this.#outstanding.shift() !== undefined) this.machine.completed();
  }

  read(most: number): void {
    const bytes = Math.min(most, this.machine.incoming.frontBytes);
    if (bytes === 0 || this.#isClosed) return;
    this.machine.consume(bytes);
    this.#consume(bytes);
  }

  write(most: number): void {
    const bytes = Math.min(most, this.machine.writable);
    if (bytes > 0) this.machine.queue(bytes);
  }

  post(): void {
    for (let posts = 0; ; posts++) {
      must(posts <= MAX_POSTS, 'posts come to an end');
      const post = this.machine.nextPost();
      if (post === undefined) return;
      must(this.machine.fault === undefined, 'nothing is posted after a fault');
      this.#outstanding.push(post.kind);
      this.#note(post);
    }
  }

  check(): void {
    const controls = this.#outstanding.filter((kind) => kind === PostKind.CONTROL).length;
    must(controls <= MAX_CONTROLS, 'four controls are outstanding at most');
    must(this.#outstanding.length <= MAX_POSTS, 'posts fit the queue');
    const unread = this.#unread.reduce((sum, bytes) => sum + bytes, 0);
    must(this.machine.incoming.unread === unread, 'unread is what has arrived and was not read');
    must(this.machine.incoming.frontBytes <= 2 * HALF_BYTES, 'what is read lies in the ring');
  }

  /** A message is refused exactly where it breaks a rule. */
  #hear(imm: number, bytes: number, isRight: boolean): void {
    this.messages += 1;
    const before = this.machine.fault;
    this.machine.received(imm >>> 0, bytes);
    if (before !== undefined) must(this.machine.fault === before, 'the first fault stays');
    else if (isRight) must(this.machine.fault === undefined, `what is right is taken: ${this.machine.fault}`);
    else must(this.machine.fault !== undefined, 'what breaks a rule is refused');
  }

  #hearAnnouncement(limit: number, bytes: number, addr: bigint, length: number): void {
    const at = (this.#announced % 2) * 16;
    this.#table.setBigUint64(at, addr, true);
    this.#table.setUint32(at + 12, length, true);
    const isFree = this.#buffers.filter((buffer) => buffer.used < buffer.bytes).length < 2;
    const isInside = addr + BigInt(length) <= MAX_ADDRESS;
    const isRight = bytes === 0 || (bytes === 16 && length > 0 && isInside && isFree);
    this.#hear((4 << 29) | limit, bytes, isRight);
    if (this.machine.fault !== undefined || bytes === 0) return;
    this.#announced += 1;
    this.#buffers.push({ addr: Number(addr), bytes: length, used: 0 });
  }

  #hearOffer(index: number, bytes: number, addr: bigint, length: number): void {
    if (index < IOMAP_ENTRIES) {
      const at = 32 + index * 24;
      this.#table.setBigUint64(at + 8, addr, true);
      this.#table.setUint32(at + 20, length, true);
    }
    const isInside = addr + BigInt(length) <= MAX_ADDRESS;
    const isRight =
      index < IOMAP_ENTRIES &&
      bytes === 24 &&
      !this.#isPeerDone &&
      this.#sentMessages < this.#mayMessages &&
      (length === 0 || isInside);
    this.#hear((6 << 29) | index, bytes, isRight);
    if (this.machine.fault !== undefined) return;
    this.#sentMessages += 1;
    this.#consumedWhole += 1;
  }

  #dropIfClosed(): void {
    if (!this.#isClosed || this.machine.fault !== undefined) return;
    this.#consumedWhole += this.#unread.length;
    this.#unread.length = 0;
  }

  #consume(bytes: number): void {
    let rest = bytes;
    while (rest > 0) {
      const first = this.#unread[0] as number;
      if (first > rest) this.#unread[0] = first - rest;
      else {
        this.#unread.shift();
        this.#consumedWhole += 1;
      }
      rest -= Math.min(first, rest);
    }
  }

  #note({ kind, imm, bytes, remoteAddr, rkey }: RsocketPost): void {
    if (kind === PostKind.DATA) this.#noteData(remoteAddr, bytes);
    else if (kind === PostKind.CONTROL && imm >>> 29 === 4) {
      this.#mayMessages = this.#consumedWhole + CREDITS;
      must((imm & 0xffff) === (this.#mayMessages & 0xffff), 'the limit is what was read, and the credits');
      if (bytes === 16) this.#mayBytes += HALF_BYTES;
    }
    const table = this.#peer.tableAddr;
    const tableEnd = table + 16 * this.#peer.tableEntries + 24 * this.#peer.iomapEntries;
    if (kind !== PostKind.DATA && bytes > 0) {
      must(remoteAddr >= table && remoteAddr + bytes <= tableEnd, 'entries go into the tables of the peer');
      must(rkey === this.#peer.tableRkey, 'with their key');
    }
    if (bytes === 0) must(remoteAddr === 0 && rkey === 0, 'what writes nothing names nothing');
  }

  #noteData(addr: number, bytes: number): void {
    const buffer = this.#buffers.find(({ used, bytes: all }) => used < all);
    must(buffer !== undefined && addr === buffer.addr + buffer.used, 'data goes to the next place');
    must(bytes > 0 && buffer.used + bytes <= buffer.bytes, 'data stays in its buffer');
    buffer.used += bytes;
  }
}
