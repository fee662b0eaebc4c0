/**
 * The sending end of a copy as a pure machine: which slots of the receiver are free, how many files may be announced, and what
 * the receiver's messages mean.
 *
 * Invariants: a slot is written only between `takeSlot` and the receiver's `taken`; a file is settled once; what the receiver says of
 * a file that it was not told of is a fault, and so is a byte that the file does not have.
 */
import { CopyFault, type CopyMessage, MAX_UNSETTLED } from './copy-wire.js';

export type SenderNews =
  | { readonly news: 'have'; readonly id: number; readonly bytes: number; readonly sha256: string }
  | { readonly news: 'taken' }
  | { readonly news: 'stored'; readonly id: number }
  | { readonly news: 'failed'; readonly id: number; readonly reason: string }
  | { readonly news: 'ended' };

interface Sent {
  readonly size: number;
  isAnswered: boolean;
  isDone: boolean;
  hasFailed: boolean;
}

export class SenderMachine {
  readonly #free: number[];
  readonly #busy: boolean[];
  readonly #files = new Map<number, Sent>();
  #lastId = 0;
  #state: 'open' | 'ending' | 'ended' | 'faulty' = 'open';

  constructor(slots: number) {
    this.#free = Array.from({ length: slots }, (_, slot) => slot);
    this.#busy = new Array<boolean>(slots).fill(false);
  }

  get mayAnnounce(): boolean {
    return this.#files.size < MAX_UNSETTLED;
  }

  get unsettled(): number {
    return this.#files.size;
  }

  /** A directory is settled at once. */
  announce(kind: 'file' | 'directory', size: number): number {
    const id = ++this.#lastId;
    if (kind === 'file') this.#files.set(id, { size, isAnswered: false, isDone: false, hasFailed: false });
    return id;
  }

  takeSlot(): number | undefined {
    const slot = this.#free.pop();
    if (slot !== undefined) this.#busy[slot] = true;
    return slot;
  }

  /** Nothing was written into it. */
  putBack(slot: number): void {
    this.#busy[slot] = false;
    this.#free.push(slot);
  }

  /** Whether bytes of the file may still be sent: the receiver has not failed on it. */
  isOpen(id: number): boolean {
    return this.#files.get(id)?.hasFailed === false;
  }

  done(id: number): void {
    const file = this.#files.get(id);
    if (file === undefined) return;
    if (file.hasFailed) this.#files.delete(id);
    file.isDone = true;
  }

  /** Told the receiver that the rest does not come. */
  gone(id: number): void {
    this.#files.delete(id);
  }

  end(): void {
    if (this.#state === 'open') this.#state = 'ending';
  }

  receive(message: CopyMessage): SenderNews | CopyFault {
    const isOver = this.#state === 'faulty' || this.#state === 'ended';
    const news = isOver ? CopyFault.OUT_OF_TURN : this.#take(message);
    if (typeof news === 'string') this.#state = 'faulty';
    return news;
  }

  #take(message: CopyMessage): SenderNews | CopyFault {
    switch (message.type) {
      case 'have': {
        const { id, bytes, sha256 } = message;
        const file = this.#files.get(id);
        if (file === undefined || file.isAnswered) return CopyFault.WRONG_ID;
        if (bytes > file.size) return CopyFault.WRONG_LENGTH;
        file.isAnswered = true;
        return { news: 'have', id, bytes, sha256 };
      }
      case 'taken':
        if (this.#busy[message.slot] !== true) return CopyFault.WRONG_SLOT;
        this.#busy[message.slot] = false;
        this.#free.push(message.slot);
        return { news: 'taken' };
      case 'stored':
        if (this.#files.get(message.id)?.isDone !== true) return CopyFault.WRONG_ID;
        this.#files.delete(message.id);
        return { news: 'stored', id: message.id };
      case 'failed':
        return this.#failed(message.id, message.reason);
      case 'ended':
        if (this.#state !== 'ending' || this.#files.size > 0) return CopyFault.OUT_OF_TURN;
        this.#state = 'ended';
        return { news: 'ended' };
      default:
        return CopyFault.OUT_OF_TURN;
    }
  }

  /**
   * Of a directory, which was settled when it was announced, too; and of a file that is gone meanwhile. A file that the receiver
   * waits for is settled when it has been told that no more will come.
   */
  #failed(id: number, reason: string): SenderNews | CopyFault {
    if (id > this.#lastId) return CopyFault.WRONG_ID;
    const file = this.#files.get(id);
    if (file !== undefined) {
      file.isAnswered = true;
      file.hasFailed = true;
      if (file.isDone) this.#files.delete(id);
    }
    return { news: 'failed', id, reason };
  }
}
