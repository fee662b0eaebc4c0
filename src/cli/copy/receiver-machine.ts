/**
 * The receiving end of a copy as a pure machine: what a sender's message asks for, or how it breaks the protocol.
 *
 * Invariants: no slot is taken twice before it was given back; bytes of a file come once, in order, and end at its size; at most
 * `MAX_UNSETTLED` files are announced and not settled; paths stay inside. After a fault nothing is accepted any more.
 */
import { pathFault } from './copy-path.js';
import {
  type CopyEntry,
  CopyFault,
  type CopyMessage,
  type CopyMessageOf,
  MAX_UNSETTLED,
} from './copy-wire.js';

export type ReceiverOrder =
  | { readonly do: 'prepare'; readonly entry: CopyEntry }
  | { readonly do: 'make-directory'; readonly entry: CopyEntry }
  | {
      readonly do: 'take';
      readonly entry: CopyEntry;
      readonly offset: number;
      readonly length: number;
      readonly slot: number;
    }
  | { readonly do: 'skip'; readonly entry: CopyEntry; readonly offset: number; readonly length: number }
  | { readonly do: 'finish'; readonly entry: CopyEntry; readonly sha256: string }
  | { readonly do: 'drop'; readonly entry: CopyEntry; readonly reason: string }
  | { readonly do: 'note'; readonly message: CopyMessageOf<'skipped'> | CopyMessageOf<'total'> }
  | { readonly do: 'end' };

interface Announced {
  readonly entry: CopyEntry;
  /** Of the next byte; `undefined` until `have` was told. */
  offset: number | undefined;
  /** Bytes that had been there before. */
  had: number;
}

export class ReceiverMachine {
  /** In the order in which their bytes come. */
  readonly #announced: Announced[] = [];
  readonly #busy: boolean[];
  readonly #slotBytes: number;
  /** All bytes of so many have come, and they are not settled. */
  #finishing = 0;
  #lastId = 0;
  #hasTotal = false;
  #state: 'open' | 'ended' | 'faulty' = 'open';

  constructor(slots: number, slotBytes: number) {
    this.#busy = new Array<boolean>(slots).fill(false);
    this.#slotBytes = slotBytes;
  }

  /** Files that were announced and are not settled. */
  get unsettled(): number {
    return this.#announced.length + this.#finishing;
  }

  receive(message: CopyMessage): ReceiverOrder | CopyFault {
    const order = this.#state === 'open' ? this.#take(message) : CopyFault.OUT_OF_TURN;
    if (typeof order === 'string') this.#state = 'faulty';
    return order;
  }

  /** This end has told how many bytes of the file it has. */
  prepared(id: number, bytes: number): void {
    const announced = this.#announced.find(({ entry }) => entry.id === id);
    if (announced === undefined) return;
    announced.offset = bytes;
    announced.had = bytes;
  }

  /** A file all of whose bytes have come is at its place, or has failed. */
  settled(): void {
    this.#finishing--;
  }

  /** The bytes in the slot are not needed any more. */
  released(slot: number): void {
    this.#busy[slot] = false;
  }

  #take(message: CopyMessage): ReceiverOrder | CopyFault {
    switch (message.type) {
      case 'entry':
        return this.#announce(message);
      case 'piece':
        return this.#piece(message);
      case 'hole':
        return this.#hole(message);
      case 'done':
        return this.#done(message);
      case 'gone': {
        const head = this.#head(message.id);
        if (typeof head === 'string') return head;
        this.#announced.shift();
        return { do: 'drop', entry: head.entry, reason: message.reason };
      }
      case 'total':
        if (this.#hasTotal || this.#lastId > 0) return CopyFault.OUT_OF_TURN;
        this.#hasTotal = true;
        return { do: 'note', message };
      case 'skipped':
        return { do: 'note', message };
      case 'end':
        if (this.unsettled > 0) return CopyFault.INCOMPLETE;
        this.#state = 'ended';
        return { do: 'end' };
      default:
        return CopyFault.OUT_OF_TURN;
    }
  }

  #announce(entry: CopyEntry): ReceiverOrder | CopyFault {
    if (entry.id !== this.#lastId + 1) return CopyFault.WRONG_ID;
    if (pathFault(entry.path) !== undefined) return CopyFault.WRONG_PATH;
    this.#lastId = entry.id;
    if (entry.kind === 'directory') return { do: 'make-directory', entry };
    if (this.unsettled >= MAX_UNSETTLED) return CopyFault.TOO_MANY_ENTRIES;
    this.#announced.push({ entry, offset: undefined, had: 0 });
    return { do: 'prepare', entry };
  }

  #piece({ id, offset, length, slot }: CopyMessageOf<'piece'>): ReceiverOrder | CopyFault {
    if (this.#busy[slot] !== false) return CopyFault.WRONG_SLOT;
    if (length > this.#slotBytes) return CopyFault.WRONG_LENGTH;
    const head = this.#advance(id, offset, length);
    if (typeof head === 'string') return head;
    this.#busy[slot] = true;
    return { do: 'take', entry: head.entry, offset, length, slot };
  }

  #hole({ id, offset, length }: CopyMessageOf<'hole'>): ReceiverOrder | CopyFault {
    const head = this.#advance(id, offset, length);
    return typeof head === 'string' ? head : { do: 'skip', entry: head.entry, offset, length };
  }

  /** The sender says where it goes on: behind what there was, or at the beginning when it does not believe that. */
  #advance(id: number, offset: number, length: number): Announced | CopyFault {
    const head = this.#head(id);
    if (typeof head === 'string') return head;
    if (head.offset === undefined) return CopyFault.OUT_OF_TURN;
    const isAnew = offset === 0 && head.had > 0 && head.offset === head.had;
    if (offset !== head.offset && !isAnew) return CopyFault.WRONG_OFFSET;
    if (offset + length > head.entry.size) return CopyFault.WRONG_LENGTH;
    head.had = 0;
    head.offset = offset + length;
    return head;
  }

  #done({ id, sha256 }: CopyMessageOf<'done'>): ReceiverOrder | CopyFault {
    const head = this.#head(id);
    if (typeof head === 'string') return head;
    if (head.offset !== head.entry.size) return CopyFault.INCOMPLETE;
    this.#announced.shift();
    this.#finishing++;
    return { do: 'finish', entry: head.entry, sha256 };
  }

  #head(id: number): Announced | CopyFault {
    const [head] = this.#announced;
    return head === undefined || head.entry.id !== id ? CopyFault.WRONG_ID : head;
  }
}
