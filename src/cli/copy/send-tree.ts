/**
 * Sends files and directories to the receiver at the other end: bytes by RDMA WRITE into its slots, several under way, and a message
 * for each that says what they are.
 *
 * Invariants: messages go in the order of the protocol; memory is bounded by the slots, whatever the size of the tree.
 */
import { createHash, type Hash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import type { RemoteBuffer } from '../../connection/memory/remote-buffer.js';
import { RdmaError } from '../../verbs/errors.js';
import type { CopyLink, SlotPlan } from './copy-link.js';
import { type CopyMessageOf, MAX_PATH_BYTES, shortReason } from './copy-wire.js';
import { hashFile, hashInSlices, hashZeros } from './file-bytes.js';
import type { Walked } from './place.js';
import { PlaceError, why } from './place-error.js';
import { ReadAhead, type Slots } from './read-ahead.js';
import { SenderMachine } from './sender-machine.js';
import { isAllZero } from './zeros.js';

const MAX_PIECE_BYTES = 1024 * 1024;
const MAX_MEMORY_BYTES = 16 * MAX_PIECE_BYTES;
/** Files that are opened while those before them are sent. */
const FILES_AHEAD = 8;
/** Whose names are remembered, in case the receiver fails on one. */
const MAX_DIRECTORIES = 100_000;

export interface SendListener {
  /** Bytes of a file are at the receiver, or were there before. */
  onBytes?(bytes: number, isNew: boolean): void;
  onStored?(path: string, bytes: number): void;
  onFailed?(path: string, reason: string): void;
  onSkipped?(path: string, reason: string): void;
}

export interface SentTree {
  readonly entries: AsyncIterable<Walked>;
  /** Opens the file of an entry. @throws PlaceError */
  readonly open: (path: string) => Promise<FileHandle>;
}

type WalkedFile = Exclude<Walked, { kind: 'skipped' }>;
type Answer = { readonly bytes: number; readonly sha256: string } | undefined;

interface Announced {
  readonly id: number;
  readonly file: WalkedFile;
  readonly answer: Promise<Answer>;
}

interface Source {
  readonly file: FileHandle;
  readonly have: NonNullable<Answer>;
}

interface Opened extends Announced {
  readonly source: Promise<Source>;
}

/** @throws RdmaError when the connection ends, or the receiver breaks the protocol. */
export const sendTree = (
  link: CopyLink,
  plan: SlotPlan,
  tree: SentTree,
  listener: SendListener,
): Promise<void> => new TreeSender(link, plan, tree, listener).run();

class TreeSender {
  readonly #link: CopyLink;
  readonly #remote: RemoteBuffer;
  readonly #plan: SlotPlan;
  readonly #tree: SentTree;
  readonly #pieceBytes: number;
  readonly #listener: SendListener;
  readonly #machine: SenderMachine;
  readonly #slots: Slots;
  readonly #answers = new Map<number, (answer: Answer) => void>();
  readonly #paths = new Map<number, WalkedFile>();
  /** Directories are not acknowledged: the receiver tells only when it fails. */
  readonly #directories = new Map<number, string>();
  readonly #queue: Announced[] = [];
  /** Messages about the bytes of files, in order. */
  #inOrder: Promise<void> = Promise.resolve();
  #wake: () => void = () => {};
  #news = new Promise<void>(() => {});
  #allAnnounced = false;
  #ended = false;
  #failure: unknown;

  constructor(link: CopyLink, plan: SlotPlan, tree: SentTree, listener: SendListener) {
    const { remoteBuffer } = link.connection;
    if (remoteBuffer === null || plan.slots * plan.slotBytes > remoteBuffer.length) {
      throw new RdmaError('ERR_RDMA_PROTOCOL', 'the other side lends less memory than it says');
    }
    this.#link = link;
    this.#remote = remoteBuffer;
    this.#plan = plan;
    this.#tree = tree;
    this.#listener = listener;
    // The peer only says how much it lends: what is kept for it here has a bound of its own.
    this.#pieceBytes = Math.min(plan.slotBytes, MAX_PIECE_BYTES);
    const slots = Math.min(plan.slots, Math.floor(MAX_MEMORY_BYTES / this.#pieceBytes));
    this.#machine = new SenderMachine(slots);
    this.#slots = this.#slotsOf(new Uint8Array(slots * this.#pieceBytes));
    this.#renew();
  }

  #slotsOf(memory: Uint8Array): Slots {
    const bytes = this.#pieceBytes;
    return {
      bytes,
      take: (most) => this.#takeSlots(most),
      putBack: (slot) => {
        this.#machine.putBack(slot);
        this.#wake();
      },
      memory: (slot) => memory.subarray(slot * bytes, (slot + 1) * bytes),
    };
  }

  async run(): Promise<void> {
    const fail = (error: unknown): void => this.#fail(error);
    const listening = this.#listen().catch(fail);
    await Promise.all([this.#announceAll().catch(fail), this.#sendAll().catch(fail)]);
    await this.#until(() => this.#machine.unsettled === 0);
    this.#machine.end();
    void this.#link.send({ type: 'end' });
    await this.#until(() => this.#ended);
    await listening;
  }

  /** The first failure ends the copy, and whoever waits hears of it. */
  #fail(error: unknown): void {
    this.#failure ??= error;
    for (const answer of this.#answers.values()) answer(undefined);
    this.#wake();
  }

  async #listen(): Promise<void> {
    while (!this.#ended) {
      const news = this.#machine.receive(await this.#link.receive());
      if (typeof news === 'string') this.#link.breach(news);
      switch (news.news) {
        case 'have':
          this.#answers.get(news.id)?.({ bytes: news.bytes, sha256: news.sha256 });
          break;
        case 'stored': {
          const file = this.#settled(news.id);
          if (file !== undefined) this.#listener.onStored?.(file.path, file.size);
          break;
        }
        case 'failed': {
          const file = this.#settled(news.id);
          this.#answers.get(news.id)?.(undefined);
          const path = file?.path ?? this.#directories.get(news.id);
          if (path !== undefined) this.#listener.onFailed?.(path, news.reason);
          break;
        }
        case 'ended':
          this.#ended = true;
      }
      this.#wake();
    }
  }

  #settled(id: number): WalkedFile | undefined {
    const file = this.#paths.get(id);
    this.#paths.delete(id);
    return file;
  }

  async #announceAll(): Promise<void> {
    for await (const entry of this.#tree.entries) {
      if (entry.kind === 'skipped') {
        this.#listener.onSkipped?.(entry.path, entry.reason);
        const path = entry.path.slice(0, MAX_PATH_BYTES);
        await this.#link.send({ type: 'skipped', path, reason: shortReason(entry.reason) });
        continue;
      }
      if (entry.kind === 'file') await this.#until(() => this.#machine.mayAnnounce);
      const { kind, path, size, mode, mtimeMillis } = entry;
      const id = this.#machine.announce(kind, size);
      if (kind === 'directory') this.#rememberDirectory(id, path);
      else {
        this.#paths.set(id, entry);
        const answer = new Promise<Answer>((resolve) => this.#answers.set(id, resolve));
        this.#queue.push({ id, file: entry, answer });
      }
      const sent = this.#link.send({ type: 'entry', id, kind, path, size, mode, mtimeMillis });
      if (kind === 'directory') await sent;
      this.#wake();
    }
    this.#allAnnounced = true;
    this.#wake();
  }

  #rememberDirectory(id: number, path: string): void {
    this.#directories.set(id, path);
    const [oldest] = this.#directories.keys();
    if (this.#directories.size > MAX_DIRECTORIES && oldest !== undefined) this.#directories.delete(oldest);
  }

  async #sendAll(): Promise<void> {
    const opened: Opened[] = [];
    try {
      for (;;) {
        await this.#until(() => opened.length + this.#queue.length > 0 || this.#allAnnounced);
        while (opened.length < FILES_AHEAD) {
          const next = this.#queue.shift();
          if (next === undefined) break;
          opened.push({ ...next, source: this.#open(next) });
        }
        const next = opened.shift();
        if (next === undefined) return;
        await this.#sendFile(next);
      }
    } finally {
      for (const { source } of opened) await source.then(({ file }) => file.close()).catch(() => {});
    }
  }

  /** Beside the file that is being sent. */
  #open({ id, file, answer }: Announced): Promise<Source> {
    const opening = async (): Promise<Source> => {
      const have = await answer;
      if (this.#failure !== undefined) throw this.#failure;
      this.#answers.delete(id);
      if (have === undefined) throw new PlaceError('the receiver has failed');
      return { file: await this.#tree.open(file.path), have };
    };
    const opened = opening();
    // Whoever sends the file hears of it.
    opened.catch(() => {});
    return opened;
  }

  /** Ends with `done` or `gone`, whatever happens to the file. */
  async #sendFile({ id, file, source: opening }: Opened): Promise<void> {
    let source: FileHandle | undefined;
    try {
      const { file: opened, have } = await opening;
      source = opened;
      await checkUnchanged(source, file);
      const hash = await this.#sendBytes(id, source, file, have);
      await checkUnchanged(source, file);
      this.#machine.done(id);
      this.#then({ type: 'done', id, sha256: hash.digest('hex') });
    } catch (error) {
      if (this.#failure !== undefined) throw this.#failure;
      // Who has told it already is not told again.
      if (this.#settled(id) !== undefined) this.#listener.onFailed?.(file.path, why(error));
      this.#machine.gone(id);
      this.#then({ type: 'gone', id, reason: shortReason(why(error)) });
      this.#wake();
    } finally {
      await source?.close();
    }
  }

  async #sendBytes(
    id: number,
    source: FileHandle,
    file: WalkedFile,
    have: NonNullable<Answer>,
  ): Promise<Hash> {
    let hash = createHash('sha256');
    let at = 0;
    const goOn = (): void => {
      if (this.#failure !== undefined) throw this.#failure;
    };
    if (have.bytes > 0 && (await hashFile(source, hash, 0, have.bytes, goOn))) {
      if (hash.copy().digest('hex') === have.sha256) at = have.bytes;
      else hash = createHash('sha256');
    }
    this.#listener.onBytes?.(at, false);
    const ahead = new ReadAhead(source, this.#slots, at, file.size);
    try {
      await this.#sendPieces(id, ahead, hash, at);
    } finally {
      await ahead.end();
    }
    if (!this.#machine.isOpen(id)) throw new PlaceError('the receiver has failed');
    return hash;
  }

  /** Until the end, or until nobody wants them. */
  async #sendPieces(id: number, ahead: ReadAhead, hash: Hash, from: number): Promise<void> {
    let [at, zeros] = [from, 0];
    const sendZeros = (): void => {
      if (zeros > 0) this.#then({ type: 'hole', id, offset: at - zeros, length: zeros });
      zeros = 0;
    };
    for (let filled = await ahead.next(); filled !== undefined; filled = await ahead.next()) {
      const { slot, bytes } = filled;
      const isOpen = this.#machine.isOpen(id);
      const isHole = isOpen && isAllZero(bytes);
      if (!isOpen || isHole) this.#slots.putBack(slot);
      if (!isOpen) return;
      if (isHole) {
        hashZeros(hash, bytes.length);
        zeros += bytes.length;
        at += bytes.length;
        this.#listener.onBytes?.(bytes.length, false);
        continue;
      }
      sendZeros();
      await hashInSlices(hash, bytes);
      this.#sendPiece(id, at, bytes, slot);
      at += bytes.length;
    }
    sendZeros();
  }

  #sendPiece(id: number, offset: number, bytes: Uint8Array, slot: number): void {
    const { length } = bytes;
    const place = this.#remote.at(slot * this.#plan.slotBytes, length);
    // The slot is this end's alone until the receiver has taken it, so that a repetition changes nothing.
    const written = this.#link.connection.write(place, bytes, { repeatable: true });
    written.catch(() => {});
    this.#then({ type: 'piece', id, offset, length, slot }, written);
    void written.then(
      () => this.#listener.onBytes?.(length, true),
      () => {},
    );
  }

  /** Sends a message behind those before it, when `ready`. */
  #then(message: Parameters<CopyLink['send']>[0], ready: Promise<void> = Promise.resolve()): void {
    this.#inOrder = this.#inOrder.then(async () => {
      try {
        await ready;
      } catch (error) {
        this.#link.giveUp(error);
        return;
      }
      void this.#link.send(message);
    });
  }

  async #takeSlots(most: number): Promise<readonly number[]> {
    const slots: number[] = [];
    await this.#until(() => {
      while (slots.length < most) {
        const slot = this.#machine.takeSlot();
        if (slot === undefined) break;
        slots.push(slot);
      }
      return slots.length > 0;
    });
    return slots;
  }

  /** @throws what ended the copy. */
  async #until(holds: () => boolean): Promise<void> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure;
      if (holds()) return;
      await this.#news;
    }
  }

  #renew(): void {
    this.#news = new Promise((resolve) => {
      this.#wake = () => {
        this.#renew();
        resolve();
      };
    });
  }
}

async function checkUnchanged(source: FileHandle, file: WalkedFile): Promise<void> {
  const { size, mtimeMs } = await source.stat();
  if (size !== file.size || Math.round(mtimeMs) !== file.mtimeMillis) {
    throw new PlaceError('was changed while it was copied');
  }
}

/** What a walk will come to, for a bar of progress. `goOn` is called for each entry; what it throws ends the walk. */
export async function totalOf(
  entries: AsyncIterable<Walked>,
  goOn: () => void = () => {},
): Promise<CopyMessageOf<'total'>> {
  let [files, bytes] = [0, 0];
  for await (const entry of entries) {
    goOn();
    if (entry.kind !== 'file') continue;
    files++;
    bytes += entry.size;
  }
  return { type: 'total', files, bytes };
}
