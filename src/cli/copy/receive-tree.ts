/**
 * Takes files and directories from the sender at the other end: bytes are hashed as they come, while the disk works on those before
 * them and on the files around them. A disk that is slow slows the sender, which gets its slots back when they are written.
 *
 * Invariants: whatever ends a copy, partial files are closed and kept for the next one; what fails of one file hurts no other; nothing
 * works on when the copy has ended.
 */
import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { RdmaError } from '../../verbs/errors.js';
import type { CopyLink, SlotPlan } from './copy-link.js';
import { joinPath } from './copy-path.js';
import { type CopyEntry, shortReason } from './copy-wire.js';
import { hashFile } from './file-bytes.js';
import { PartialFile, TAKEN_OVER, type Writing } from './partial-file.js';
import { type Located, lookIn, openOrdinary, type Place, type Writer } from './place.js';
import { PlaceError, why } from './place-error.js';
import { ReceiverMachine, type ReceiverOrder } from './receiver-machine.js';

/** Beyond that the times of directories stay those of the copy. */
const MAX_DATED_DIRECTORIES = 100_000;
const MAX_DATED_CHARS = 16 * 1024 * 1024;
/** Of a directory, setuid, setgid and sticky: they are the receiver's. */
const SPECIAL_BITS = 0o7000;
const CUT = 'was left by a copy that ended';

export interface ReceiveListener {
  onTotal?(files: number, bytes: number): void;
  onBytes?(bytes: number, isNew: boolean): void;
  onStored?(path: string, bytes: number): void;
  onFailed?(path: string, reason: string): void;
  onSkipped?(path: string, reason: string): void;
}

type WorkOrder = Exclude<ReceiverOrder, { do: 'end' | 'note' }>;

interface ArrivingNew {
  readonly kind: 'new';
  readonly key: string;
  readonly partial: PartialFile;
}

/** What is known of a file that was announced. */
type Arriving =
  | ArrivingNew
  /** It is at its place, as large and as old as the sender's. */
  | { readonly kind: 'same'; readonly sha256: string }
  | { readonly kind: 'failed' };

/** @throws RdmaError when the connection ends, or the sender breaks the protocol. */
export const receiveTree = (
  link: CopyLink,
  plan: SlotPlan,
  place: Place,
  base: string,
  listener: ReceiveListener,
): Promise<void> => new TreeReceiver(link, plan, place, base, listener).run();

class TreeReceiver {
  readonly #link: CopyLink;
  readonly #plan: SlotPlan;
  readonly #place: Place;
  readonly #base: string;
  readonly #listener: ReceiveListener;
  readonly #machine: ReceiverMachine;
  readonly #arriving = new Map<number, Arriving>();
  /** Made or met, by their paths from the root. */
  readonly #directories: { readonly path: string; readonly entry: CopyEntry }[] = [];
  #directoryChars = 0;
  /** Those that are being looked at, and not answered yet. */
  readonly #preparing = new Map<number, Promise<unknown>>();
  /** What is there of files is hashed one file after the other. */
  #hashing: Promise<unknown> = Promise.resolve();
  /** Work beside what comes next. */
  readonly #underWay = new Set<Promise<void>>();

  constructor(link: CopyLink, plan: SlotPlan, place: Place, base: string, listener: ReceiveListener) {
    this.#link = link;
    this.#plan = plan;
    this.#place = place;
    this.#base = base;
    this.#listener = listener;
    this.#machine = new ReceiverMachine(plan.slots, plan.slotBytes);
  }

