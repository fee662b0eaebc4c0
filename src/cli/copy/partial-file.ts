/**
 * A file that is not whole yet: its bytes in a file beside its place, and a journal that says of which version of the source they
 * are and what hash they had up to here and there. It takes its place at once, when it is whole and its hash is right.
 *
 * Invariants: bytes come in order; what a later copy resumes was read again and has the hash of the journal; zeros become holes; what
 * is at its place stays as it was until the new one is whole. A process writes into a file that it has made, or whose writer has ended and
 * whose journal it alone has taken: of two copies of one file at a time, in whatever processes, the later one takes over, and neither
 * touches the bytes of the other.
 */
import { createHash, type Hash } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { type FileHandle, lstat, open, rename, rm, unlink } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { partNames, uniqueName } from './copy-path.js';
import type { CopyEntry } from './copy-wire.js';
import { type GoOn, hashFile, hashInSlices, hashZeros, type Stretch, writeSparse } from './file-bytes.js';
import type { Folder } from './folder.js';
import { type Checkpoint, checkpointLine, type Journal, putJournal, takeJournal } from './part-journal.js';
import { hasEnded, isSelf, type PartOwner, thisProcess } from './part-owner.js';
import { PlaceError } from './place-error.js';
import { isZero, ZERO_BLOCK_BYTES } from './zeros.js';

const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK } = constants;
const NEW_FILE = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW;
const OWNER_ONLY = 0o600;
const MIN_CHECKPOINT_BYTES = 8 * 1024 * 1024;
const MAX_CHECKPOINTS = 1024;
/** Of zeros, before other work has its turn: they cost the peer nothing, and hashing them here does. */
const HOLE_STEP_BYTES = 4 * 1024 * 1024;
export const TAKEN_OVER = 'is being written by another copy, which has taken over';

export interface Target {
  /** Becomes the partial file's, which closes it. */
  readonly folder: Folder;
  readonly name: string;
}

/** Bytes on their way. */
export interface Writing {
  readonly hashed: Promise<void>;
  readonly written: Promise<void>;
}

export type Version = Pick<CopyEntry, 'size' | 'mtimeMillis' | 'mode'>;

/** Files that this process writes now, by device and number. */
const written = new Set<string>();
const numberOf = ({ dev, ino }: Stats): string => `${dev}:${ino}`;

export class PartialFile {
  readonly #target: Target;
  readonly #version: Version;
  readonly #part: string;
  readonly #journal: string;
  readonly #checkpointBytes: number;
  #file: FileHandle | undefined;
  #stats: Stats | undefined;
  #log: FileHandle | undefined;
  #hash: Hash = createHash('sha256');
  #bytes = 0;
  /** The last of them are zeros, and not in the file. */
  #endsInHole = false;
  #checkpointAt = 0;
  /** Bytes that are hashed and not written, in order. */
  readonly #waiting: (Stretch | Checkpoint)[] = [];
  /** Why nothing more can be written. */
  #broken: unknown;
  /** What is in the file counts no more. */
  #isStale = false;
  /** Work on the files, one after the other. */
  #busy: Promise<unknown>;
  #lostBy: string | undefined;

  /** `after`: whoever wrote it before has closed it. */
  constructor(target: Target, version: Version, after: Promise<void> = Promise.resolve()) {
    this.#busy = after.catch(() => {});
    const { part, journal } = partNames(target.name);
    this.#target = target;
    this.#version = version;
    this.#part = target.folder.at(part);
    this.#journal = target.folder.at(journal);
    this.#checkpointBytes = Math.max(MIN_CHECKPOINT_BYTES, Math.ceil(version.size / MAX_CHECKPOINTS));
  }

  /** Bytes that are here, from the first one on. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The hash of those bytes. */
  get sha256(): string {
    return this.#hash.copy().digest('hex');
  }

