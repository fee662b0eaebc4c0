/** Fragments as a peer would send them, one after the other, and by choice with something wrong. */
import {
  HEADER_BYTES,
  MessageFlag,
  MessageKind,
  writeHeader,
} from '../../../../src/connection/fragments/message-header.js';
import type { Choices } from '../../choices.js';
import type { ReceiverModel } from './receiver-model.js';

const COUNTERS = [0, 1, 2, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff];
const TAGS = [0, 0, 1, 0xffff] as const;
/** Of the header: sequence, limit, stream, tag, value. */
const FIELDS = [
  [4, 4],
  [8, 4],
  [12, 4],
  [16, 2],
  [18, 2],
  [20, 4],
] as const;

interface Unfinished {
  readonly kind: MessageKind;
  readonly tag: number;
  readonly totalBytes: number;
  sentBytes: number;
}

export class FragmentCrafter {
  readonly bytes: Uint8Array;
  length = 0;
  readonly #maxMessageBytes: number;
  readonly #isEncrypted: boolean;
  #message: Unfinished | null = null;
  #sealed: Unfinished | null = null;
  /** So that no two payloads are alike. */
  #serial = 0;

  constructor(slotBytes: number, maxMessageBytes: number, isEncrypted: boolean) {
    this.bytes = new Uint8Array(slotBytes);
    this.#maxMessageBytes = maxMessageBytes;
    this.#isEncrypted = isEncrypted;
  }

  restart(): void {
    this.#message = null;
    this.#sealed = null;
  }

  /** The next fragment of a peer that mostly keeps to the rules. */
  next(model: ReceiverModel, limit: number, choices: Choices): void {
    const what = choices.below(36);
    if (what < 18) this.#piece(model, limit, choices);
    else if (what < 24) this.#stream(model, limit, choices);
    else if (what < 26) this.#control(model, limit, choices, MessageKind.RESET, choices.u32());
    else if (what < 29) this.#streamLimit(model, limit, choices);
    else if (what === 29)
      this.#write(model, limit, MessageKind.OPEN_LIMIT, 0, 0, 0, model.peerOpenLimit + choices.below(3), 0);
    else if (what === 30) this.limit(model, limit);
    else if (what === 31) this.#write(model, limit, MessageKind.QUIT, 0, 0, 0, 0, 0);
    else if (what === 32) this.#write(model, limit, MessageKind.YIELD, 0, 0, 0, choices.below(4), 0);
    else if (what === 33) this.#write(model, limit, MessageKind.ASK, 0, 0, 0, 0, 0);
    else if (what === 34) this.#write(model, limit, MessageKind.BYE, 0, 0, 0, 0, 0);
    else this.#write(model, limit, MessageKind.CLOSE, 0, 0, 0, choices.below(27), 0);
  }

  limit(model: ReceiverModel, limit: number): void {
    this.#write(model, limit, MessageKind.LIMIT, 0, 0, 0, 0, 0);
  }

  /** Damages the fragment that was made last. */
  damage(choices: Choices): void {
    const view = new DataView(this.bytes.buffer, this.bytes.byteOffset);
    const field = choices.below(10);
    if (field < 2) this.bytes[field] = choices.u8();
    else if (field === 2) this.length = choices.below(this.bytes.length + 1);
    else if (field === 3) this.bytes[2 + choices.below(2)] = choices.u8();
    else {
      const [at, size] = FIELDS[field - 4] as (typeof FIELDS)[number];
      const value = choices.oneIn(3) ? choices.u32() : choices.pick(COUNTERS);
      const isRelative = choices.oneIn(2);
      if (size === 2) view.setUint16(at, isRelative ? view.getUint16(at) + value : value);
      else view.setUint32(at, isRelative ? (view.getUint32(at) + value) >>> 0 : value);
    }
  }

  /** Bytes as they are in the input. */
  raw(choices: Choices): void {
    this.length = Math.min(this.bytes.length, choices.below(31));
    for (let i = 0; i < this.length; i++) this.bytes[i] = choices.u8();
  }