  async run(): Promise<void> {
    try {
      for (;;) {
        const order = this.#machine.receive(await this.#link.receive());
        if (typeof order === 'string') this.#link.breach(order);
        if (order.do === 'end') break;
        await this.#carryOut(order);
      }
      await Promise.all(this.#underWay);
      await this.#dateDirectories();
      await this.#link.send({ type: 'ended' });
    } finally {
      await this.#leaveAll();
      await Promise.all(this.#underWay);
      // What was being looked at meanwhile.
      await this.#leaveAll();
    }
  }

  async #carryOut(order: Exclude<ReceiverOrder, { do: 'end' }>): Promise<void> {
    if (order.do === 'note') {
      const { message } = order;
      if (message.type === 'total') this.#listener.onTotal?.(message.files, message.bytes);
      else this.#listener.onSkipped?.(message.path, message.reason);
      return;
    }
    const { id } = order.entry;
    if (order.do === 'prepare') {
      const ready = this.#attempt(order.entry, () => this.#prepare(order.entry));
      this.#preparing.set(id, ready);
      this.#beside(ready.finally(() => this.#preparing.delete(id)));
      return;
    }
    // A sender that waits for the answer finds it here.
    await this.#preparing.get(id);
    await this.#work(order);
  }

  async #work(order: Exclude<WorkOrder, { do: 'prepare' }>): Promise<void> {
    const { entry } = order;
    switch (order.do) {
      case 'make-directory':
        await this.#attempt(entry, () => this.#makeDirectory(entry));
        return;
      case 'take':
        return this.#take(order);
      case 'skip':
        await this.#attempt(entry, async () => {
          await (await this.#partialAt(entry, order.offset))?.skip(order.length, this.#goOn);
          this.#listener.onBytes?.(order.length, false);
        });
        return;
      case 'finish':
        this.#beside(this.#settle(entry, order.sha256));
        return;
      case 'drop': {
        const arriving = this.#arriving.get(entry.id);
        this.#arriving.delete(entry.id);
        if (arriving === undefined || arriving.kind === 'failed') return;
        await this.#leave(arriving);
        this.#listener.onFailed?.(entry.path, order.reason);
      }
    }
  }

  /** Returns when the bytes are hashed and on their way to the disk. */
  async #take({ entry, offset, slot, length }: Extract<WorkOrder, { do: 'take' }>): Promise<void> {
    const bytes = this.#slot(slot, length);
    let writing: Writing | undefined;
    await this.#attempt(entry, async () => {
      writing = (await this.#partialAt(entry, offset))?.write(bytes);
    });
    const written = this.#attempt(entry, async () => {
      await writing?.written;
      this.#listener.onBytes?.(length, true);
    });
    const given = written.then(() => {
      this.#machine.released(slot);
      void this.#link.send({ type: 'taken', slot });
    });
    this.#beside(given);
    await writing?.hashed;
  }

  /** Whether it worked; what fails of a file, the sender is told. @throws RdmaError when the connection has ended. */
  async #attempt(entry: CopyEntry, work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      if (error instanceof RdmaError) throw error;
      await this.#fail(entry, error);
      return false;
    }
  }

  /** The next message is looked at meanwhile. */
  #beside(work: Promise<unknown>): void {
    const done = work.then(
      () => {},
      (error: unknown) => this.#link.giveUp(error),
    );
    this.#underWay.add(done);
    void done.then(() => this.#underWay.delete(done));
  }

  /** @throws RdmaError when the connection has ended: nobody waits any more for what is being hashed. */
  readonly #goOn = (): void => void this.#slot(0, 1);

  /** @throws RdmaError when the connection has ended: its memory is gone then, though messages about it are still here. */
  #slot(slot: number, length: number): Uint8Array {
    const at = slot * this.#plan.slotBytes;
    const bytes = this.#link.connection.buffer.subarray(at, at + length);
    if (bytes.length === length) return bytes;
    throw new RdmaError(
      'ERR_RDMA_CONNECTION_LOST',
      'the connection ended before all that it brought was stored',
    );
  }

  async #prepare(entry: CopyEntry): Promise<void> {
    const path = joinPath(this.#base, entry.path);
    if (path === '') throw new PlaceError('is the shared directory itself');
    const target = await this.#place.locate(path);
    let arriving: Exclude<Arriving, { kind: 'failed' }> | undefined;
    try {
      const sha256 = await this.#hashOfSame(target, entry);
      arriving = sha256 === undefined ? this.#begin(path, entry, target) : { kind: 'same', sha256 };
    } finally {
      // Otherwise it has become that of the partial file.
      if (arriving?.kind !== 'new') await target.folder.close();
    }
    this.#arriving.set(entry.id, arriving);
    if (arriving.kind === 'new') {
      const { partial } = arriving;
      await this.#inTurn(() => partial.resume(this.#goOn));
    }
    const { bytes, sha256 } = arriving.kind === 'new' ? arriving.partial : { ...arriving, bytes: entry.size };
    this.#machine.prepared(entry.id, bytes);
    if (bytes > 0) this.#listener.onBytes?.(bytes, false);
    void this.#link.send({ type: 'have', id: entry.id, bytes, sha256 });
  }

  /** Of what is at its place, if it is as large and as old as the sender's. */
  async #hashOfSame(target: Located, entry: CopyEntry): Promise<string | undefined> {
    const found = await lookIn(target.folder, target.name, entry.path);
    if (found?.isDirectory() === true) throw new PlaceError('is a directory there');
    const isSame =
      found?.isFile() === true &&
      entry.size > 0 &&
      found.size === entry.size &&
      Math.round(found.mtimeMs) === entry.mtimeMillis;
    return isSame ? this.#inTurn(() => this.#hashOf(target, entry.size)) : undefined;
  }

  #inTurn<T>(hash: () => Promise<T>): Promise<T> {
    const done = this.#hashing.then(hash);
    this.#hashing = done.catch(() => {});
    return done;
  }

  /** At any moment one copy writes a file: this one waits until the one before has let go, and that one hears of it. */
  #begin(path: string, entry: CopyEntry, target: Located): ArrivingNew {
    const { partials } = this.#place;
    const partial = new PartialFile(target, entry, partials.get(path)?.keep(TAKEN_OVER));
    partials.set(path, partial);
    const arriving: ArrivingNew = { kind: 'new', key: path, partial };
    this.#arriving.set(entry.id, arriving);
    return arriving;
  }

  async #hashOf({ folder, name }: Located, size: number): Promise<string | undefined> {
    const file = await openOrdinary(folder.at(name));
    try {
      const hash = createHash('sha256');
      return (await hashFile(file, hash, 0, size, this.#goOn)) ? hash.digest('hex') : undefined;
    } finally {
      await file.close();
    }
  }

  async #makeDirectory(entry: CopyEntry): Promise<void> {
    const path = joinPath(this.#base, entry.path);
    const found = await this.#place.look(path);
    if (found !== undefined && !found.isDirectory()) throw new PlaceError('is no directory there');
    if (found === undefined) {
      const { folder, name } = await this.#place.locate(path);
      // Its own mode may forbid to write into it: that comes at the end.
      await mkdir(folder.at(name), { mode: 0o700 }).finally(() => folder.close());
    }
    if (path === '' || this.#directories.length >= MAX_DATED_DIRECTORIES) return;
    this.#directoryChars += path.length + entry.path.length;
    if (this.#directoryChars <= MAX_DATED_CHARS) this.#directories.push({ path, entry });
  }

  /** The file into which bytes go from `offset` on; `undefined` when it has failed. */
  async #partialAt(entry: CopyEntry, offset: number): Promise<PartialFile | undefined> {
    let arriving = this.#arriving.get(entry.id);
    if (arriving === undefined || arriving.kind === 'failed') return undefined;
    if (arriving.kind === 'same') {
      // The sender's has other bytes all the same.
      const path = joinPath(this.#base, entry.path);
      arriving = this.#begin(path, entry, await this.#place.locate(path));
    }
    if (offset === 0 && arriving.partial.bytes > 0) {
      this.#listener.onBytes?.(-arriving.partial.bytes, false);
      arriving.partial.restart();
    }
    return arriving.partial;
  }

  async #settle(entry: CopyEntry, sha256: string): Promise<void> {
    const arriving = this.#arriving.get(entry.id);
    const isWhole = await this.#attempt(entry, () => this.#finish(entry, arriving, sha256));
    this.#arriving.delete(entry.id);
    this.#machine.settled();
    if (arriving === undefined || arriving.kind === 'failed' || !isWhole) return;
    this.#listener.onStored?.(entry.path, entry.size);
    void this.#link.send({ type: 'stored', id: entry.id });
  }

  async #finish(entry: CopyEntry, arriving: Arriving | undefined, sha256: string): Promise<void> {
    if (arriving?.kind === 'new') {
      await arriving.partial.finish(sha256);
      this.#release(arriving.key, arriving.partial);
    } else if (arriving?.kind === 'same') {
      if (arriving.sha256 !== sha256) throw new PlaceError('came with other bytes than its hash says');
      await using file = await this.#place.open(joinPath(this.#base, entry.path));
      if ((await file.stat()).size !== entry.size) throw new PlaceError('was changed while it was copied');
      await file.chmod(entry.mode);
    }
  }

  /** Once for each file, however much of it fails. */
  async #fail(entry: CopyEntry, error: unknown): Promise<void> {
    const arriving = this.#arriving.get(entry.id);
    if (arriving?.kind === 'failed') return;
    if (entry.kind === 'file') this.#arriving.set(entry.id, { kind: 'failed' });
    if (arriving !== undefined) await this.#leave(arriving);
    const reason = why(error);
    this.#listener.onFailed?.(entry.path, reason);
    void this.#link.send({ type: 'failed', id: entry.id, reason: shortReason(reason) });
  }

  async #leaveAll(): Promise<void> {
    for (const arriving of this.#arriving.values()) await this.#leave(arriving);
  }

  async #leave(arriving: Arriving): Promise<void> {
    if (arriving.kind !== 'new') return;
    await arriving.partial.keep(CUT);
    this.#release(arriving.key, arriving.partial);
  }

  #release(key: string, partial: Writer): void {
    if (this.#place.partials.get(key) === partial) this.#place.partials.delete(key);
  }

  async #dateDirectories(): Promise<void> {
    for (const { path, entry } of this.#directories.reverse()) {
      try {
        await using directory = await this.#place.openDirectory(path);
        const had = (await directory.stat()).mode & SPECIAL_BITS;
        await directory.chmod(had | entry.mode);
        await directory.utimes(entry.mtimeMillis / 1000, entry.mtimeMillis / 1000);
      } catch (error) {
        await this.#fail(entry, error);
      }
    }
  }
}