  /** A file without them needs no journal: nothing could be resumed. */
  get #hasCheckpoints(): boolean {
    return this.#version.size >= this.#checkpointBytes;
  }

  /** Takes up what an earlier copy has left, if it was of the same version, up to where its hash is right. */
  resume(goOn: GoOn = () => {}): Promise<void> {
    return this.#inTurn(async () => {
      if (!this.#hasCheckpoints) return;
      const left = await takeJournal(this.#journal);
      if (left === undefined || !this.#isOfVersion(left) || left.checkpoints.length === 0) return;
      const file = await open(this.#part, O_RDWR | O_NOFOLLOW | O_NONBLOCK).catch(() => undefined);
      if (file === undefined) return;
      const stats = await file.stat();
      // What has another name as well is somebody else's.
      const isLeft = stats.isFile() && stats.nlink === 1 && stats.ino === left.inode;
      if (isLeft && (await isAbandoned(left.owner, stats))) await this.#takeUp(file, stats, left, goOn);
      else {
        try {
          if (isLeft) await this.#copyOf(file, left, goOn);
        } finally {
          await file.close();
        }
      }
    });
  }

  /** Forgets all bytes. */
  restart(): void {
    this.#hash = createHash('sha256');
    this.#bytes = 0;
    this.#checkpointAt = 0;
    this.#isStale = true;
  }

  /** The next bytes. More may follow as soon as these are hashed: they go to the disk together. */
  write(bytes: Uint8Array): Writing {
    const hashed = hashInSlices(this.#hash, bytes).then(() => {
      this.#waiting.push({ at: this.#bytes, bytes });
      this.#bytes += bytes.length;
      this.#endsInHole = isZero(bytes, bytes.length - 1 - ((bytes.length - 1) % ZERO_BLOCK_BYTES));
      this.#noteCheckpoint();
    });
    return { hashed, written: hashed.then(() => this.#inTurn(() => this.#writeWaiting())) };
  }

  /** Zeros. Nothing may follow before that resolves. */
  skip(length: number, goOn: GoOn = () => {}): Promise<void> {
    return this.#inTurn(async () => {
      await this.#opened();
      for (let left = length; left > 0; left -= HOLE_STEP_BYTES) {
        const step = Math.min(left, HOLE_STEP_BYTES);
        hashZeros(this.#hash, step);
        this.#bytes += step;
        this.#endsInHole = true;
        this.#noteCheckpoint();
        await this.#writeWaiting();
        if (step === left) return;
        await nextTurn();
        this.#checkKept();
        goOn();
      }
    });
  }

  /** Puts it in its place. @throws PlaceError when its hash is another one; then it is gone. */
  finish(sha256: string): Promise<void> {
    return this.#inTurn(async () => {
      const { size, mode, mtimeMillis } = this.#version;
      const file = await this.#opened();
      if (this.sha256 !== sha256 || this.#bytes !== size) {
        await this.#removeOwn();
        await this.#close();
        throw new PlaceError('came with other bytes than its hash says; nothing was stored');
      }
      if (this.#endsInHole) await file.truncate(size);
      await file.chmod(mode);
      await file.utimes(mtimeMillis / 1000, mtimeMillis / 1000);
      await this.#place();
      await this.#close();
      if (this.#hasCheckpoints) await rm(this.#journal, { force: true });
      await this.#target.folder.close();
    });
  }

  /** Closes it and leaves what is here to a later copy, unless the disk is full. Whoever still writes hears `reason`. */
  async keep(reason: string): Promise<void> {
    this.#lostBy ??= reason;
    await this.#busy.catch(() => {});
    // What is behind needs the space.
    if (isFull(this.#broken)) await this.#removeOwn().catch(() => {});
    await this.#close();
    await this.#target.folder.close();
  }

  /** What was left, whose writer has ended, is this one's from now on. */
  async #takeUp(file: FileHandle, stats: Stats, left: Journal, goOn: GoOn): Promise<void> {
    this.#own(file, stats);
    const journal = { ...left, owner: await thisProcess() };
    // Whoever ends this one while it reads loses nothing.
    this.#log = await putJournal(this.#journal, journal);
    const checkpoints = await this.#verify(file, left.checkpoints, goOn);
    if (checkpoints.length === left.checkpoints.length) return;
    await this.#log.close();
    this.#log = await putJournal(this.#journal, { ...journal, checkpoints });
  }

  /** Somebody may write on in the file: what it has so far goes into one of our own, in its place. */
  async #copyOf(file: FileHandle, left: Journal, goOn: GoOn): Promise<void> {
    const name = uniqueName(this.#part);
    const own = await open(name, NEW_FILE, OWNER_ONLY);
    try {
      const checkpoints = await this.#verify(file, left.checkpoints, goOn, own);
      await rename(name, this.#part);
      await this.#begin(own, checkpoints);
    } catch (error) {
      await own.close();
      await rm(name, { force: true });
      throw error;
    }
  }

  /** Those whose hash is right, from the first one on. `copy`: into this file as well. */
  async #verify(
    file: FileHandle,
    checkpoints: readonly Checkpoint[],
    goOn: GoOn,
    copy?: FileHandle,
  ): Promise<Checkpoint[]> {
    const hash = createHash('sha256');
    const right: Checkpoint[] = [];
    let at = 0;
    for (const checkpoint of checkpoints) {
      if (checkpoint.at <= at || checkpoint.at > this.#version.size) break;
      if (!(await hashFile(file, hash, at, checkpoint.at, goOn, copy))) break;
      at = checkpoint.at;
      if (hash.copy().digest('hex') !== checkpoint.sha256) break;
      right.push(checkpoint);
      this.#hash = hash.copy();
      this.#bytes = at;
      this.#checkpointAt = at;
    }
    // Behind the last byte that counts nothing may be left: what is skipped must be zeros.
    await (copy ?? file).truncate(this.#bytes);
    return right;
  }

  async #opened(): Promise<FileHandle> {
    if (this.#file !== undefined && !this.#isStale) return this.#file;
    await this.#close();
    this.#isStale = false;
    return (await this.#openedFirst()) ?? this.#openedInstead();
  }

  /** Where no copy of the file is under way, nor has left anything. */
  async #openedFirst(): Promise<FileHandle | undefined> {
    // What has checkpoints may find the journal of another one.
    if (this.#hasCheckpoints) return undefined;
    const file = await open(this.#part, NEW_FILE, OWNER_ONLY).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'EEXIST') return undefined;
      throw error;
    });
    if (file !== undefined) this.#own(file, await file.stat());
    return file;
  }

  /** In the place of one that is there. */
  async #openedInstead(): Promise<FileHandle> {
    const name = uniqueName(this.#part);
    const file = await open(name, NEW_FILE, OWNER_ONLY);
    try {
      // Whoever still writes the old one goes on in that, and finds that this one is in its place.
      await rename(name, this.#part);
      await this.#begin(file, []);
      return file;
    } catch (error) {
      await file.close();
      await rm(name, { force: true });
      throw error;
    }
  }

  /** A file of our own is in the place of the partial one. */
  async #begin(file: FileHandle, checkpoints: readonly Checkpoint[]): Promise<void> {
    const [stats, owner] = await Promise.all([file.stat(), thisProcess()]);
    this.#own(file, stats);
    if (!this.#hasCheckpoints) {
      // That of a larger file of this name.
      await unlink(this.#journal).catch(() => {});
      return;
    }
    const { size, mtimeMillis } = this.#version;
    const source = { name: this.#target.name, size, mtimeMillis };
    this.#log = await putJournal(this.#journal, { source, inode: stats.ino, owner, checkpoints });
  }

  #own(file: FileHandle, stats: Stats): void {
    this.#file = file;
    this.#stats = stats;
    written.add(numberOf(stats));
  }

  #noteCheckpoint(): void {
    if (this.#bytes - this.#checkpointAt < this.#checkpointBytes) return;
    this.#checkpointAt = this.#bytes;
    this.#waiting.push({ at: this.#bytes, sha256: this.sha256 });
  }

  /** All that waits, each checkpoint behind its bytes. */
  async #writeWaiting(): Promise<void> {
    if (this.#waiting.length === 0) return;
    try {
      const file = await this.#opened();
      const stretches: Stretch[] = [];
      for (const next of this.#waiting.splice(0)) {
        if ('bytes' in next) stretches.push(next);
        else {
          await writeSparse(file, stretches.splice(0));
          await this.#checkpoint(file, next);
        }
      }
      await writeSparse(file, stretches);
    } catch (error) {
      this.#broken = error;
      throw error;
    }
  }

  async #checkpoint(file: FileHandle, checkpoint: Checkpoint): Promise<void> {
    await this.#checkOwn();
    // A hole at the end is not in the file yet.
    await file.truncate(checkpoint.at);
    await this.#log?.appendFile(checkpointLine(checkpoint));
  }

  /** @throws PlaceError when another program has begun the same file anew. */
  async #checkOwn(path = this.#part): Promise<void> {
    if (!isSame(this.#stats, await lstat(path).catch(() => undefined))) throw new PlaceError(TAKEN_OVER);
  }

  /** Nobody else can put another file under the name that is looked at before it takes its place. */
  async #place(): Promise<void> {
    const { folder, name } = this.#target;
    const own = uniqueName(this.#part);
    await rename(this.#part, own).catch(() => {
      throw new PlaceError(TAKEN_OVER);
    });
    try {
      await this.#checkOwn(own);
      await rename(own, folder.at(name));
    } catch (error) {
      await rename(own, this.#part).catch(() => {});
      const there = await lstat(folder.at(name)).catch(() => undefined);
      throw there?.isDirectory() === true ? new PlaceError('is a directory there') : error;
    }
  }

  #isOfVersion({ source: { name, size, mtimeMillis } }: Journal): boolean {
    const { size: wantedSize, mtimeMillis: wantedMillis } = this.#version;
    return name === this.#target.name && size === wantedSize && mtimeMillis === wantedMillis;
  }

  async #close(): Promise<void> {
    const [file, log] = [this.#file, this.#log];
    this.#file = undefined;
    this.#log = undefined;
    await file?.close();
    await log?.close();
    if (this.#stats !== undefined) written.delete(numberOf(this.#stats));
    this.#stats = undefined;
  }

  async #removeOwn(): Promise<void> {
    await this.#checkOwn();
    await rm(this.#part, { force: true });
    await rm(this.#journal, { force: true });
  }

  #checkKept(): void {
    if (this.#lostBy !== undefined) throw new PlaceError(this.#lostBy);
    if (this.#broken !== undefined) throw this.#broken;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#busy
      .catch(() => {})
      .then(() => {
        this.#checkKept();
        return work();
      });
    this.#busy = done;
    return done;
  }
}

const isFull = (error: unknown): boolean => {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return code === 'ENOSPC' || code === 'EDQUOT';
};

/** Nobody writes in it any more. */
const isAbandoned = async (owner: PartOwner, stats: Stats): Promise<boolean> =>
  (await isSelf(owner)) ? !written.has(numberOf(stats)) : hasEnded(owner);

const isSame = (one: Stats | undefined, other: Stats | undefined): boolean =>
  one !== undefined && one.ino === other?.ino && one.dev === other.dev;
