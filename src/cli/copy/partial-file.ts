/**
 * A file that is not whole yet: its bytes in a file beside its place, and a journal that says of which version of the source they
 * are and what hash they had up to here and there. It takes its place at once, when it is whole and its hash is right.
 *
 * Invariants: bytes come in order; what a later copy resumes was read again and has the hash of the journal; zeros become holes; what
 * is at its place stays as it was until the new one is whole.
 */
import { createHash, type Hash } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { type FileHandle, lstat, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { partNames } from './copy-path.js';
import type { CopyEntry } from './copy-wire.js';
import { openOrdinary } from './place.js';
import { PlaceError } from './place-error.js';
import { isZero, ZERO_BLOCK_BYTES } from './zeros.js';

const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_APPEND, O_WRONLY } = constants;
const OWNER_ONLY = 0o600;
const MIN_CHECKPOINT_BYTES = 8 * 1024 * 1024;
const MAX_CHECKPOINTS = 1024;
const MAX_JOURNAL_BYTES = 1024 * 1024;
const READ_BYTES = 1024 * 1024;
/** Of zeros, before other work has its turn: they cost the peer nothing, and hashing them here does. */
const HOLE_STEP_BYTES = 4 * READ_BYTES;
export const TAKEN_OVER = 'is being written by another copy, which has taken over';

export interface Target {
  readonly directory: string;
  readonly name: string;
}

/** Called amid long work; what it throws ends that. */
type GoOn = () => void;

export type Version = Pick<CopyEntry, 'size' | 'mtimeMillis' | 'mode'>;

export class PartialFile {
  readonly #target: Target;
  readonly #version: Version;
  readonly #part: string;
  readonly #journal: string;
  readonly #checkpointBytes: number;
  #file: FileHandle | undefined;
  #log: FileHandle | undefined;
  #hash: Hash = createHash('sha256');
  #bytes = 0;
  #checkpointAt = 0;
  /** Work on the files, one after the other. */
  #busy: Promise<unknown>;
  #lostBy: string | undefined;
  /** The file that `resume` has read. */
  #resumed: Stats | undefined;

  /** `after`: whoever wrote it before has closed it. */
  constructor(target: Target, version: Version, after: Promise<void> = Promise.resolve()) {
    this.#busy = after.catch(() => {});
    const { part, journal } = partNames(target.name);
    this.#target = target;
    this.#version = version;
    this.#part = join(target.directory, part);
    this.#journal = join(target.directory, journal);
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

  /** Reads what an earlier copy has left, if it was of the same version, up to where its hash is right. */
  resume(goOn: GoOn = () => {}): Promise<void> {
    return this.#inTurn(async () => {
      const checkpoints = await this.#checkpoints();
      if (checkpoints.length === 0) return;
      const file = await open(this.#part, O_RDWR | O_NOFOLLOW | O_NONBLOCK).catch(() => undefined);
      if (file === undefined) return;
      try {
        this.#resumed = await file.stat();
        // What has another name as well is somebody else's.
        if (this.#resumed.isFile() && this.#resumed.nlink === 1) await this.#verify(file, checkpoints, goOn);
      } finally {
        await file.close();
      }
    });
  }

  /** Forgets all bytes. */
  restart(): void {
    this.#hash = createHash('sha256');
    this.#bytes = 0;
  }

  /** The next bytes. */
  write(bytes: Uint8Array): Promise<void> {
    return this.#inTurn(async () => {
      const file = await this.#opened();
      this.#hash.update(bytes);
      await writeSparse(file, bytes, this.#bytes);
      this.#bytes += bytes.length;
      await this.#checkpoint();
    });
  }

