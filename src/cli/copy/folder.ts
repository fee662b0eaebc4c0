/**
 * A directory that was reached name by name, and stays that directory whatever its path leads to later: on Linux what is in it is named by
 * way of an open handle. Elsewhere it is a path, which whoever may change the directories above can lead elsewhere in the meantime.
 *
 * Invariant: no symbolic link is followed from one to the next.
 */
import { constants, existsSync } from 'node:fs';
import { type FileHandle, lstat, open } from 'node:fs/promises';
import { join } from 'node:path';
import { PlaceError, why } from './place-error.js';

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants;
/** A handle that names a directory and reads nothing of it, so that it needs no right to. Linux has it; Node.js does not name it. */
const O_PATH = 0o10000000;
const HANDLES = '/proc/self/fd';
const hasHandles = process.platform === 'linux' && existsSync(HANDLES);

export class Folder {
  readonly #path: string;
  readonly #handle: FileHandle | undefined;

  /** @throws what `open` does. */
  static async root(path: string): Promise<Folder> {
    return new Folder(path, await handleOf(path));
  }

  private constructor(path: string, handle: FileHandle | undefined) {
    this.#path = path;
    this.#handle = handle;
  }

  /** How to name what is in it; the folder itself without a name. For as long as it is open. */
  at(name = ''): string {
    const own = this.#handle === undefined ? this.#path : `${HANDLES}/${this.#handle.fd}`;
    return `${own}/${name === '' ? '.' : name}`;
  }

  /** A directory in it. @throws PlaceError, with the name in front. */
  async enter(name: string): Promise<Folder> {
    const path = this.at(name);
    try {
      if (!hasHandles) await checkDirectory(path);
      return new Folder(join(this.#path, name), await handleOf(path));
    } catch (error) {
      const said = await checkDirectory(path).catch((reason: unknown) => reason);
      throw new PlaceError(`${name} ${why(said ?? error)}`);
    }
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await this.#handle?.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

async function checkDirectory(path: string): Promise<void> {
  const stats = await lstat(path);
  if (stats.isSymbolicLink()) throw new PlaceError('is a symbolic link, which is not followed');
  if (!stats.isDirectory()) throw new PlaceError('is no directory');
}

async function handleOf(path: string): Promise<FileHandle | undefined> {
  return hasHandles ? open(path, O_RDONLY | O_PATH | O_DIRECTORY | O_NOFOLLOW) : undefined;
}
