/** Fragments as a peer would send them, one after the other, and by choice with something wrong. */
import { HEADER_BYTES, MessageKind, writeHeader } from '../../../../src/connection/message-header.js';
import type { Choices } from '../../choices.js';

/** Kind and tag. */
const MESSAGES = [
  [1, 0],
  [1, 0],
  [1, 1],
  [1, 0xffff],
  [2, 0],
  [3, 0],
  [4, 0],
  [5, 0],
] as const;
const COUNTERS = [0, 1, 2, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff];

export class FragmentCrafter {
  readonly bytes: Uint8Array;
  length = 0;
  readonly #maxMessageBytes: number;
  #message: { kind: number; tag: number; totalBytes: number; sentBytes: number } | null = null;
  /** So that no two payloads are alike. */
  #serial = 0;

  constructor(slotBytes: number, maxMessageBytes: number) {
    this.bytes = new Uint8Array(slotBytes);
    this.#maxMessageBytes = maxMessageBytes;
  }

  /** The next link begins: messages begin anew. */
  restart(): void {
    this.#message = null;
  }

  /** The next fragment of an honest peer, of the message number `sequence`. */
  next(sequence: number, taken: number, choices: Choices): void {
    this.#message ??= this.#begin(choices);
    const message = this.#message;
    const room = this.bytes.length - HEADER_BYTES;
    const rest = message.totalBytes - message.sentBytes;
    const length = Math.min(rest, choices.oneIn(3) ? 1 + choices.below(room) : room);
    this.#write(message.kind, message.tag, sequence, taken, message.totalBytes, message.sentBytes, length);
    message.sentBytes += length;
    if (message.sentBytes === message.totalBytes) this.#message = null;
  }

  credit(taken: number): void {
    this.#write(MessageKind.CREDIT, 0, 0, taken, 0, 0, 0);
  }

  /** Damages the fragment that was made last. */
  damage(choices: Choices): void {
    const view = new DataView(this.bytes.buffer, this.bytes.byteOffset);
    const field = choices.below(9);
    if (field < 2) this.bytes[field] = choices.u8();
    else if (field === 2) this.length = choices.below(this.bytes.length + 1);
    else if (field === 3) this.bytes[choices.below(this.bytes.length)] = choices.u8();
    else {
      const at = [4, 8, 12, 16, 20][field - 4] as number;
      const value = choices.oneIn(3) ? choices.u32() : choices.pick(COUNTERS);
      const relative = choices.oneIn(2);
      view.setUint32(at, relative ? (view.getUint32(at) + value) >>> 0 : value);
    }
  }

  /** Bytes as they are in the input. */
  raw(choices: Choices): void {
    this.length = Math.min(this.bytes.length, choices.below(31));
    for (let i = 0; i < this.length; i++) this.bytes[i] = choices.u8();
  }

  #begin(choices: Choices): { kind: number; tag: number; totalBytes: number; sentBytes: number } {
    const max = this.#maxMessageBytes;
    const lengths = [9, 0, 1, 40, 41, 80, 200, max - 1, max, max + 1];
    const [kind, tag] = choices.pick(MESSAGES);
    return { kind, tag, totalBytes: Math.max(0, choices.pick(lengths)), sentBytes: 0 };
  }

  #write(
    kind: number,
    tag: number,
    sequence: number,
    taken: number,
    total: number,
    offset: number,
    length: number,
  ): void {
    writeHeader(this.bytes, 0, {
      kind: kind as MessageKind,
      tag,
      sequence,
      taken,
      totalBytes: total,
      offset,
    });
    this.#serial++;
    for (let i = 0; i < length; i++) this.bytes[HEADER_BYTES + i] = this.#serial * 37 + i;
    this.length = HEADER_BYTES + length;
  }
}