  /** Zeros. */
  skip(length: number, goOn: GoOn = () => {}): Promise<void> {
    return this.#inTurn(async () => {
      await this.#opened();
      for (let left = length; left > 0; left -= HOLE_STEP_BYTES) {
        const step = Math.min(left, HOLE_STEP_BYTES);
        hashZeros(this.#hash, step);
        this.#bytes += step;
        await this.#checkpoint();
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
      // Another program may have begun the same file anew.
      if (!isSame(await file.stat(), await lstat(this.#part).catch(() => undefined)))
        throw new PlaceError(TAKEN_OVER);
      if (this.sha256 !== sha256 || this.#bytes !== size) {
        await this.#close();
        await this.#remove();
        throw new PlaceError('came with other bytes than its hash says; nothing was stored');
      }
      await file.truncate(size);
      await file.chmod(mode);
      await file.utimes(mtimeMillis / 1000, mtimeMillis / 1000);
      await this.#close();
      const place = join(this.#target.directory, this.#target.name);
      const there = await lstat(place).catch(() => undefined);
      if (there?.isDirectory() === true) throw new PlaceError('is a directory there');
      await rename(this.#part, place);
      await rm(this.#journal, { force: true });
    });
  }

  /** Closes it and leaves what is here to a later copy. Whoever still writes hears `reason`. */
  async keep(reason: string): Promise<void> {
    this.#lostBy ??= reason;
    await this.#busy.catch(() => {});
    await this.#close();
  }

  async #checkpoints(): Promise<{ readonly at: number; readonly sha256: string }[]> {
    const text = await readJournal(this.#journal);
    const [head, ...lines] = text.split('\n');
    if (head !== this.#head()) return [];
    return lines.flatMap((line) => {
      const [, at, sha256] = /^(\d{1,16}) ([0-9a-f]{64})$/.exec(line) ?? [];
      return at === undefined || sha256 === undefined ? [] : [{ at: Number(at), sha256 }];
    });
  }

  async #verify(
    file: FileHandle,
    checkpoints: readonly { at: number; sha256: string }[],
    goOn: GoOn,
  ): Promise<void> {
    const hash = createHash('sha256');
    let at = 0;
    for (const checkpoint of checkpoints) {
      if (checkpoint.at <= at || checkpoint.at > this.#version.size) return;
      if (!(await hashFile(file, hash, at, checkpoint.at, goOn))) return;
      at = checkpoint.at;
      if (hash.copy().digest('hex') !== checkpoint.sha256) return;
      this.#hash = hash.copy();
      this.#bytes = at;
      this.#checkpointAt = at;
    }
  }

  async #opened(): Promise<FileHandle> {
    if (this.#file !== undefined) return this.#file;
    const isNew = this.#bytes === 0;
    // Whoever still writes the old one must not write into the new one.
    if (isNew) await this.#remove();
    const how = O_NOFOLLOW | O_NONBLOCK | (isNew ? O_CREAT | O_EXCL : 0);
    this.#file = await open(this.#part, O_RDWR | how, OWNER_ONLY);
    if (!isNew && !isSame(await this.#file.stat(), this.#resumed)) throw new PlaceError(TAKEN_OVER);
    // Behind the last byte that counts nothing may be left: what is skipped must be zeros.
    await this.#file.truncate(this.#bytes);
    this.#log = await open(this.#journal, O_WRONLY | O_APPEND | how, OWNER_ONLY);
    if (isNew) await this.#log.appendFile(`${this.#head()}\n`);
    this.#checkpointAt = this.#bytes;
    return this.#file;
  }

  async #checkpoint(): Promise<void> {
    if (this.#bytes - this.#checkpointAt < this.#checkpointBytes) return;
    // A hole at the end is not in the file yet.
    await this.#file?.truncate(this.#bytes);
    await this.#log?.appendFile(`${this.#bytes} ${this.sha256}\n`);
    this.#checkpointAt = this.#bytes;
  }

  #head(): string {
    const { size, mtimeMillis } = this.#version;
    return JSON.stringify({ v: 1, name: this.#target.name, size, mtimeMillis });
  }

  async #close(): Promise<void> {
    const [file, log] = [this.#file, this.#log];
    this.#file = undefined;
    this.#log = undefined;
    await file?.close();
    await log?.close();
  }

  async #remove(): Promise<void> {
    await rm(this.#part, { force: true });
    await rm(this.#journal, { force: true });
  }

  #checkKept(): void {
    if (this.#lostBy !== undefined) throw new PlaceError(this.#lostBy);
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

async function readJournal(path: string): Promise<string> {
  const file = await openOrdinary(path).catch(() => undefined);
  if (file === undefined) return '';
  try {
    return (await file.stat()).size > MAX_JOURNAL_BYTES ? '' : await file.readFile('utf8');
  } catch {
    return '';
  } finally {
    await file.close();
  }
}

const isSame = (one: Stats, other: Stats | undefined): boolean =>
  one.ino === other?.ino && one.dev === other.dev;

/** Adds bytes `from` up to `to` of the file; whether there were so many. */
export async function hashFile(
  file: FileHandle,
  hash: Hash,
  from: number,
  to: number,
  goOn: GoOn,
): Promise<boolean> {
  const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, Math.max(1, to - from)));
  for (let at = from; at < to; ) {
    const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, to - at), at);
    goOn();
    if (bytesRead === 0) return false;
    hash.update(buffer.subarray(0, bytesRead));
    at += bytesRead;
  }
  return true;
}

const ZEROS = new Uint8Array(READ_BYTES);

export function hashZeros(hash: Hash, length: number): void {
  for (let left = length; left > 0; left -= ZEROS.length) hash.update(ZEROS.subarray(0, left));
}

/** Blocks of zeros are left out. */
async function writeSparse(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  let at = 0;
  while (at < bytes.length) {
    let end = at;
    while (end < bytes.length && isZero(bytes, end)) end += ZERO_BLOCK_BYTES;
    at = end;
    while (end < bytes.length && !isZero(bytes, end)) end += ZERO_BLOCK_BYTES;
    if (at < bytes.length) await writeAll(file, bytes.subarray(at, end), position + at);
    at = end;
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, at, bytes.length - at, position + at);
    at += bytesWritten;
  }
}