  /** A piece of a message, of the program's or about sealed memory. */
  #piece(model: ReceiverModel, limit: number, choices: Choices): void {
    const isSealed = this.#isEncrypted && choices.oneIn(6);
    let message = isSealed ? this.#sealed : this.#message;
    message ??= this.#begin(choices, isSealed);
    const rest = message.totalBytes - message.sentBytes;
    const length = Math.min(rest, this.#length(choices));
    this.#write(model, limit, message.kind, 0, 0, message.tag, message.totalBytes, length);
    message.sentBytes += length;
    const left = message.sentBytes === message.totalBytes ? null : message;
    if (isSealed) this.#sealed = left;
    else this.#message = left;
  }

  #stream(model: ReceiverModel, limit: number, choices: Choices): void {
    const id = this.#id(model, choices);
    const stream = model.streams.get(id);
    const room = stream === undefined ? this.bytes.length : (stream.told - stream.received) >>> 0;
    const length = Math.min(this.#length(choices), choices.oneIn(16) ? this.bytes.length : room);
    const fin = choices.oneIn(5) ? MessageFlag.FIN : 0;
    const flags = (id > 0 ? MessageFlag.YOURS : 0) | fin;
    const offset = stream?.received ?? 0;
    this.#write(model, limit, MessageKind.STREAM, flags, Math.abs(id), 0, offset, length);
  }

  #streamLimit(model: ReceiverModel, limit: number, choices: Choices): void {
    if (choices.oneIn(3)) {
      const value = (model.peerMessageLimit + choices.u8()) >>> 0;
      this.#write(model, limit, MessageKind.STREAM_LIMIT, 0, 0, 0, value, 0);
      return;
    }
    const stream = model.streams.get(this.#id(model, choices));
    const value = ((stream?.outLimit ?? 0) + choices.u8()) >>> 0;
    this.#control(model, limit, choices, MessageKind.STREAM_LIMIT, value);
  }

  #control(model: ReceiverModel, limit: number, choices: Choices, kind: MessageKind, value: number): void {
    const id = this.#id(model, choices);
    const flags = id > 0 ? MessageFlag.YOURS : 0;
    this.#write(model, limit, kind, flags, Math.max(1, Math.abs(id)), 0, value, 0);
  }

  /** A stream that is there, mostly, or the next one. */
  #id(model: ReceiverModel, choices: Choices): number {
    if (choices.oneIn(3)) return -(model.openedByPeer + 1);
    const ids = [...model.streams.keys()];
    if (ids.length === 0) return -1;
    return ids[choices.below(ids.length)] as number;
  }

  #length(choices: Choices): number {
    const room = this.bytes.length - HEADER_BYTES;
    return choices.oneIn(3) ? 1 + choices.below(room) : room;
  }

  #begin(choices: Choices, isSealed: boolean): Unfinished {
    const max = this.#maxMessageBytes;
    const lengths = [9, 0, 1, 40, 41, 80, 200, max - 1, max, max + 1];
    const totalBytes = Math.max(0, choices.pick(lengths));
    const kind = isSealed ? ((MessageKind.SEALED_WRITE + choices.below(4)) as MessageKind) : MessageKind.DATA;
    return { kind, tag: isSealed ? 0 : choices.pick(TAGS), totalBytes, sentBytes: 0 };
  }

  #write(
    model: ReceiverModel,
    limit: number,
    kind: MessageKind,
    flags: number,
    stream: number,
    tag: number,
    value: number,
    length: number,
  ): void {
    const { sequence } = model;
    const clipped = Math.min(length, this.bytes.length - HEADER_BYTES);
    writeHeader(this.bytes, 0, { kind, flags, sequence, limit, stream, tag, value });
    this.#serial++;
    for (let i = 0; i < clipped; i++) this.bytes[HEADER_BYTES + i] = this.#serial * 37 + i;
    this.length = HEADER_BYTES + clipped;
  }
}
