/**
 * Which fragment leaves next. Whatever has something to send is a source; sources that may send take turns, one fragment
 * each, so that no message and no stream keeps the others waiting. What keeps flow control going leaves before all others.
 *
 * Invariants: a source that may not send costs nothing; one that may is in the ring once.
 */
import type { MemoryRegion } from '../../verbs/memory-region.js';
import { Deque } from '../common/deque.js';
import type { MessageHeader, MessageKind } from './message-header.js';

const NO_BYTES = new Uint8Array(0);

/** One fragment that was cut from a source. It is used again and again. */
export class Cut implements MessageHeader {
  source: FragmentSource | null = null;
  /** What the source has cut it from. */
  from: unknown = null;
  kind: MessageKind = 0;
  flags = 0;
  sequence = 0;
  /** Of the request by which it left last. */
  work = 0;
  limit = 0;
  stream = 0;
  tag = 0;
  value = 0;
  /** Bytes of the source before it, where the source counts them, and of its payload. */
  offset = 0;
  length = 0;
  /** Where the payload leaves from, if that is memory of the source; `null`: it is where the cut was aimed. */
  mr: MemoryRegion | null = null;
  mrAt = 0;
  /** Whether there is no room for a payload where it is aimed, so that it must leave from memory of the source. */
  isInPlace = false;
  #memory: Uint8Array = NO_BYTES;
  #at = 0;

  /** The payload goes to `memory`, from `at` on; or, `isInPlace`, stays where it is. */
  aim(memory: Uint8Array, at: number, isInPlace = false): void {
    this.#memory = memory;
    this.#at = at;
    this.isInPlace = isInPlace;
  }

  /** Sets all that goes on the wire, without payload. */
  describe(kind: MessageKind, stream: number, flags: number, tag: number, value: number): void {
    this.kind = kind;
    this.stream = stream;
    this.flags = flags;
    this.tag = tag;
    this.value = value;
    this.offset = 0;
    this.length = 0;
  }

  /** The payload is `length` bytes of `mr`, from `at` on, which must not change until it is released. */
  refer(mr: MemoryRegion, at: number, length: number): void {
    this.mr = mr;
    this.mrAt = at;
    this.length = length;
  }

  /** Copies bytes of `data` behind the payload that is there. */
  put(data: Uint8Array, offset: number, length: number): void {
    const isWhole = length === data.length;
    this.#memory.set(isWhole ? data : data.subarray(offset, offset + length), this.#at + this.length);
    this.length += length;
  }

  /** Holds nothing any more, so that memory of the program can go. */
  release(): void {
    this.source = null;
    this.from = null;
    this.mr = null;
  }
}

export interface FragmentSource {
  /** Kept by the outbox. */
  isQueued: boolean;
  /** Whether a fragment may leave now. */
  readonly isReady: boolean;
  /** Bytes that the next fragment would have, if fragments were of any length. */
  readonly nextBytes: number;
  /** Whether those could leave from memory of the source. */
  readonly isNextInPlace?: boolean;
  /** Cuts the next fragment, of `maxBytes` at most, and puts its payload where `cut` is aimed, or refers to it. */
  take(cut: Cut, maxBytes: number): void;
  /** The peer has it. */
  arrived(cut: Cut): void;
  /** The peer does not have it, nor any later one: those were rewound before. */
  rewind(cut: Cut): void;
  /** The device reads memory of the source no longer for `cut`; `arrived` or `rewind` may come later. */
  released?(cut: Cut): void;
}

/** A fragment without payload that says how things stand when it leaves. */
export interface Control {
  isQueued: boolean;
  fill(cut: Cut): void;
  arrived(): void;
}

class Controls implements FragmentSource {
  isQueued = false;
  readonly #due = new Deque<Control>();

  get isReady(): boolean {
    return this.#due.length > 0;
  }

  get nextBytes(): number {
    return 0;
  }

  push(control: Control): void {
    if (control.isQueued) return;
    control.isQueued = true;
    this.#due.push(control);
  }

  take(cut: Cut): void {
    const control = this.#due.shift() as Control;
    control.isQueued = false;
    control.fill(cut);
    cut.from = control;
  }

  arrived(cut: Cut): void {
    (cut.from as Control).arrived();
  }

  rewind(cut: Cut): void {
    const control = cut.from as Control;
    if (control.isQueued) return;
    control.isQueued = true;
    this.#due.unshift(control);
  }
}

export class Outbox {
  /** Sends what may leave. */
  sender: { pump(): void } | null = null;
  // Made when they are first needed, as of thousands of connections most are silent.
  #controls: Controls | null = null;
  #ring: Deque<FragmentSource> | null = null;

  /** Something may leave. */
  onReady(): void {
    this.sender?.pump();
  }

  /** Has `control` leave soon; once, however often it is asked for meanwhile. */
  control(control: Control): void {
    this.#controls ??= new Controls();
    this.#controls.push(control);
    this.onReady();
  }

  /** `source` may be ready now. */
  wake(source: FragmentSource): void {
    this.#enter(source);
    this.onReady();
  }

  /** As `wake`, but nothing leaves before somebody else says so. */
  enter(source: FragmentSource): void {
    this.#enter(source);
  }

  /** Bytes that the next fragment would have, if fragments were of any length; -1: nothing may leave now. */
  get nextBytes(): number {
    return this.#next()?.nextBytes ?? -1;
  }

  /** Whether what leaves next keeps flow control going. */
  get hasControl(): boolean {
    return this.#controls?.isReady ?? false;
  }

  /** Whether the next fragment could leave from memory of its source. */
  get isNextInPlace(): boolean {
    return this.#next()?.isNextInPlace ?? false;
  }

  /** Cuts the next fragment; returns whether there was one. */
  cut(cut: Cut, maxBytes: number): boolean {
    const source = this.#next();
    if (source === undefined) return false;
    source.take(cut, maxBytes);
    cut.source = source;
    if (source === this.#controls) return true;
    this.#ring?.shift();
    source.isQueued = false;
    this.#enter(source);
    return true;
  }

  #enter(source: FragmentSource): void {
    if (source.isQueued || !source.isReady) return;
    source.isQueued = true;
    this.#ring ??= new Deque();
    this.#ring.push(source);
  }

  #next(): FragmentSource | undefined {
    const controls = this.#controls;
    if (controls?.isReady === true) return controls;
    const ring = this.#ring;
    if (ring === null) return undefined;
    for (let source = ring.at(0); source !== undefined; source = ring.at(0)) {
      if (source.isReady) return source;
      source.isQueued = false;
      ring.shift();
    }
    return undefined;
  }
}
